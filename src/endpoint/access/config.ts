/** Authenticators and rules in their normal form (docs/access.md). */

export type AuthConfig = FixedAuthConfig;

/** One user of the `fixed` authenticator. */
export interface FixedUser {
  username: string;
  /** clear text for `plain`, else the hash (hex for md5/sha*, PHC-like `scrypt$N$r$p$salt$hash` for scrypt, `$2b$…` for bcrypt) */
  password: string;
  encrypt: 'plain' | 'md5' | 'sha1' | 'sha256' | 'sha512' | 'scrypt' | 'bcrypt';
  salt: string;
  saltMode: 'disable' | 'prefix' | 'suffix';
}

/** Limits an authenticator entry to some clients; both are regular expressions over the whole value. */
export interface AuthFilter {
  Client?: string;
  User?: string;
}

export interface FixedAuthConfig {
  authType: 'fixed';
  filter: AuthFilter;
  users: FixedUser[];
}

/** One ACL rule in its normal form; the schema turns FluxMQ's other spellings into it. */
export interface AclRule {
  permission: 'allow' | 'deny';
  subject: { type: 'all' | 'user' | 'clientId' | 'ip'; value: string };
  action: 'publish' | 'subscribe' | 'pubsub';
  /** topic filter, or `eq:` and a filter that is not matched but compared; may hold `${clientId}` and `${username}` */
  topic: string;
}

/**
 * Which of several matching rules decides. `first-match`: the first one of the list. `deny-overrides`: any deny. `allow-overrides`: any
 * allow, as in FluxMQ.
 */
export type AclOrder = 'first-match' | 'deny-overrides' | 'allow-overrides';

export interface AclConfig {
  order: AclOrder;
  /** decides where no rule matches */
  default: 'allow' | 'deny';
  rules: AclRule[];
}
