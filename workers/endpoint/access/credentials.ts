/** The credentials of a CONNECT, and the result of its login. */

import type { X509Certificate } from 'node:crypto';
import type { OwnRights } from '../../../src/endpoint/endpoint.ts';
import type { ScramSecret } from '../../../src/kernel/logins/scram.ts';

export interface Credentials {
  clientId: string;
  username: string | null;
  password: Buffer | null;
  /** IP address of the peer; together with the user the unit of delays and limits */
  address: string;
  /** id of the endpoint: two endpoints have different users */
  endpoint: string;
  namespace: string;
  /** of the client, verified by TLS; null: there is none */
  certificate: X509Certificate | null;
}

export interface Accepted {
  ok: true;
  username: string | null;
  /** the client identifier that the client has from now on; absent: that of its CONNECT */
  clientId?: string;
  /** absent: none */
  rights?: OwnRights;
  /** wall milliseconds at which the client is disconnected; absent: never */
  expireAt?: number;
}

export type AuthResult = Accepted | { ok: false; reason: 'badUserNameOrPassword' | 'serverUnavailable' };

/** One authenticator's part in the decision. `unavailable`: it could not be asked, and its configuration ends the login there. */
export type EntryResult = Accepted | 'deny' | 'ignore' | 'unavailable' | 'skipped';

/** The secret of a user, and the rights that the right proof gives. */
export interface UserSecret {
  secret: ScramSecret;
  /** absent: none */
  rights?: OwnRights;
}

/** One authenticator's part in the search for a secret. `ignore`: it has none for the user. */
export type SecretResult = UserSecret | 'ignore' | 'unavailable' | 'skipped';
