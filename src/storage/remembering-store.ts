/** A store on other machines that may be away: it opens as soon as it can be reached. Until then the start uses its last known content. */

import { within } from '../kernel/deadline.ts';
import { FluxError } from '../kernel/errors.ts';
import type { DocumentStore, NodeStore } from './documents/document-store.ts';
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
  StoreSize,
  StoreSnapshot,
} from './endpoint-store.ts';
import { isLasting } from './failure-reason.ts';
import { LastKnown } from './last-known.ts';
import { lockFolder } from './local/folder-lock.ts';

export interface RememberingOptions {
  /** opens the store; each use of the store tries again until it succeeds */
  open: () => Promise<NodeStore>;
  /** the node's folder, which belongs to this process alone */
  dataPath: string;
  /** names the store, without its password */
  source: string;
  /** called with the reason when the last known content cannot be written to the folder */
  onFailure: (reason: string) => void;
}

/** How long an operation waits for the store to open. While the store is away, a change is refused within 2 s. */
const OPEN_WAIT_MS = 1_800;
/** How long a node without last known content waits at its start: another node may be creating the tables. */
const BEGIN_WAIT_MS = 20_000;

/**
 * Opens the store. While the store is away, the first `load` returns the last known content, if there is any, with the reason in `away`.
 * @throws FluxError `unavailable` when the store is away and no content of it is known, or when the folder cannot be used; as `open` for
 *   lasting causes, such as a wrong password or a newer schema
 */
export async function openRemembering({ open, dataPath, source, onFailure }: RememberingOptions): Promise<NodeStore> {
  const known = new LastKnown(dataPath, source, onFailure);
  const lock = lockFolder(dataPath);
  const store = new RememberingStore(open, known, () => lock.release());
  try {
    await store.begin();
    return store;
  } catch (error) {
    await store.close();
    throw error;
  }
}

class RememberingStore implements NodeStore {
  readonly documents = passOn(async () => (await this.#opened()).documents);
  readonly #open: () => Promise<NodeStore>;
  readonly #known: LastKnown;
  readonly #release: () => void;
  #store: NodeStore | null = null;
  #opening: Promise<NodeStore> | null = null;
  /** the answer of the first load, when the store was away at the start */
  #substitute: StoreSnapshot | null = null;
  #hasLoaded = false;
  #isClosed = false;

  constructor(open: () => Promise<NodeStore>, known: LastKnown, release: () => void) {
    this.#open = open;
    this.#known = known;
    this.#release = release;
  }

  /** Opens the store, or its last known content. @throws FluxError when neither is available */
  async begin(): Promise<void> {
    try {
      await this.#opened();
    } catch (error) {
      this.#substitute = this.#recall(error);
      if (this.#substitute === null) await this.#opened(BEGIN_WAIT_MS);
    }
  }

  async load(): Promise<StoreSnapshot> {
    const isFirst = !this.#hasLoaded;
    this.#hasLoaded = true;
    try {
      const snapshot = await (await this.#opened()).load();
      this.#substitute = null;
      this.#known.loaded(snapshot);
      return snapshot;
    } catch (error) {
      // The store may also go away between its opening and the first load.
      const substitute = this.#substitute ?? (isFirst ? this.#recall(error) : null);
      if (substitute === null) throw error;
      this.#substitute = null;
      return substitute;
    }
  }

  async commit(changes: StoreChange[], expected: Record<string, number>, meta: ChangeMeta, options?: CommitOptions): Promise<number> {
    const revision = await (await this.#opened()).commit(changes, expected, meta, options);
    this.#known.committed(changes, revision);
    return revision;
  }

  async history(query: HistoryQuery): Promise<HistoryRow[]> {
    return (await this.#opened()).history(query);
  }

  async at(revision: number): Promise<StoreSnapshot> {
    return (await this.#opened()).at(revision);
  }

  async confirm(revision: number): Promise<void> {
    return (await this.#opened()).confirm(revision);
  }

  async rows(after: RowPlace, limit: number): Promise<RowPage> {
    return (await this.#opened()).rows(after, limit);
  }

  async adopt(past: Past): Promise<number> {
    return (await this.#opened()).adopt(past);
  }

  async compact(limits: HistoryLimits): Promise<boolean> {
    return (await this.#opened()).compact(limits);
  }

  async size(): Promise<StoreSize> {
    return (await this.#opened()).size();
  }

  async close(): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    await this.#known.flush();
    // A store that is still being opened closes itself.
    await this.#store?.close();
    this.#release();
  }

  /** @throws FluxError `unavailable` when the store does not open in time; the attempt continues in the background */
  async #opened(waitMs = OPEN_WAIT_MS): Promise<NodeStore> {
    if (this.#isClosed) throw new FluxError('unavailable', 'The store is closed');
    if (this.#store !== null) return this.#store;
    this.#opening ??= this.#openOnce().finally(() => {
      this.#opening = null;
    });
    this.#opening.catch(() => {});
    return within(waitMs, this.#opening, () => new FluxError('unavailable', `The store did not answer within ${waitMs} ms`));
  }

  async #openOnce(): Promise<NodeStore> {
    const store = await this.#open();
    if (this.#isClosed) {
      await store.close();
      throw new FluxError('unavailable', 'The store is closed');
    }
    this.#store = store;
    return store;
  }

  /**
   * The last known content; null when there is none but the store is still opening.
   * @throws the error itself when the store is broken rather than unreachable, or when there is no snapshot and the store is not opening
   */
  #recall(error: unknown): StoreSnapshot | null {
    if (!(error instanceof FluxError) || error.kind !== 'unavailable' || isLasting(error)) throw error;
    const known = this.#known.read(error.message);
    if (known === null && this.#opening === null) throw error;
    if (known === null) return null;
    return { ...known.snapshot, away: { reason: error.message, savedAt: known.savedAt } };
  }
}

/** The documents of a store that opens later. */
function passOn(opened: () => Promise<DocumentStore>): DocumentStore {
  return {
    state: async () => (await opened()).state(),
    commit: async (...args) => (await opened()).commit(...args),
    since: async (...args) => (await opened()).since(...args),
    former: async (...args) => (await opened()).former(...args),
    commits: async (...args) => (await opened()).commits(...args),
    steps: async (...args) => (await opened()).steps(...args),
    compactDocuments: async (...args) => (await opened()).compactDocuments(...args),
  };
}
