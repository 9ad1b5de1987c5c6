/** The owner of a session. A client that knows the client identifier is not necessarily the owner. */

import type { OwnRights } from '../../../src/endpoint/endpoint.ts';

/** Recorded with each connection that takes the session; plain data. */
export interface Holder {
  /** the authenticated user; null when the endpoint demands no login */
  user: string | null;
  /** user name in CONNECT, which access rules judge; not verified when the endpoint demands no login */
  username: string | null;
  /** address of the last connection; access rules judge it while the client is offline */
  address: string;
  /** rights that its login gave the client, beside the rules of the endpoint; null: none; absent in what older versions have stored */
  rights?: OwnRights | null;
  /** of its verified client certificate; absent: there was none */
  certCommonName?: string;
}

/**
 * Whether a client with the login `user` may continue a session. A user with a login and a client without one are different owners.
 * @param holder null: the version that stored the session did not record it, and the first claimant gets the session
 * @param user null: claimed without a login
 */
export function mayTake(holder: Holder | null, user: string | null): boolean {
  return holder === null || holder.user === user;
}
