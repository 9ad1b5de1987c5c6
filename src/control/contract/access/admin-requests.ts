/** Requests about administrators and API keys (docs/administrators.md), and the look-ups of their logins. */

import type { AdminChangeAnswer, AdminsAnswer, ApiKeyChangeAnswer, KeysAnswer, NewKeyAnswer } from '../../../answers/admins.ts';
import type { Role } from '../../../endpoint/admins/admin.ts';
import type { RequestContext } from '../request-parts.ts';

/** Every method throws FluxError; `body` arguments are unvalidated JSON. */
export interface AdminRequests {
  list(): AdminsAnswer;
  add(body: unknown, context: RequestContext): Promise<AdminChangeAnswer>;
  /** Keys that the body lacks keep their value. */
  update(body: unknown, context: RequestContext): Promise<AdminChangeAnswer>;
  remove(body: unknown, context: RequestContext): Promise<AdminChangeAnswer>;
}

/** Every method throws FluxError; `body` arguments are unvalidated JSON. */
export interface KeyRequests {
  list(): KeysAnswer;
  /** The answer alone has the text of the key. */
  add(body: unknown, context: RequestContext): Promise<NewKeyAnswer>;
  remove(body: unknown, context: RequestContext): Promise<ApiKeyChangeAnswer>;
}

/** An administrator of the store, for a login. */
export interface KnownAdministrator {
  role: Role;
  hash: string;
}

/** What logins look up, in this node's copy. @throws FluxError `unprocessable`: the key that seals it is missing */
export interface AdminLogins {
  /** null: the store has no such administrator */
  administrator(name: string): KnownAdministrator | null;
  /** The hash of any administrator, to spend the same time on an unknown name; null: there is none. */
  decoy(): string | null;
  /** The role of an API key, whose use is noted; null: it is unknown, wrong, or has ended. */
  useKey(text: string): { name: string; role: Role } | null;
}
