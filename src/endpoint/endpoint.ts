/** An endpoint in its complete, validated form, with every default filled in (docs/endpoints.md). */

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
  /** topic filter; may hold `${clientId}` and `${username}` */
  topic: string;
}

export interface AclConfig {
  default: 'allow' | 'deny';
  rules: AclRule[];
}

export interface ServerOptions {
  soBacklog: number;
  workerGroupSize: number | 'auto';
}

export interface ChildOptions {
  tcpNodelay: boolean;
  soKeepalive: boolean;
  /** seconds; -1 = system default, 0 = reset on close */
  soLinger: number;
}

export type TlsVersion = 'TLSv1.2' | 'TLSv1.3';

/** TLS of an endpoint. Every key is present; null: not configured (docs/tls.md). */
export interface SslConfig {
  enabled: boolean;
  /** PEM text, or the path of a PEM file: the certificate, then its intermediate certificates */
  cert: string | null;
  /** PEM text or path; null: the file of `cert` holds the key */
  key: string | null;
  /** PEM text or path: the authorities of accepted client certificates */
  ca: string | null;
  passphrase: string | null;
  /** PKCS#12 */
  keyStorePath: string | null;
  keyStorePassword: string | null;
  /** PKCS#12 */
  trustStorePath: string | null;
  trustStorePassword: string | null;
  protocols: TlsVersion[];
  /** OpenSSL's names; empty: the default ones */
  cipherSuites: string[];
  clientAuth: 'none' | 'optional' | 'required';
  /** PEM text or path: one revocation list of each authority */
  crl: string | null;
}

/** A configured port. Every key is present: the schema fills defaults in. */
export interface Endpoint {
  id: string;
  port: number;
  host: string;
  useWebsocket: boolean;
  path: string;
  enableAuth: boolean;
  /** null: the node's `auth` list is used */
  authConfig: AuthConfig[] | null;
  enableAcl: boolean;
  /** null: the node's `acl` is used */
  aclConfig: AclConfig | null;
  messageMaxSize: number;
  maxConnectionSize: number;
  maxConnectionPerSecond: number;
  /** from one address; null: a tenth of maxConnectionSize (defaults.ts) */
  maxConnectionPerAddress: number | null;
  /** from one address; null: a tenth of maxConnectionPerSecond */
  maxConnectionPerAddressPerSecond: number | null;
  maxSessionSize: number;
  maxSendWindowSize: number;
  maxReceiveWindowSize: number;
  maxQueuedMessages: number;
  /** bytes queued for one session, and bytes in flight to it */
  maxQueuedBytes: number;
  /** subscriptions of one client */
  maxSubscriptions: number;
  /** topic aliases that a client may set, and KiB that their topics may take together */
  maxTopicAlias: number;
  /** retained messages that its clients may have on this node */
  maxRetainedMessages: number;
  /** bytes of the retained messages of its clients, with topics and properties, and 200 more for each message */
  maxRetainedBytes: number;
  /** seconds, for MQTT 5 clients; KEEP_ALIVE_MAX: no limit */
  maxKeepAlive: number;
  /** milliseconds from accept to CONNECT */
  idleTimeout: number;
  /** milliseconds from accept to the end of the TLS handshake and HTTP upgrade */
  handshakeTimeout: number;
  sessionPersistence: boolean;
  namespace: string;
  sslConfig: SslConfig;
  serverOptions: ServerOptions;
  childOptions: ChildOptions;
  exclusivePool: boolean;
  wiretap: boolean;
  enabled: boolean;
  isDefault: boolean;
}

/** The longest Keep Alive that a client can ask for, seconds. */
export const KEEP_ALIVE_MAX = 65_535;

/** How a change of a key takes effect (docs/endpoints.md). Ordered from mildest to hardest. */
export type Effect = 'none' | 'live' | 'admission' | 'handshake' | 'rebind' | 'fixed';

/** One changed key. */
export interface KeyChange {
  path: string;
  from: unknown;
  to: unknown;
  effect: Effect;
}

/** Hosts that mean all addresses of a machine. */
const EVERY_ADDRESS: ReadonlySet<string> = new Set(['0.0.0.0', '::']);

/** True for a host on which a listener accepts on every address, of IPv4 or of both families. */
export function isEveryAddress(host: string): boolean {
  return EVERY_ADDRESS.has(host);
}
