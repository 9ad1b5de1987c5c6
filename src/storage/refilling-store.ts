/** A store in the memory of other servers, which may lose it when they restart. A node that still knows the content puts it back. */

import { FluxError } from '../kernel/errors.ts';
import type { DocumentStore, NodeStore } from './documents/document-store.ts';
import {
  type ChangeMeta,
  type CommitOptions,
  type HistoryLimits,
  type HistoryQuery,
  type HistoryRow,
  type Past,
  type RowPage,
  type RowPlace,
  type StoreChange,
  type StoreSize,
  type StoreSnapshot,
  WHOLE,
} from './endpoint-store.ts';

/**
 * Wraps a store. When the store is empty after it had content, the first node that notices fills it with the endpoints that it knows, as
 * the first revision. The history begins anew.
 * @param node name of this node, for the history
 */
export function refill(inner: NodeStore, node: string): NodeStore {
  return new RefillingStore(inner, node);
}

class RefillingStore implements NodeStore {
  readonly documents: DocumentStore;
  readonly #inner: NodeStore;
  readonly #meta: ChangeMeta;
  /** the last known content of the store; null until it was read */
  #known: Pick<StoreSnapshot, 'revision' | 'endpoints'> | null = null;

  constructor(inner: NodeStore, node: string) {
    this.documents = inner.documents;
    this.#inner = inner;
    const reason = 'the NATS servers lost the store, which was in their memory';
    this.#meta = { action: 'restore', actor: 'system', source: 'file', node, requestId: 'refill', reason };
  }

  async load(): Promise<StoreSnapshot> {
    let snapshot = await this.#inner.load();
    if (snapshot.revision === 0 && this.#known !== null && this.#known.endpoints.length > 0) {
      await this.#putBack(this.#known.endpoints);
      snapshot = await this.#inner.load();
    }
    this.#known = snapshot;
    return snapshot;
  }

  async commit(changes: StoreChange[], expected: Record<string, number>, meta: ChangeMeta, options?: CommitOptions): Promise<number> {
    // Refills an emptied store first: otherwise the change would become its only content.
    await this.load();
    const revision = await this.#inner.commit(changes, expected, meta, options);
    if (this.#known !== null && revision > this.#known.revision) {
      const byId = new Map(this.#known.endpoints.map((stored) => [stored.endpoint.id, stored]));
      for (const change of changes) {
        if (change.kind === 'put') byId.set(change.endpoint.id, { endpoint: change.endpoint, revision });
        else byId.delete(change.id);
      }
      this.#known = { revision, endpoints: [...byId.values()] };
    }
    return revision;
  }

  history(query: HistoryQuery): Promise<HistoryRow[]> {
    return this.#inner.history(query);
  }

  at(revision: number): Promise<StoreSnapshot> {
    return this.#inner.at(revision);
  }

  confirm(revision: number): Promise<void> {
    return this.#inner.confirm(revision);
  }

  rows(after: RowPlace, limit: number): Promise<RowPage> {
    return this.#inner.rows(after, limit);
  }

  compact(limits: HistoryLimits): Promise<boolean> {
    return this.#inner.compact(limits);
  }

  size(): Promise<StoreSize> {
    return this.#inner.size();
  }

  async adopt(past: Past): Promise<number> {
    const revision = await this.#inner.adopt(past);
    this.#known = await this.#inner.load();
    return revision;
  }

  close(): Promise<void> {
    return this.#inner.close();
  }

  async #putBack(endpoints: StoreSnapshot['endpoints']): Promise<void> {
    const changes = endpoints.map(({ endpoint }): StoreChange => ({ kind: 'put', endpoint }));
    try {
      await this.#inner.commit(changes, { [WHOLE]: 0 }, this.#meta);
    } catch (error) {
      // Another node refilled the store first.
      if (!(error instanceof FluxError) || error.kind !== 'revision-mismatch') throw error;
    }
  }
}
