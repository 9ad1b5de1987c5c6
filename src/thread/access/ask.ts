/** Plain data that crosses threads when an authenticator outside of the endpoint's thread judges a login. */

import type { AclRule, AskedAuthConfig, OwnRights } from '../../endpoint/endpoint.ts';
import type { ScramMethod, ScramSecret } from '../../kernel/logins/scram.ts';

/** The client that logs in. */
export interface AskWho {
  clientId: string;
  username: string | null;
  password: Uint8Array | null;
  /** address of the peer, without port */
  ip: string;
  /** id of the endpoint */
  endpoint: string;
  namespace: string;
  /** common name of a verified client certificate; null: there is none */
  certCommonName: string | null;
  /** the client proves its password by SCRAM, and the question is for the secret of the user; absent: for a decision */
  scram?: ScramMethod;
  /** of the authenticator `users`: main adds it */
  found?: FoundInDirectory;
}

/** What a login needs of a user in the directory. */
export interface FoundUser {
  hash: string;
  isSuperuser: boolean;
  acl: AclRule[];
  groups: string[];
  disabled: boolean;
}

/** The user that a login is about, null: there is none; then `decoy` is a hash to spend the same time on. Or why there is no answer. */
export type FoundInDirectory = { user: FoundUser | null; decoy: string | null } | { failure: string };

/** A job of the asking thread. */
export interface AskJob {
  /** digest of `config`: equal configurations share connections, limits and the circuit breaker, whatever endpoint they are of */
  key: string;
  config: AskedAuthConfig;
  who: AskWho;
}

export interface Allowed {
  result: 'allow';
  /** the user name that the client has from now on; absent: the one of its CONNECT */
  username?: string | null;
  /** absent: none */
  rights?: OwnRights;
  /** wall milliseconds at which the login ends; absent: never */
  expireAt?: number;
  /** wall milliseconds from which the decision must not be used again; absent: `expireAt` */
  keepUntil?: number;
}

/** The decision of an authenticator. `ignore`: it does not know the client, and the next one decides. */
export type LoginVerdict = Allowed | { result: 'deny' } | { result: 'ignore' };

/** Why there is no decision: no usable answer; too many requests under way; the circuit breaker waits. */
export type NoVerdict = { result: 'failed'; reason: string } | { result: 'refused' } | { result: 'paused' };

/** The secret of a user, and the rights that a client with the right proof has. */
export interface ScramFound {
  result: 'secret';
  secret: ScramSecret;
  rights?: OwnRights;
}

export type AskResult = LoginVerdict | ScramFound | NoVerdict;

/** A line for the log, which the asking thread sends by itself. */
export interface AskNotice {
  level: 'info' | 'warn';
  message: string;
  fields: Record<string, string | number>;
}
