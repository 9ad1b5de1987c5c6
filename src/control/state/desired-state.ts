/** The configuration that the store demands: held in memory, compared with the store at each write, with the locks of changes under way. */

import { toPublicEndpoint } from '../../endpoint/schema.ts';
import { Deadline } from '../../kernel/deadline.ts';
import { Emitter, type Subscribable } from '../../kernel/emitter.ts';
import { FluxError, messageOf } from '../../kernel/errors.ts';
import {
  type ChangeMeta,
  type CommitOptions,
  type EndpointStore,
  type HistoryQuery,
  type HistoryRow,
  type Past,
  type RowPage,
  type RowPlace,
  type StoreChange,
  type StoredEndpoint,
  type StoreSnapshot,
  WHOLE,
} from '../../storage/endpoint-store.ts';
import type { EndpointKey } from '../contract/request-parts.ts';
import { reachStep } from './change-steps.ts';
import { dueIn, lockKeys, WaitingChanges } from './waiting-changes.ts';

/** Another process was first: the change assumed an outdated state. When this is thrown, this process has read the new state. */
class OutdatedError extends FluxError {}

/** A revision that this process has written. */
export interface Committed {
  revision: number;
  meta: ChangeMeta;
  changes: { id: string; port: number; kind: 'added' | 'updated' | 'removed' }[];
}

/** Attempts at a change that other processes keep overtaking. */
const ATTEMPTS = 4;
/** Longest wait of a change for the reconciler to finish with an endpoint. */
const RECONCILE_WAIT_MS_MAX = 5_000;

export class DesiredState {
  readonly #behind = new Emitter();
  readonly #committed = new Emitter<[change: Committed]>();
  readonly #idle = new Emitter<[keys: string[]]>();
  readonly #released = new Emitter();
  readonly #changed = new Emitter();
  /** The store failed, or holds changes that this process has not read. */
  readonly behind: Subscribable = this.#behind;
  /** This process has written a change. */
  readonly committed: Subscribable<[change: Committed]> = this.#committed;
  /** A change or the reconciler has released keys: identifiers, and ports as `port N`. */
  readonly idle: Subscribable<[keys: string[]]> = this.#idle;
  /** A change has released its locks. */
  readonly released: Subscribable = this.#released;
  /** Endpoints may have changed. */
  readonly changed: Subscribable = this.#changed;
  readonly waiting: WaitingChanges;
  readonly #store: EndpointStore;
  readonly #byId = new Map<string, StoredEndpoint>();
  /** the endpoints of #byId, by port; null: the next reader sorts anew */
  #sorted: StoredEndpoint[] | null = null;
  /** keys locked by a change under way → their revision at that time, 0 for none */
  readonly #locked = new Map<string, number>();
  /** keys that the reconciler is applying */
  readonly #applying = new Map<string, Promise<unknown>>();
  /** all changes up to this revision are in #byId */
  #complete = 0;
  /** later changes of this process, while earlier changes of others are still unknown */
  readonly #ahead = new Map<number, StoreChange[]>();
  #storeError: string | null = null;
  /** the stand-in configuration when the store was away at the start */
  #substitute: NonNullable<StoreSnapshot['away']> | null = null;

  /** @param node name of this node in the history */
  constructor(store: EndpointStore, node: string) {
    this.#store = store;
    this.waiting = new WaitingChanges(node);
  }

