/** Who a session belongs to: whoever knows its client identifier is not yet that user. */

/** Recorded with each connection that takes the session; plain data. */
export interface Holder {
  /** the user who has logged in; null: the endpoint asks for no login */
  user: string | null;
  /** user name in CONNECT, which is not checked where no login is asked for: access rules are about it */
  username: string | null;
  /** of the last connection: access rules are about it while the client is away */
  address: string;
}

/**
 * Whether a client that is `user` may go on with a session. Who has logged in and who need not are different owners.
 * @param holder null: not recorded by the version that stored the session, so that its first claimant has it
 * @param user null: claimed without a login
 */
export function mayTake(holder: Holder | null, user: string | null): boolean {
  return holder === null || holder.user === user;
}
