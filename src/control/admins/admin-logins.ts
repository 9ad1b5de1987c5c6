/** The look-ups of logins at the admin API. */

import type { Administrator } from '../../endpoint/admins/admin.ts';
import type { AdminLogins, KnownAdministrator } from '../contract/access/admin-requests.ts';
import type { ApiKeys } from './api-keys.ts';
import type { NamedDocuments } from './named-documents.ts';

export class StoredLogins implements AdminLogins {
  readonly #stored: NamedDocuments<Administrator>;
  readonly #keys: ApiKeys;

  constructor(stored: NamedDocuments<Administrator>, keys: ApiKeys) {
    this.#stored = stored;
    this.#keys = keys;
  }

  administrator(name: string): KnownAdministrator | null {
    const known = this.#stored.get(name);
    return known === null ? null : { role: known.value.role, hash: known.value.hash };
  }

  decoy(): string | null {
    return this.#stored.list(1)[0]?.value.hash ?? null;
  }

  useKey(text: string): { name: string; role: Administrator['role'] } | null {
    return this.#keys.use(text);
  }
}
