/** Authenticators and rules in their normal form (docs/access.md). */

export type AuthConfig = FixedAuthConfig | X509AuthConfig | AskedAuthConfig;

/** Authenticators that the asking thread asks (workers/task/ask-task.ts): a server, a token, a file or the directory decides. */
export type AskedAuthConfig = HttpAuthConfig | JwtAuthConfig | FileAuthConfig | RedisAuthConfig | DatabaseAuthConfig | UsersAuthConfig;

/** Every kind of authenticator, in the order of counters and documents. */
export const AUTH_TYPES = ['fixed', 'http', 'jwt', 'file', 'x509', 'redis', 'database', 'users'] as const;
export type AuthType = (typeof AUTH_TYPES)[number];

/** The stored forms of a password. `auto`: a hash that names its own kind (kernel/logins/hash-forms.ts). */
export const ENCRYPTIONS = ['plain', 'md5', 'sha1', 'sha256', 'sha512', 'scrypt', 'bcrypt', 'argon2id', 'pbkdf2', 'scram', 'auto'] as const;
export type Encryption = (typeof ENCRYPTIONS)[number];

/** One user of the `fixed` authenticator. */
export interface FixedUser {
  username: string;
  /** clear text for `plain`, hex for md5 and sha*, else the hash as hash-forms.ts reads it */
  password: string;
  encrypt: Encryption;
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

/** The client certificate, which TLS has verified, decides: it lets its client in under a name of its own. */
export interface X509AuthConfig {
  authType: 'x509';
  filter: AuthFilter;
  /** the name that becomes the user name: of the subject, or the first alternative name of a kind */
  use: 'commonName' | 'subject' | 'dns' | 'email' | 'uri';
  /** the name becomes the client identifier, too */
  asClientId: boolean;
}

/** Limits of asking. */
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

/** Signed with a secret that both sides know, and with a key that the issuer alone has: one must never be taken for the other. */
export const JWT_BY_SECRET = ['HS256', 'HS384', 'HS512'] as const;
export const JWT_BY_KEY = ['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512', 'ES256', 'ES384', 'ES512', 'EdDSA'] as const;
type JwtAlgorithm = (typeof JWT_BY_SECRET)[number] | (typeof JWT_BY_KEY)[number];

/** A token decides that the client brings. One of `secret`, `publicKey` and `jwksUrl` is given. */
export interface JwtAuthConfig extends AskTerms {
  authType: 'jwt';
  /** where the client puts the token */
  from: 'password' | 'username';
  secret: string | null;
  secretEncoding: 'utf8' | 'base64';
  /** a public key or a certificate: PEM text or the path of a file */
  publicKey: string | null;
  /** address of a set of keys (RFC 7517) */
  jwksUrl: string | null;
  /** seconds after which the set is fetched again */
  jwksRefresh: number;
  /** as of `http`, for `jwksUrl` */
  ca: string | null;
  algorithms: JwtAlgorithm[];
  issuer: string | null;
  audience: string | null;
  /** claims that a token must have, with placeholders */
  claims: Record<string, string>;
  /** claim that becomes the user name; null: the user name of CONNECT, or `sub` when that is the token */
  usernameClaim: string | null;
  /** seconds by which clocks may differ */
  clockTolerance: number;
  /** the client is disconnected when its token ends */
  disconnectAfterExpire: boolean;
}

/** A password file of mosquitto decides, whose hashes may also be scrypt and bcrypt. */
export interface FileAuthConfig extends AskTerms {
  authType: 'file';
  /** relative to the working directory of the process */
  path: string;
}

/** Limits of asking a store of users, and the form of the passwords in it. */
export interface RecordTerms extends AskTerms {
  /** the form of all stored passwords */
  encrypt: Encryption;
  /** where the salt stands, which is kept beside the password, with md5 and sha* */
  saltMode: 'prefix' | 'suffix';
}

/** The Redis servers of an authenticator, and the login there. */
export interface RedisServers {
  mode: 'single' | 'cluster' | 'sentinel';
  /** `host:port`: the server, some of the cluster, or the sentinels */
  servers: string[];
  /** the name that the sentinels have for the master; null with other modes */
  master: string | null;
  /** '' for Redis's default user */
  username: string;
  /** '' for none */
  password: string;
  /** of the sentinels; '' for none */
  sentinelPassword: string;
  database: number;
  tls: boolean;
  /** as of `http` */
  ca: string | null;
}

/** Redis has the passwords of the users. */
export interface RedisAuthConfig extends RecordTerms {
  authType: 'redis';
  redis: RedisServers;
  /** reads one key, in whose name placeholders stand (redis-command.ts) */
  command: string;
}

/** A database has the passwords of the users. */
export interface DatabaseAuthConfig extends RecordTerms {
  authType: 'database';
  datasource: {
    /** as of the store, without a login (kernel/input/database-url.ts) */
    url: string;
    username: string;
    /** '' for none */
    password: string;
    /** connections of a node at one time, 1..64 */
    connections: number;
  };
  /** a query for one row, whose placeholders are parameters (sql-template.ts) */
  authSql: string;
}

/** The directory of users in the store decides (docs/users.md). */
export interface UsersAuthConfig extends AskTerms {
  authType: 'users';
  /** what a user is found by; `both`: the user of that name, else the one of that client identifier */
  look: 'username' | 'clientId' | 'both';
}

/** Rights that an authenticator gives to one client, beside the rules of its endpoint. */
export interface OwnRights {
  /** true: no rule applies to the client */
  isSuperuser: boolean;
  /** consulted in order before the endpoint's rules */
  rules: readonly AclRule[];
  /** names that rules with the subject `group` are about; absent: none */
  groups?: readonly string[];
}

/** Who a rule is about. `certificate`: the common name of a verified client certificate. */
export const SUBJECT_TYPES = ['all', 'user', 'clientId', 'ip', 'group', 'namespace', 'certificate'] as const;
type SubjectType = (typeof SUBJECT_TYPES)[number];

/** One ACL rule in its normal form; the schema turns FluxMQ's other spellings into it. */
export interface AclRule {
  permission: 'allow' | 'deny';
  subject: { type: SubjectType; value: string };
  action: 'publish' | 'subscribe' | 'pubsub';
  /** topic filter, or `eq:` and a filter that is not matched but compared; may hold `${clientId}`, `${username}` and `${certCommonName}` */
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
