/** The combinations of transport, version and number of workers that a broker test runs over, on one broker per test file. */

import { afterAll, beforeAll } from 'vitest';
import type { Broker, BrokerOptions } from './broker.ts';
import { isForeign, startBroker } from './broker.ts';
import type { ConnectOptions, Version } from './encode.ts';
import { destroyAll, RawClient } from './raw-client.ts';
import type { TransportName } from './transport.ts';
import { uid } from './until.ts';

/** High limits: a limit that a test does not mean must not interfere. */
const WIDE = { enableAuth: false, maxConnectionSize: 100_000, maxConnectionPerSecond: 1_000_000, maxSessionSize: 100_000 };

/** The standard endpoints, all of one namespace, by name. */
const ENDPOINTS = {
  tcp1: { ...WIDE },
  ws1: { ...WIDE, useWebsocket: true },
  tcp3: { ...WIDE, serverOptions: { workerGroupSize: 3 } },
  ws3: { ...WIDE, useWebsocket: true, serverOptions: { workerGroupSize: 3 } },
};
export type EndpointName = keyof typeof ENDPOINTS;

/** One combination. With 3 workers the kernel spreads connections, so a pair of clients often sits on two threads. */
export interface Lane {
  name: string;
  version: Version;
  endpoint: EndpointName;
}

function lane(version: Version, endpoint: EndpointName): Lane {
  return { name: `v${version} ${endpoint}`, version, endpoint };
}

/** Every version on TCP, every transport and both numbers of workers with MQTT 5 and 3.1.1. */
export const LANES: Lane[] = [
  lane(5, 'tcp1'),
  lane(5, 'ws3'),
  lane(5, 'tcp3'),
  lane(4, 'tcp1'),
  lane(4, 'ws1'),
  lane(4, 'tcp3'),
  lane(3, 'tcp1'),
];
/** MQTT 5 over both transports and both numbers of workers. */
export const LANES_5: Lane[] = [lane(5, 'tcp1'), lane(5, 'ws1'), lane(5, 'tcp3')];
/** MQTT 3.1.1 and 3.1. */
export const LANES_3: Lane[] = [lane(4, 'tcp1'), lane(4, 'ws3'), lane(3, 'tcp1')];
/** One lane for each version, for rules that do not depend on the transport. */
export const VERSIONS: Lane[] = [lane(5, 'tcp1'), lane(4, 'ws1'), lane(3, 'tcp1')];

/** The operations of a test over lanes. */
export interface Kit {
  readonly broker: Broker;
  /** Opens a connection and sends nothing. */
  open(on: Lane): Promise<RawClient>;
  /** A connected client, with a fresh client identifier unless one is given. @throws Error when the CONNACK is a refusal */
  client(on: Lane, options?: ConnectOptions): Promise<RawClient>;
}

/** Opens a connection and connects. @throws Error when the CONNACK is a refusal */
export async function connected(
  transport: TransportName,
  port: number,
  version: Version,
  options: ConnectOptions = {},
): Promise<RawClient> {
  const client = await RawClient.open(transport, port, version);
  const connack = await client.handshake({ clientId: uid('c'), ...options });
  if (connack.code !== 0) throw new Error(`CONNACK ${connack.code} ${connack.properties.reasonString ?? ''}`);
  return client;
}

/**
 * A broker for the whole file. The broker and every client end after the file, not after each test, because tests may run in parallel. A
 * test that has restarted the broker puts the new one into its place.
 */
export function useBroker(options: () => BrokerOptions): { broker: Broker } {
  let broker: Broker | null = null;
  beforeAll(async () => {
    broker = await startBroker(options());
  }, 40_000);
  afterAll(async () => {
    destroyAll();
    const code = await broker?.stop();
    if (!isForeign && code !== undefined && code !== 0) throw new Error(`the broker ended with ${code}`);
  }, 30_000);
  return {
    get broker(): Broker {
      return broker!;
    },
    set broker(next: Broker) {
      broker = next;
    },
  };
}

/** The four standard endpoints on one broker for the whole file. */
export function useLanes(extra: Record<string, unknown> = {}): Kit {
  return kitOf(useBroker(() => optionsOf(extra)));
}

/** The broker of useSharedLanes(), once it is needed. */
let shared: Promise<Broker> | null = null;

/**
 * The four standard endpoints on one broker for all files that run in this process: its eleven threads take 3 s of CPU time to start. For
 * files whose tests use topics and client identifiers of their own, and look at nothing that counts for the whole broker.
 */
export function useSharedLanes(): Kit {
  let broker: Broker | null = null;
  beforeAll(async () => {
    shared ??= startBroker(optionsOf({}));
    broker = await shared;
  }, 40_000);
  afterAll(async () => {
    destroyAll();
    if (isForeign) return;
    const { body } = await broker!.api('GET', '/api/system/health');
    const { status, workerRestarts } = (body as { data: { status: string; workerRestarts: number } }).data;
    if (status !== 'ok' || workerRestarts > 0) throw new Error(`the broker is ${status} after ${workerRestarts} restarts of workers`);
  }, 30_000);
  return kitOf({
    get broker(): Broker {
      return broker!;
    },
  });
}

const NAMES = Object.keys(ENDPOINTS) as EndpointName[];

function optionsOf(extra: Record<string, unknown>): BrokerOptions {
  return { endpoints: NAMES.map((name) => ({ ...ENDPOINTS[name], ...extra })) };
}

function kitOf(held: { readonly broker: Broker }): Kit {
  const transportOf = (on: Lane): TransportName => (on.endpoint.startsWith('ws') ? 'ws' : 'tcp');
  const portOf = (on: Lane): number => held.broker.ports[NAMES.indexOf(on.endpoint)]!;
  return {
    get broker(): Broker {
      return held.broker;
    },
    open: (on) => RawClient.open(transportOf(on), portOf(on), on.version),
    client: (on, options) => connected(transportOf(on), portOf(on), on.version, options),
  };
}