  /** Revision of the newest change that this process knows. */
  get revision(): number {
    return Math.max(this.#complete, ...this.#ahead.keys());
  }

  /** Every change up to this revision is known. */
  get complete(): number {
    return this.#complete;
  }

  /** True when the store is known to hold changes of other processes that this process has not read. */
  get isBehind(): boolean {
    return this.#ahead.size > 0;
  }

  /** Why the store failed when it was last used; null when it worked. */
  get storeError(): string | null {
    const substitute = this.#substitute;
    if (substitute === null) return this.#storeError;
    return `${this.#storeError ?? substitute.reason} (the configuration of ${substitute.savedAt} is used)`;
  }

  /** All endpoints, by port. */
  list(): StoredEndpoint[] {
    return [...this.#byPort];
  }

  get #byPort(): readonly StoredEndpoint[] {
    this.#sorted ??= this.all().sort((a, b) => a.endpoint.port - b.endpoint.port);
    return this.#sorted;
  }

  /** All endpoints, in no order. */
  all(): StoredEndpoint[] {
    return [...this.#byId.values()];
  }

  byId(id: string): StoredEndpoint | undefined {
    return this.#byId.get(id);
  }

  byPort(port: number): StoredEndpoint | undefined {
    return this.#byPort.find(({ endpoint }) => endpoint.port === port);
  }

  /**
   * The endpoint that a request names.
   * @throws FluxError `not-found`, `invalid` when port and id name different ones
   */
  find(key: EndpointKey): StoredEndpoint {
    const found = key.id === undefined ? this.byPort(key.port ?? 0) : this.#byId.get(key.id);
    if (found === undefined)
      throw new FluxError('not-found', key.id === undefined ? `no endpoint on port ${key.port}` : `no endpoint ${key.id}`);
    if (key.port !== undefined && found.endpoint.port !== key.port) {
      const message = `endpoint ${key.id} is on port ${found.endpoint.port}; newPort moves it`;
      throw new FluxError('invalid', message, { issues: [{ path: 'port', message }] });
    }
    return found;
  }

  /** @throws FluxError `revision-mismatch` with the current endpoint, when If-Match names another revision */
  ensureRevision(stored: StoredEndpoint, expected: number | null): void {
    if (expected === null || expected === stored.revision) return;
    const data = { endpoint: toPublicEndpoint(stored.endpoint), revision: stored.revision };
    throw new FluxError('revision-mismatch', `revision ${expected} is not the current one, ${stored.revision}`, { data });
  }

  /** @throws FluxError `revision-mismatch` when If-Match names another revision of the whole configuration */
  ensureWhole(expected: number | null): void {
    if (expected === null || expected === this.revision) return;
    throw new FluxError('revision-mismatch', `revision ${expected} is not the current one, ${this.revision}`);
  }

  /**
   * Checks that a change which was prepared in turns is still based on the current state.
   * @param whole the revision of the whole configuration that the change is based on; null: only its endpoints count
   * @throws an error for onNewest() when it is not
   */
  ensureBasis(changes: readonly { before: StoredEndpoint | null }[], whole: number | null): void {
    for (const { before } of changes) {
      if (before === null || this.#byId.get(before.endpoint.id)?.revision === before.revision) continue;
      throw new OutdatedError('revision-mismatch', `endpoint ${before.endpoint.id} has just been changed`);
    }
    if (whole !== null && whole !== this.#complete) throw new OutdatedError('revision-mismatch', 'another endpoint has just been changed');
  }

  /**
   * Refuses a change of endpoints that a change waiting for its confirmation holds. Reads the store first, because another node may have
   * confirmed the waiting change.
   * @throws FluxError `busy` when the change still waits; an error for onNewest() when it does not; `unavailable`
   */
  async refuseWaiting(keys: string[], undone: number | null): Promise<never> {
    await this.load();
    this.waiting.ensureFree(keys, undone);
    throw new OutdatedError('busy', 'the waiting change has just been confirmed or undone');
  }

  /**
   * Runs one change alone on this node for `keys`, based on the state known at the call.
   * @throws FluxError `busy` at once when another change holds a key: a queued change would answer about an outdated state. `unavailable`
   * at once when the store is away
   */
  async exclusively<T>(keys: string[], change: () => Promise<T>): Promise<T> {
    const basis = keys.map((key) => [key, this.#byId.get(key)?.revision ?? 0] as const);
    if (keys.some((key) => this.#applying.has(key))) await this.#reconciled(keys);
    const taken = keys.find((key) => this.#locked.has(key) || this.#applying.has(key));
    if (taken !== undefined) throw new FluxError('busy', `another change of ${taken} is in progress`);
    for (const [key, revision] of basis) this.#locked.set(key, revision);
    try {
      if (this.storeError !== null) await this.load();
      return await change();
    } finally {
      for (const key of keys) this.#locked.delete(key);
      this.#released.emit();
      this.#idle.emit(keys);
    }
  }

  /**
   * Runs a change, and again on the new state each time that another process of the same store was first.
   * @throws FluxError `busy` when other processes were first at every attempt
   */
  async onNewest<T>(change: () => Promise<T>): Promise<T> {
    for (let attempt = 1; ; attempt++) {
      try {
        return await change();
      } catch (error) {
        if (!(error instanceof OutdatedError)) throw error;
        if (attempt === ATTEMPTS)
          throw new FluxError('busy', `other nodes change the configuration at the same time: ${error.message}`, { cause: error });
      }
    }
  }

  /** True for errors after which `onNewest` tries again; they say nothing about the change itself. */
  isOutdated(error: unknown): boolean {
    return error instanceof OutdatedError;
  }

  /** Runs the reconciler's work on the endpoints and ports of `keys`; changes of these keys wait a moment for it. */
  async applying<T>(keys: string[], work: () => Promise<T>): Promise<T> {
    const running = work();
    const settled = running.then(
      () => {},
      () => {},
    );
    for (const key of keys) this.#applying.set(key, settled);
    try {
      return await running;
    } finally {
      for (const key of keys) this.#applying.delete(key);
      this.#idle.emit(keys);
    }
  }

  /** True while a change of this endpoint is under way. */
  isLocked(id: string): boolean {
    return this.#locked.has(id);
  }

  /** True while this endpoint is brought in step with the store. */
  isApplying(id: string): boolean {
    return this.#applying.has(id);
  }

  /** Reads everything. The store wins, even when a restored backup took it back to an earlier revision. @throws FluxError `unavailable` */
  async load(): Promise<void> {
    const known = this.revision;
    const snapshot = await this.#noting(this.#store.load(), () => true);
    this.#substitute = snapshot.away ?? null;
    const wentBack = snapshot.revision < known;
    // This snapshot is older than a change of this process that is completely known now.
    if (!wentBack && snapshot.revision < this.#complete) return;
    this.#byId.clear();
    for (const stored of snapshot.endpoints) this.#byId.set(stored.endpoint.id, stored);
    this.#sorted = null;
    this.#complete = snapshot.revision;
    if (wentBack) this.#ahead.clear();
    for (const [revision, changes] of [...this.#ahead].sort(([a], [b]) => a - b)) {
      if (revision > snapshot.revision) this.#apply(changes, revision);
      else this.#ahead.delete(revision);
    }
    this.#advance();
    this.#changed.emit();
    await this.waiting.replace(snapshot.pending, (revision) =>
      this.rowsOf(revision).catch((error: unknown) => {
        if (error instanceof FluxError && error.kind === 'unavailable') return null;
        throw error;
      }),
    );
  }

  /** The history rows of one revision. @throws FluxError `unavailable` */
  async rowsOf(revision: number): Promise<HistoryRow[]> {
    const rows = await this.history({ before: revision + 1, limit: 1 });
    return rows.filter((row) => row.revision === revision);
  }

  /** All endpoints as they were right after `revision`. @throws FluxError `not-found`, `unavailable` */
  async at(revision: number): Promise<StoredEndpoint[]> {
    return (await this.#noting(this.#store.at(revision))).endpoints;
  }

  /** The whole history, newest first. @throws FluxError `unavailable` */
  history(query: HistoryQuery): Promise<HistoryRow[]> {
    return this.#noting(this.#store.history(query));
  }

  /** The whole history, oldest first. @throws FluxError `unavailable` */
  rows(after: RowPlace, limit: number): Promise<RowPage> {
    return this.#noting(this.#store.rows(after, limit));
  }

  /** Gives the empty store a history. @throws FluxError `exists`, `invalid`, `unavailable`; the store stays empty then */
  async adopt(past: Past, meta: ChangeMeta): Promise<number> {
    const revision = await this.#noting(this.#store.adopt(past));
    await this.load();
    const changes = this.list().map(({ endpoint: { id, port } }) => ({ id, port, kind: 'added' as const }));
    this.#committed.emit({ revision, meta, changes });
    return revision;
  }

  /** Makes a waiting change permanent. @throws FluxError `not-found` when the change does not wait (any more), `unavailable` */
  async confirm(revision: number): Promise<void> {
    await this.#noting(this.#store.confirm(revision)).catch((error: unknown) => {
      if (error instanceof FluxError && error.kind === 'not-found') this.waiting.settle(revision);
      throw error;
    });
    this.waiting.settle(revision);
  }

  /**
   * Writes all changes as one revision. The store compares each endpoint with the state known when the endpoint was locked.
   * @param options `whole`: the revision that the whole configuration must still have; null: no such comparison
   * @throws FluxError for onNewest() when another process was first; `unavailable` when nothing was written, unless its message says that
   * the result is unknown
   */
  async commit(
    changes: StoreChange[],
    meta: ChangeMeta,
    { whole = null, ...options }: CommitOptions & { whole?: number | null } = {},
  ): Promise<number> {
    // The object has no prototype, because an endpoint may be called __proto__.
    const expected: Record<string, number> = Object.create(null);
    const keys = new Set<string>();
    const kinds: Committed['changes'] = [];
    for (const change of changes) {
      const id = change.kind === 'put' ? change.endpoint.id : change.id;
      const before = this.#byId.get(id)?.endpoint ?? null;
      const after = change.kind === 'put' ? change.endpoint : null;
      for (const key of lockKeys(id, before, after)) keys.add(key);
      expected[id] = this.#locked.get(id) ?? this.#byId.get(id)?.revision ?? 0;
      kinds.push({ id, port: (after ?? before)?.port ?? 0, kind: after === null ? 'removed' : expected[id] === 0 ? 'added' : 'updated' });
    }
    const ids = Object.keys(expected);
    if (whole !== null) expected[WHOLE] = whole;
    const dueAt = options.confirmUntil === undefined ? 0 : dueIn(options.confirmUntil);
    reachStep('storing');
    const revision = await this.#noting(this.#store.commit(changes, expected, meta, options)).catch((error: unknown) =>
      this.#outdated(error),
    );
    reachStep('stored');
    this.#committed.emit({ revision, meta, changes: kinds });
    if (options.settles !== undefined) this.waiting.settle(options.settles);
    if (options.confirmUntil !== undefined) this.waiting.add({ revision, until: options.confirmUntil, dueAt, ids, keys });
    if (revision <= this.#complete) return revision;
    this.#apply(changes, revision);
    this.#ahead.set(revision, changes);
    this.#advance();
    this.#changed.emit();
    if (this.isBehind) this.#behind.emit();
    return revision;
  }

  /** The store refused a change that was valid for this process, so another process has changed the state. */
  async #outdated(error: unknown): Promise<never> {
    if (!(error instanceof FluxError) || !['revision-mismatch', 'exists', 'not-found'].includes(error.kind)) throw error;
    await this.load();
    throw new OutdatedError(error.kind, error.message, { issues: error.issues, cause: error });
  }

  #apply(changes: StoreChange[], revision: number): void {
    this.#sorted = null;
    for (const change of changes) {
      if (change.kind === 'put') this.#byId.set(change.endpoint.id, { endpoint: change.endpoint, revision });
      else this.#byId.delete(change.id);
    }
  }

  #advance(): void {
    while (this.#ahead.delete(this.#complete + 1)) this.#complete++;
  }

  async #reconciled(keys: string[]): Promise<void> {
    const running = keys.flatMap((key) => this.#applying.get(key) ?? []);
    if (running.length > 0) await new Deadline(RECONCILE_WAIT_MS_MAX).reaches(Promise.all(running));
  }

  /** @param isFault true for an error that shows a failing store, false for an error about the request */
  async #noting<T>(work: Promise<T>, isFault = isStoreFault): Promise<T> {
    try {
      const result = await work;
      this.#storeError = null;
      return result;
    } catch (error) {
      if (isFault(error)) {
        this.#storeError = messageOf(error);
        this.#behind.emit();
      }
      throw error;
    }
  }
}

function isStoreFault(error: unknown): boolean {
  return !(error instanceof FluxError) || error.kind === 'unavailable' || error.kind === 'internal';
}
