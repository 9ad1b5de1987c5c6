/** The endpoint that results from a port alone (docs/endpoints.md, column "default"). */

import { type ChildOptions, type Endpoint, KEEP_ALIVE_MAX, type ServerOptions, type SslConfig } from './endpoint.ts';

const SERVER_OPTIONS: ServerOptions = { soBacklog: 511, workerGroupSize: 1 };
const CHILD_OPTIONS: ChildOptions = { tcpNodelay: true, soKeepalive: true, soLinger: -1 };

/** The least that one address may have, also at the smallest endpoint: a household may share the address. */
const PER_ADDRESS_MIN = 10;
const PART = 10;
const DEFAULT_CONNECTION_SIZE = 1000;
const DEFAULT_SESSION_SIZE = 100;

/** The default of `maxSessionSize`: each client that is let in may have a persistent session. */
export function defaultSessionSize(maxConnectionSize: number): number {
  return Math.max(DEFAULT_SESSION_SIZE, maxConnectionSize);
}

/** No TLS. */
export function defaultSslConfig(): SslConfig {
  return {
    enabled: false,
    cert: null,
    key: null,
    ca: null,
    passphrase: null,
    keyStorePath: null,
    keyStorePassword: null,
    trustStorePath: null,
    trustStorePassword: null,
    protocols: ['TLSv1.2', 'TLSv1.3'],
    cipherSuites: [],
    clientAuth: 'none',
    crl: null,
  };
}

/** A complete endpoint with every default. `port` is 1..65535. */
export function defaultEndpoint(port: number): Endpoint {
  return {
    id: `mqtt-${port}`,
    port,
    host: '0.0.0.0',
    useWebsocket: false,
    path: '/mqtt',
    enableAuth: true,
    authConfig: null,
    enableAcl: true,
    aclConfig: null,
    messageMaxSize: 4_194_304,
    maxConnectionSize: DEFAULT_CONNECTION_SIZE,
    maxConnectionPerSecond: 100,
    maxConnectionPerAddress: null,
    maxConnectionPerAddressPerSecond: null,
    maxSessionSize: defaultSessionSize(DEFAULT_CONNECTION_SIZE),
    maxSendWindowSize: 100,
    maxReceiveWindowSize: 100,
    maxQueuedMessages: 1000,
    maxQueuedBytes: 16_777_216,
    maxSubscriptions: 100_000,
    maxTopicAlias: 256,
    maxRetainedMessages: 1_000_000,
    maxRetainedBytes: 268_435_456,
    maxKeepAlive: KEEP_ALIVE_MAX,
    idleTimeout: 10_000,
    handshakeTimeout: 10_000,
    sessionPersistence: false,
    namespace: 'default',
    sslConfig: defaultSslConfig(),
    serverOptions: { ...SERVER_OPTIONS },
    childOptions: { ...CHILD_OPTIONS },
    exclusivePool: true,
    wiretap: false,
    enabled: true,
    isDefault: false,
  };
}

/** Connections at one time from one address: `maxConnectionPerAddress`, else a tenth of the endpoint's. */
export function connectionsPerAddress({ maxConnectionPerAddress, maxConnectionSize }: Endpoint): number {
  return maxConnectionPerAddress ?? tenthOf(maxConnectionSize);
}

/** New connections a second from one address: `maxConnectionPerAddressPerSecond`, else a tenth of the endpoint's. */
export function ratePerAddress({ maxConnectionPerAddressPerSecond, maxConnectionPerSecond }: Endpoint): number {
  return maxConnectionPerAddressPerSecond ?? tenthOf(maxConnectionPerSecond);
}

function tenthOf(whole: number): number {
  return Math.max(PER_ADDRESS_MIN, Math.ceil(whole / PART));
}

/** Completes an endpoint of an older version with the keys that it did not know. */
export function completeEndpoint(stored: Partial<Endpoint> & { port: number }): Endpoint {
  const defaults = defaultEndpoint(stored.port);
  return {
    ...defaults,
    ...stored,
    sslConfig: { ...defaults.sslConfig, ...stored.sslConfig },
    serverOptions: { ...defaults.serverOptions, ...stored.serverOptions },
    childOptions: { ...defaults.childOptions, ...stored.childOptions },
  };
}
