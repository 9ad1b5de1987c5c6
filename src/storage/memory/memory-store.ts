/** The MEMORY store: the contract without durability, for tests and for brokers that are configured from a file. */

import { wallNow } from '../../kernel/clock.ts';
import { FluxError } from '../../kernel/errors.ts';
import { applyChanges, checkHistoryLimit, notWaiting } from '../apply-changes.ts';
import type {
  ChangeMeta,
  CommitOptions,
  EndpointStore,
  HistoryQuery,
  HistoryRow,
  StoreChange,
  StoredEndpoint,
  StoreSnapshot,
} from '../contract.ts';
import { matches } from '../history-match.ts';
import { noSuchRevision, replay, replayWhole } from '../replay.ts';

/** Rows kept at most; the oldest revisions go first, so that a long-lived process stays bounded. */
const HISTORY_MAX = 10_000;

/** An empty store that lives as long as the process. */
export function openMemoryStore(): EndpointStore {
  return new MemoryStore();
}

class MemoryStore implements EndpointStore {
  #content = new Map<string, StoredEndpoint>();
  /** oldest first, whole revisions */
  #history: HistoryRow[] = [];
  /** the content right before the oldest row that is kept */
  #base: { revision: number; content: Map<string, StoredEndpoint> } = { revision: 0, content: new Map() };
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
    this.#checkOpen();
    const { confirmUntil, settles } = options;
    const revision = this.#revision + 1;
    if (settles !== undefined && !this.#pending.has(settles)) throw notWaiting(settles);
    const { next, history } = applyChanges(this.#content, changes, expected, meta, { revision, at: wallNow() });
    if (settles !== undefined) this.#pending.delete(settles);
    if (confirmUntil !== undefined) this.#pending.set(revision, confirmUntil);
    this.#content = next;
    this.#keep(history);
    this.#revision = revision;
    return revision;
  }

  async history(query: HistoryQuery): Promise<HistoryRow[]> {
    this.#checkOpen();
    checkHistoryLimit(query.limit);
    const rows: HistoryRow[] = [];
    for (const row of this.#history.toReversed()) {
      if (!matches(row, query)) continue;
      // A revision is never cut in two: `before` could not name its rest.
      if (rows.length >= query.limit && row.revision !== rows.at(-1)?.revision) break;
      rows.push(row);
    }
    return structuredClone(rows);
  }

  async at(revision: number): Promise<StoreSnapshot> {
    this.#checkOpen();
    if (revision < this.#base.revision || revision > this.#revision || !Number.isInteger(revision)) throw noSuchRevision(revision);
    const rows = this.#history.filter((row) => row.revision <= revision);
    return structuredClone({ revision, endpoints: [...replay(rows, this.#base.content).values()], pending: [] });
  }

  async confirm(revision: number): Promise<void> {
    this.#checkOpen();
    if (!this.#pending.delete(revision)) throw notWaiting(revision);
  }

  async adopt(rows: HistoryRow[]): Promise<number> {
    this.#checkOpen();
    if (this.#revision !== 0) throw new FluxError('exists', 'The store is not empty');
    this.#content = replayWhole(structuredClone(rows));
    this.#keep(structuredClone(rows));
    this.#revision = rows.at(-1)?.revision ?? 0;
    return this.#revision;
  }

  async close(): Promise<void> {
    this.#isClosed = true;
  }

  /** Adds rows and drops the oldest revisions over the limit, never a part of one. */
  #keep(rows: HistoryRow[]): void {
    this.#history.push(...rows);
    const surplus = this.#history[this.#history.length - HISTORY_MAX - 1];
    if (surplus === undefined || surplus.revision === this.#history.at(-1)?.revision) return;
    const count = this.#history.findIndex((row) => row.revision > surplus.revision);
    this.#base = { revision: surplus.revision, content: replay(this.#history.splice(0, count), this.#base.content) };
  }

  #checkOpen(): void {
    if (this.#isClosed) throw new FluxError('unavailable', 'The store is closed');
  }
}
