/** A wrapper around a store: seals secrets on their way into the store, and opens them on their way out. */

import type { Endpoint } from '../../endpoint/endpoint.ts';
import { mapSecrets } from '../../endpoint/secrets/secrets.ts';
import { FluxError } from '../../kernel/errors.ts';
import type { DocumentStore, NodeStore } from '../documents/document-store.ts';
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
import { isSealed, type Sealer } from './sealer.ts';

/**
 * Wraps a store; documents pass as they are, because their bodies are sealed where they are made. Secrets in clear, written before there was a key, are read as they are and sealed at the next write.
 * When a key is missing, `load` and `at` fail with `unprocessable`; `history` and `rows` return the sealed text in place of the secret.
 */
export function sealStore(inner: NodeStore, sealer: Sealer): NodeStore {
  return new SealedStore(inner, sealer);
}

class SealedStore implements NodeStore {
  readonly documents: DocumentStore;
  readonly #inner: NodeStore;
  readonly #sealer: Sealer;

  constructor(inner: NodeStore, sealer: Sealer) {
    this.documents = inner.documents;
    this.#inner = inner;
    this.#sealer = sealer;
  }

  async load(): Promise<StoreSnapshot> {
    return this.#unsealAll(await this.#inner.load());
  }

  async commit(changes: StoreChange[], expected: Record<string, number>, meta: ChangeMeta, options?: CommitOptions): Promise<number> {
    const sealed = changes.map((change): StoreChange => {
      return change.kind === 'put' ? { kind: 'put', endpoint: this.#seal(change.endpoint) } : change;
    });
    return this.#inner.commit(sealed, expected, meta, options);
  }

  async history(query: HistoryQuery): Promise<HistoryRow[]> {
    return this.#unsealRows(await this.#inner.history(query));
  }

  async at(revision: number): Promise<StoreSnapshot> {
    return this.#unsealAll(await this.#inner.at(revision));
  }

  confirm(revision: number): Promise<void> {
    return this.#inner.confirm(revision);
  }

  async rows(after: RowPlace, limit: number): Promise<RowPage> {
    const page = await this.#inner.rows(after, limit);
    return { ...page, rows: this.#unsealRows(page.rows) };
  }

  adopt(past: Past): Promise<number> {
    const seal = (secret: string) => (isSealed(secret) ? secret : this.#sealer.seal(secret));
    const sealAll = (endpoint: Endpoint | null) => endpoint && mapSecrets(endpoint, seal);
    return this.#inner.adopt({
      ...past,
      async *pieces() {
        for await (const rows of past.pieces())
          yield rows.map((row) => ({ ...row, before: sealAll(row.before), after: sealAll(row.after) }));
      },
    });
  }

  compact(limits: HistoryLimits): Promise<boolean> {
    return this.#inner.compact(limits);
  }

  size(): Promise<StoreSize> {
    return this.#inner.size();
  }

  close(): Promise<void> {
    return this.#inner.close();
  }

  #unsealRows(rows: HistoryRow[]): HistoryRow[] {
    const read = (endpoint: Endpoint | null) => endpoint && mapSecrets(endpoint, (secret) => this.#tryUnseal(secret));
    return rows.map((row) => ({ ...row, before: read(row.before), after: read(row.after) }));
  }

  #seal(endpoint: Endpoint): Endpoint {
    return mapSecrets(endpoint, (secret) => this.#sealer.seal(secret));
  }

  #unsealAll(snapshot: StoreSnapshot): StoreSnapshot {
    return { ...snapshot, endpoints: snapshot.endpoints.map((stored) => this.#unseal(stored)) };
  }

  #unseal({ endpoint, revision }: StoredEndpoint): StoredEndpoint {
    const read = (secret: string, path: string): string => {
      try {
        return this.#sealer.unseal(secret);
      } catch (error) {
        if (!(error instanceof FluxError)) throw error;
        const message = `The secrets of the store cannot be read: ${path} of endpoint ${endpoint.id} ${error.message}`;
        throw new FluxError(error.kind, message, { cause: error });
      }
    };
    return { endpoint: mapSecrets(endpoint, read), revision };
  }

  /** An old change may be sealed with a key that is lost; the rest of its row is still worth reading. */
  #tryUnseal(secret: string): string {
    try {
      return this.#sealer.unseal(secret);
    } catch (error) {
      if (error instanceof FluxError) return secret;
      throw error;
    }
  }
}
