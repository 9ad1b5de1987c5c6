/** What the store wants to run, held in memory by the one process that writes it, and the locks of changes under way. */

import type { Endpoint } from '../../endpoint/endpoint.ts';
import { toPublicEndpoint } from '../../endpoint/schema.ts';
import { FluxError } from '../../kernel/errors.ts';
import type { ChangeMeta, EndpointStore, StoreChange, StoredEndpoint } from '../../storage/contract.ts';
import type { EndpointKey } from './change-request.ts';

export class Desired {
  readonly #store: EndpointStore;
  readonly #byId = new Map<string, StoredEndpoint>();
  readonly #locked = new Set<string>();
  #revision = 0;
  #storeError: string | null = null;

  constructor(store: EndpointStore) {
    this.#store = store;
  }

  /** Revision of the newest change. */
  get revision(): number {
    return this.#revision;
  }

  /** Why the store failed when it was last used; null when it worked. */
  get storeError(): string | null {
    return this.#storeError;
  }

  /** All endpoints, by port. */
  list(): StoredEndpoint[] {
    return [...this.#byId.values()].sort((a, b) => a.endpoint.port - b.endpoint.port);
  }

  byId(id: string): StoredEndpoint | undefined {
    return this.#byId.get(id);
  }

  byPort(port: number): StoredEndpoint | undefined {
    return this.list().find(({ endpoint }) => endpoint.port === port);
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

  /** @throws FluxError `exists` when another endpoint has the port or the identifier */
  ensureFree(endpoint: Endpoint, except: string | null): void {
    const issues = [];
    const samePort = this.byPort(endpoint.port);
    if (samePort !== undefined && samePort.endpoint.id !== except) {
      issues.push({ path: 'port', message: `port ${endpoint.port} belongs to endpoint ${samePort.endpoint.id}` });
    }
    if (endpoint.id !== except && this.#byId.has(endpoint.id))
      issues.push({ path: 'id', message: `endpoint ${endpoint.id} exists already` });
    if (issues.length > 0) throw new FluxError('exists', issues.map((issue) => issue.message).join('; '), { issues });
  }

  /** @throws FluxError `revision-mismatch` with the current endpoint, when If-Match names another revision */
  ensureRevision(stored: StoredEndpoint, expected: number | null): void {
    if (expected === null || expected === stored.revision) return;
    const data = { endpoint: toPublicEndpoint(stored.endpoint), revision: stored.revision };
    throw new FluxError('revision-mismatch', `revision ${expected} is not the current one, ${stored.revision}`, { data });
  }

  /**
   * Runs one change while nobody else changes what `keys` names.
   * @throws FluxError `busy` at once when somebody does; nobody waits in line, because the answer would be about an older state
   */
  async exclusively<T>(keys: string[], change: () => Promise<T>): Promise<T> {
    const taken = keys.find((key) => this.#locked.has(key));
    if (taken !== undefined) throw new FluxError('busy', `another change of ${taken} is in progress`);
    for (const key of keys) this.#locked.add(key);
    try {
      return await change();
    } finally {
      for (const key of keys) this.#locked.delete(key);
    }
  }

  /** True while a change of this endpoint is under way. */
  isLocked(id: string): boolean {
    return this.#locked.has(id);
  }

  /** Reads everything. @throws FluxError `unavailable` */
  async load(): Promise<void> {
    const snapshot = await this.#noting(this.#store.load());
    this.#byId.clear();
    for (const stored of snapshot.endpoints) this.#byId.set(stored.endpoint.id, stored);
    this.#revision = snapshot.revision;
  }

  /**
   * Writes all changes as one revision, each compared with what this process knows.
   * @throws FluxError `revision-mismatch`, `exists`, `unavailable`: nothing was written
   */
  async commit(changes: StoreChange[], meta: ChangeMeta): Promise<number> {
    const expected: Record<string, number> = {};
    for (const change of changes) {
      const id = change.kind === 'put' ? change.endpoint.id : change.id;
      expected[id] = this.#byId.get(id)?.revision ?? 0;
    }
    const revision = await this.#noting(this.#store.commit(changes, expected, meta));
    for (const change of changes) {
      if (change.kind === 'put') this.#byId.set(change.endpoint.id, { endpoint: change.endpoint, revision });
      else this.#byId.delete(change.id);
    }
    this.#revision = Math.max(this.#revision, revision);
    return revision;
  }

  async #noting<T>(work: Promise<T>): Promise<T> {
    try {
      const result = await work;
      this.#storeError = null;
      return result;
    } catch (error) {
      const isConflict = error instanceof FluxError && error.kind !== 'unavailable' && error.kind !== 'internal';
      if (!isConflict) this.#storeError = error instanceof Error ? error.message : String(error);
      throw error;
    }
  }
}
