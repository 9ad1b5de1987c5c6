/** The MEMORY store: the contract without durability, for tests and for brokers that are configured from a file. */

import { wallNow } from '../../kernel/clock.ts';
import { FluxError } from '../../kernel/errors.ts';
import { mapInTurns } from '../../kernel/turns/pace.ts';
import { applyChanges, checkHistoryLimit, notWaiting } from '../apply-changes.ts';
import type { NodeStore } from '../documents/document-store.ts';
import type {
  ChangeMeta,
  CommitOptions,
  HistoryLimits,
  HistoryQuery,
  HistoryRow,
  Past,
  RowPage,
  RowPlace,
  StoreChange,
  StoredEndpoint,
  StoreSize,
  StoreSnapshot,
} from '../endpoint-store.ts';
import { floorOf, HISTORY_ROWS_MAX, keptRows } from '../history-limits.ts';
import { matches } from '../history-match.ts';
import { openMemoryDocuments } from '../local/documents.ts';
import { noSuchRevision, Replay, replay } from '../replay.ts';

/** An empty store that lives as long as the process. */
export function openMemoryStore(): NodeStore {
  return new MemoryStore();
}

class MemoryStore implements NodeStore {
  readonly documents = openMemoryDocuments();
  #content = new Map<string, StoredEndpoint>();
  /** oldest first, whole revisions */
  #history: HistoryRow[] = [];
  /** see Past.floor */
  #floor = 0;
  /** revision → milliseconds since the epoch */
  readonly #pending = new Map<number, number>();
  #revision = 0;
  #isClosed = false;

  async load(): Promise<StoreSnapshot> {
    this.#checkOpen();
    const pending = [...this.#pending].map(([revision, until]) => ({ revision, until }));
    return { revision: this.#revision, endpoints: structuredClone([...this.#content.values()]), pending };
  }

  async commit(changes: StoreChange[], expected: Record<string, number>, meta: ChangeMeta, options: CommitOptions = {}): Promise<number> {
    // Copies: a caller may change its objects after the commit.
    const own = await mapInTurns(changes, (change) => structuredClone(change));
    this.#checkOpen();
    const { confirmUntil, settles } = options;
    const revision = this.#revision + 1;
    if (settles !== undefined && !this.#pending.has(settles)) throw notWaiting(settles);
    const { next, history } = applyChanges(this.#content, own, expected, meta, { revision, at: wallNow() });
    if (settles !== undefined) this.#pending.delete(settles);
    if (confirmUntil !== undefined) this.#pending.set(revision, confirmUntil);
    this.#content = next;
    this.#history.push(...history);
    this.#revision = revision;
    return revision;
  }

  async history(query: HistoryQuery): Promise<HistoryRow[]> {
    this.#checkOpen();
    checkHistoryLimit(query.limit);
    const rows: HistoryRow[] = [];
    let revisions = 0;
    for (let index = this.#history.length - 1; index >= 0; index--) {
      const row = this.#history[index]!;
      if (!matches(row, query)) continue;
      if (row.revision !== rows.at(-1)?.revision) {
        // Revisions stay whole: `before` cannot name the rest of a revision that is cut in two.
        if (revisions === query.limit || rows.length >= HISTORY_ROWS_MAX) break;
        revisions++;
      }
      rows.push(row);
    }
    return structuredClone(rows);
  }

  async at(revision: number): Promise<StoreSnapshot> {
    this.#checkOpen();
    if (revision < this.#floor || revision > this.#revision || !Number.isInteger(revision)) throw noSuchRevision(revision);
    const rows = this.#history.filter((row) => row.revision <= revision);
    return structuredClone({ revision, endpoints: [...replay(rows, new Map()).values()], pending: [] });
  }

  async rows(after: RowPlace, limit: number): Promise<RowPage> {
    this.#checkOpen();
    const first = this.#history.findIndex((row) => row.revision >= after.revision);
    // `seq` is the index of a row among the remaining rows of its revision, which are adjacent.
    const begin = first < 0 ? this.#history.length : first + (this.#history[first]?.revision === after.revision ? after.seq + 1 : 0);
    const rows = this.#history.slice(begin, begin + limit);
    const last = rows.at(-1);
    const isEnd = last === undefined || begin + rows.length >= this.#history.length;
    const start = last === undefined ? 0 : this.#history.findIndex((row) => row.revision === last.revision);
    const next = isEnd ? null : { revision: last.revision, seq: begin + rows.length - 1 - start };
    return { rows: structuredClone(rows), next, floor: this.#floor };
  }

  async confirm(revision: number): Promise<void> {
    this.#checkOpen();
    if (!this.#pending.delete(revision)) throw notWaiting(revision);
  }

  async adopt(past: Past): Promise<number> {
    this.#checkOpen();
    if (this.#revision !== 0) throw new FluxError('exists', 'The store is not empty');
    const replayed = new Replay(past.floor);
    const history: HistoryRow[] = [];
    for await (const rows of past.pieces()) {
      replayed.add(rows);
      history.push(...structuredClone(rows));
    }
    const content = replayed.end(past.revision);
    // A commit may have been made while the pieces were read.
    if (this.#revision !== 0) throw new FluxError('exists', 'The store is not empty');
    this.#content = structuredClone(content);
    this.#history = history;
    this.#floor = past.floor;
    this.#revision = past.revision;
    return this.#revision;
  }

  async compact(limits: HistoryLimits): Promise<boolean> {
    this.#checkOpen();
    const floor = floorOf(this.#history, limits);
    if (floor <= this.#floor) return false;
    this.#floor = floor;
    this.#history = keptRows(this.#history, floor);
    return false;
  }

  async size(): Promise<StoreSize> {
    this.#checkOpen();
    return { bytes: null, historyRows: this.#history.length };
  }

  async close(): Promise<void> {
    if (!this.#isClosed) this.documents.closeDocuments();
    this.#isClosed = true;
  }

  #checkOpen(): void {
    if (this.#isClosed) throw new FluxError('unavailable', 'The store is closed');
  }
}
