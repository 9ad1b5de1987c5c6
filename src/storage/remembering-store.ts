/** A store elsewhere that may be away: opened as soon as it can be, and at the start replaced by what was last known of it. */

import { within } from '../kernel/deadline.ts';
import { FluxError } from '../kernel/errors.ts';
import type {
  ChangeMeta,
  CommitOptions,
  EndpointStore,
  HistoryLimits,
  HistoryQuery,
  HistoryRow,
  Past,
  RowPage,
  RowPlace,
  StoreChange,
  StoreSize,
  StoreSnapshot,
} from './contract.ts';
import { isLasting } from './failure-reason.ts';
import { LastKnown } from './last-known.ts';
import { lockFolder } from './local/folder-lock.ts';

export interface RememberingOptions {
  /** opens the store; attempted again at each use until it succeeds */
  open: () => Promise<EndpointStore>;
  /** the node's folder, for this process alone */
  dataPath: string;
  /** names the store, without its password */
  source: string;
  /** told when what is known cannot be written beside the node */
  onFailure: (reason: string) => void;
}

/** A change is refused within 2 s while the store is away; opening takes no more than this of it. */
const OPEN_WAIT_MS = 1_800;
/** A node that knows nothing waits longer at its start: another one may be making the tables. */
const BEGIN_WAIT_MS = 20_000;

/**
 * Opens the store. While it is away, its first `load` gives what was last known, if anything was, with the reason in `away`.
 * @throws FluxError `unavailable` when the store is away and nothing is known of it, or when the folder cannot be used; as `open` for
 *   everything else that is wrong with the store: a wrong password, a newer schema
 */
export async function openRemembering({ open, dataPath, source, onFailure }: RememberingOptions): Promise<EndpointStore> {
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

class RememberingStore implements EndpointStore {
  readonly #open: () => Promise<EndpointStore>;
  readonly #known: LastKnown;
  readonly #release: () => void;
  #store: EndpointStore | null = null;
  #opening: Promise<EndpointStore> | null = null;
  /** for the first load, when the store was away by then */
  #substitute: StoreSnapshot | null = null;
  #hasLoaded = false;
  #isClosed = false;

  constructor(open: () => Promise<EndpointStore>, known: LastKnown, release: () => void) {
    this.#open = open;
    this.#known = known;
    this.#release = release;
  }

  /** Opens the store, or what is known of it. @throws FluxError when neither is there */
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
      // It may also go away between its opening and the first load.
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
    // One that is just being opened closes itself.
    await this.#store?.close();
    this.#release();
  }

  /** @throws FluxError `unavailable` when it cannot be opened in time; the attempt goes on then */
  async #opened(waitMs = OPEN_WAIT_MS): Promise<EndpointStore> {
    if (this.#isClosed) throw new FluxError('unavailable', 'The store is closed');
    if (this.#store !== null) return this.#store;
    this.#opening ??= this.#openOnce().finally(() => {
      this.#opening = null;
    });
    this.#opening.catch(() => {});
    return within(waitMs, this.#opening, () => new FluxError('unavailable', `The store did not answer within ${waitMs} ms`));
  }

  async #openOnce(): Promise<EndpointStore> {
    const store = await this.#open();
    if (this.#isClosed) {
      await store.close();
      throw new FluxError('unavailable', 'The store is closed');
    }
    this.#store = store;
    return store;
  }

  /** Null when nothing is known, but the store is still being opened. @throws the error itself when it is no matter of being away, or nothing is known */
  #recall(error: unknown): StoreSnapshot | null {
    if (!(error instanceof FluxError) || error.kind !== 'unavailable' || isLasting(error)) throw error;
    const known = this.#known.read(error.message);
    if (known === null && this.#opening === null) throw error;
    if (known === null) return null;
    return { ...known.snapshot, away: { reason: error.message, savedAt: known.savedAt } };
  }
}
