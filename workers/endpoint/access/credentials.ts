/** What a CONNECT brings to its login, and what becomes of it. */

import type { OwnRights } from '../../../src/endpoint/endpoint.ts';

export interface Credentials {
  clientId: string;
  username: string | null;
  password: Buffer | null;
  /** IP address of the peer; together with the user the unit of delays and limits */
  address: string;
  /** id of the endpoint: two endpoints have different users */
  endpoint: string;
  namespace: string;
  /** common name of the verified client certificate; null: there is none */
  certCommonName: string | null;
}

export interface Accepted {
  ok: true;
  username: string | null;
  /** absent: none */
  rights?: OwnRights;
  /** wall milliseconds at which the client is disconnected; absent: never */
  expireAt?: number;
}

export type AuthResult = Accepted | { ok: false; reason: 'badUserNameOrPassword' | 'serverUnavailable' };

/** One authenticator's part in the decision. `unavailable`: it could not be asked, and its configuration ends the login there. */
export type EntryResult = Accepted | 'deny' | 'ignore' | 'unavailable' | 'skipped';
