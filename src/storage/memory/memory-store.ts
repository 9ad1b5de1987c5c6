/** The MEMORY store: the contract without durability, for tests and for brokers that are configured from a file. */

import { FluxError } from '../../kernel/errors.ts';
import { applyChanges, checkHistoryLimit } from '../apply-changes.ts';
import type { ChangeMeta, EndpointStore, HistoryQuery, HistoryRow, StoreChange, StoredEndpoint, StoreSnapshot } from '../contract.ts';

/** Rows kept at most; the oldest go first, so that a long-lived process stays bounded. */
const HISTORY_MAX = 10_000;

/** An empty store that lives as long as the process. */
export function openMemoryStore(): EndpointStore {
  return new MemoryStore();
}

class MemoryStore implements EndpointStore {
  #content = new Map<string, StoredEndpoint>();
  /** oldest first */
  #history: HistoryRow[] = [];
  #revision = 0;
  #isClosed = false;

  async load(): Promise<StoreSnapshot> {
    this.#checkOpen();
    return { revision: this.#revision, endpoints: structuredClone([...this.#content.values()]) };
  }

  async commit(changes: StoreChange[], expected: Record<string, number>, meta: ChangeMeta): Promise<number> {
    this.#checkOpen();
    const revision = this.#revision + 1;
    const { next, history } = applyChanges(this.#content, changes, expected, meta, { revision, at: Date.now() });
    this.#content = next;
    this.#history.push(...history);
    if (this.#history.length > HISTORY_MAX) this.#history.splice(0, this.#history.length - HISTORY_MAX);
    this.#revision = revision;
    return revision;
  }

  async history(query: HistoryQuery): Promise<HistoryRow[]> {
    this.#checkOpen();
    checkHistoryLimit(query.limit);
    const { port, id, before } = query;
    const rows: HistoryRow[] = [];
    for (const row of this.#history.toReversed()) {
      if (before !== undefined && row.revision >= before) continue;
      if (id !== undefined && row.id !== id) continue;
      if (port !== undefined && row.port !== port && row.before?.port !== port) continue;
      // A revision is never cut in two: `before` could not name its rest.
      if (rows.length >= query.limit && row.revision !== rows.at(-1)?.revision) break;
      rows.push(row);
    }
    return structuredClone(rows);
  }

  async close(): Promise<void> {
    this.#isClosed = true;
  }

  #checkOpen(): void {
    if (this.#isClosed) throw new FluxError('unavailable', 'The store is closed');
  }
}
