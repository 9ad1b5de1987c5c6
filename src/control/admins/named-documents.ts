/** Administrators and API keys as this node knows them. Their bodies are sealed as users are. */

import { type Administrator, type ApiKey, fromNamedBody, nameKey, toNamedBody } from '../../endpoint/admins/admin.ts';
import type { DocumentChange } from '../../storage/documents/document-store.ts';
import type { DocumentCopy } from '../../storage/local/document-copy.ts';
import type { Sealer } from '../../storage/sealed/sealer.ts';

/** A document, and the revision of its last change. */
export interface NamedDocument<T> {
  value: T;
  revision: number;
}

export class NamedDocuments<T extends Administrator | ApiKey> {
  readonly #kind: string;
  readonly #max: number;
  readonly #copy: DocumentCopy;
  readonly #sealer: Sealer;

  /** @param max that a list shows, all of them */
  constructor(kind: string, max: number, copy: DocumentCopy, sealer: Sealer) {
    this.#kind = kind;
    this.#max = max;
    this.#copy = copy;
    this.#sealer = sealer;
  }

  get total(): number {
    return this.#copy.count(this.#kind);
  }

  /** @throws FluxError `unprocessable`: the key that seals it is missing */
  get(name: string): NamedDocument<T> | null {
    const found = this.#copy.get(this.#kind, nameKey(name));
    return found === null ? null : { value: fromNamedBody(found.key, this.#sealer.unseal(found.body)), revision: found.revision };
  }

  /** The first, sorted by name; by default all. @throws FluxError `unprocessable` */
  list(limit = this.#max): NamedDocument<T>[] {
    return this.#copy
      .list(this.#kind, '', null, limit)
      .map(({ key, body, revision }) => ({ value: fromNamedBody(key, this.#sealer.unseal(body)), revision }));
  }

  /** @param expected revision that must still hold; 0: it must not exist */
  put(value: T, expected: number): DocumentChange {
    return { kind: this.#kind, key: nameKey(value.name), body: this.#sealer.seal(toNamedBody(value)), expected };
  }

  removal(name: string, expected: number): DocumentChange {
    return { kind: this.#kind, key: nameKey(name), body: null, expected };
  }
}
