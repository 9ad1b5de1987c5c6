/** Authenticators and rules in their normal form (docs/access.md). */

export type AuthConfig = FixedAuthConfig | AskedAuthConfig;

/** Authenticators that the asking thread asks (workers/task/ask-task.ts): a server, a token or a file decides. */
export type AskedAuthConfig = HttpAuthConfig;

/** Every kind of authenticator, in the order of counters and documents. */
export const AUTH_TYPES = ['fixed', 'http'] as const;
export type AuthType = (typeof AUTH_TYPES)[number];

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

/** Limits of asking, of every authenticator but `fixed`. */
export interface AskTerms {
  filter: AuthFilter;
  /** milliseconds from the login to a usable answer, the wait for a free request included */
  timeout: number;
  /** requests under way at one time, over all threads of the node */
  maxRequests: number;
  /** what a login gets while the authenticator gives no usable answer: a refusal, or the next authenticator of the list */
  onUnavailable: 'deny' | 'ignore';
  /** seconds that a decision is kept; 0: every login is asked about */
  cacheSeconds: number;
}

/** A web service decides. */
export interface HttpAuthConfig extends AskTerms {
  authType: 'http';
  /** http or https; placeholders may stand in the path and the query */
  url: string;
  method: 'POST' | 'GET';
  /** by lower-case name; values may hold placeholders */
  headers: Record<string, string>;
  /** fields of the body, as JSON, or as a form when content-type says so; values may hold placeholders; null: no body (GET) */
  body: Record<string, string | number | boolean> | null;
  /** `status`: the status alone decides, and the body is not read */
  answer: 'auto' | 'status';
  /** certificates that may have signed the server's, as PEM text or the path of a file; null: those of Node */
  ca: string | null;
}

/** Rights that an authenticator gives to one client, beside the rules of its endpoint. */
export interface OwnRights {
  /** true: no rule applies to the client */
  isSuperuser: boolean;
  /** consulted in order before the endpoint's rules */
  rules: readonly AclRule[];
}

/** One ACL rule in its normal form; the schema turns FluxMQ's other spellings into it. */
export interface AclRule {
  permission: 'allow' | 'deny';
  subject: { type: 'all' | 'user' | 'clientId' | 'ip'; value: string };
  action: 'publish' | 'subscribe' | 'pubsub';
  /** topic filter, or `eq:` and a filter that is not matched but compared; may hold `${clientId}` and `${username}` */
  topic: string;
  /** ascending; the rule is about messages, or requested subscriptions, of these QoS only. Absent: of all */
  qos?: (0 | 1 | 2)[];
  /** with `publish` only: the rule is about messages with this RETAIN flag only. Absent: about both kinds */
  retain?: boolean;
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
