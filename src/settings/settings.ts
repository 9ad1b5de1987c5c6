/** The node's own configuration in its complete form: config.yaml + environment, every default filled in (docs/configuration.md). */

import type { SharedPreference } from '../bus/relay.ts';
import type { BusSettings } from '../bus/settings.ts';
import type { FlappingLimits } from '../endpoint/bans/flapping.ts';
import type { AclConfig, AuthConfig, Endpoint } from '../endpoint/endpoint.ts';
import type { WebsocketTransport } from '../endpoint/keys/address.ts';
import type { DatabaseLogin } from '../kernel/input/database-url.ts';

export interface HttpSettings {
  /** IP address or `localhost` */
  host: string;
  /** 0..65535; 0 = any free port */
  port: number;
  username: string;
  /** null: no login (loopback only); clear or `scrypt$…` */
  password: string | null;
  accessLog: boolean;
  /** may read only */
  viewers: { username: string; password: string }[];
  /** addresses and networks of reverse proxies whose X-Forwarded-* headers are believed */
  trustedProxies: string[];
  /** '' or a path such as `/fluxmq`, under which the API answers, too */
  basePath: string;
  /** null: plain HTTP; paths or PEM text. `key` null: it stands in the file of `crt` */
  ssl: {
    crt: string;
    key: string | null /** signs the certificates of administrators; null: nobody logs in by one */;
    ca: string | null;
  } | null;
}

export interface LogSettings {
  level: 'debug' | 'info' | 'warn' | 'error';
  /** absolute path */
  file: string;
  /** bytes */
  maxSize: number;
  maxFiles: number;
}

/** The key that seals secrets in the store: 32 bytes as hex or base64, else a passphrase. */
export interface SecretKeys {
  /** null: secrets are stored in clear */
  secretKey: string | null;
  /** older keys, for reading what they sealed */
  secretKeysOld: string[];
}

/** `local.dataPath` holds sessions and retained messages with every storeType but MEMORY. */
export type StoreSettings =
  | { storeType: 'LOCAL' | 'MEMORY'; local: { /** absolute path */ dataPath: string } }
  | {
      storeType: 'POSTGRESQL' | 'MYSQL';
      local: { /** absolute path */ dataPath: string };
      datasource: DatabaseLogin & { /** connections at once, 1..1000 */ maxPoolSize: number };
    };

export interface ClusterSettings {
  /** first word of all subjects */
  name: string;
  /** address of this node, told to the others */
  localAddress: string;
  /** null: a single node */
  bus: BusSettings | null;
  /** messages cross to and from other nodes */
  messages: boolean;
  /** bytes of messages that are kept for each node that is away */
  hold: number;
  /** which members of a shared subscription come first */
  sharedSubscriptions: SharedPreference;
  /** milliseconds that a node is down before another one publishes the wills of its clients, 1000..3600000 */
  willGrace: number;
  sync: {
    /** false: the store is read at the start and when a notice comes, but not every `interval` */
    enabled: boolean;
    /** milliseconds between two readings of a store that other nodes use, 100..3600000 */
    interval: number;
    /** milliseconds that a change waits for the other nodes */
    timeout: number;
    /** milliseconds before a notice is repeated for a node that has not answered */
    retryCount: number;
  };
}

export interface Settings {
  node: {
    name: string;
    /** the address of this node's endpoints whose host is 0.0.0.0 or ::; null: every address */
    bindAddress: string | null;
    /** bytes of the node's memory that clients may fill; null: a quarter of the memory */
    memoryBudget: number | null;
    /** for endpoints without their own */
    websocketTransport: WebsocketTransport;
  };
  http: HttpSettings;
  store: StoreSettings;
  cluster: ClusterSettings;
  /** `store.secretKey` and the like, with the file read */
  secrets: SecretKeys;
  auth: AuthConfig[];
  acl: AclConfig;
  /** the endpoints that fill an empty store */
  endpoints: Endpoint[];
  /** false: `endpoints` is absent, and these are the built-in ones */
  areEndpointsGiven: boolean;
  /** rows beyond both limits are dropped: the newest `keep`, and those of the last `keepDays` */
  history: { keep: number; keepDays: number };
  /** days, 0..3650, for which the audit keeps requests; 0: it keeps none */
  audit: { keepDays: number };
  /** null: clients may connect as often as they like */
  flapping: FlappingLimits | null;
  log: LogSettings;
  /** milliseconds, SIGTERM to exit */
  shutdownTimeout: number;
}
