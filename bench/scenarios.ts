/** All scenarios, in display order. */

import { type BrokerNeeds, LOGIN, type Load, NO_AUTH, type Scenario } from './scenario.ts';

/** The defaults of all loads. */
export const FLOW: Load = {
  kind: 'flow',
  pattern: 'pairs',
  publishers: 50,
  subscribers: 50,
  qos: 0,
  version: 4,
  payload: 64,
  userProperties: 0,
  window: 64,
  rate: 0,
  isWebsocket: false,
  isTls: false,
  isFramedEach: false,
  ...NO_AUTH,
  filters: 0,
  newFilters: 0,
  connections: 0,
};

const PLAIN: BrokerNeeds = { isWebsocket: false, isTls: false, hasAuth: false, workers: 1 };

interface Options {
  isQuick?: boolean;
  peers?: readonly string[];
  needs?: Partial<BrokerNeeds>;
}

function scenario(name: string, title: string, load: Partial<Load>, { isQuick = false, peers = [], needs = {} }: Options = {}): Scenario {
  return { name, title, isQuick, peers, load: { ...FLOW, ...load }, needs: { ...PLAIN, ...needs } };
}

const FANOUT = { pattern: 'fanout', publishers: 1, subscribers: 100, window: 50 } as const;
const WEBSOCKET = { isWebsocket: true } as const;
const WEBSOCKET_PEERS = { peers: ['fluxmq', 'fluxmq-uws', 'fluxmq-builtin', 'mosquitto'], needs: WEBSOCKET } as const;
/** Over TLS, from few connections: each handshake costs the load generator as much as the broker. */
const SECURE = { isWebsocket: true, isTls: true } as const;
const SECURE_PEERS = { ...WEBSOCKET_PEERS, needs: SECURE } as const;
/** Nothing to batch, as in `sparse`. */
const SPARSE = { publishers: 1000, subscribers: 1000, rate: 10_000 } as const;
const WORKERS = (workers: number): Options => ({ peers: ['fluxmq'], needs: { workers } });

export const SCENARIOS: readonly Scenario[] = [
  scenario('fanout', 'fan-out 1→100, QoS 0, 64 B, window 50', FANOUT, { isQuick: true }),
  scenario('fanout-1000', 'fan-out 1→1,000, QoS 0, 64 B, window 50', { ...FANOUT, subscribers: 1000 }),
  scenario('pairs', '50 pairs, QoS 0, 64 B, window 64', {}, { isQuick: true }),
  scenario('fanin', 'fan-in 50→1, QoS 0, 64 B, window 50', { pattern: 'fanin', subscribers: 1, window: 50 }, { isQuick: true }),
  scenario('shared', 'shared subscription 50→10, QoS 0, 64 B, window 64', { pattern: 'shared', subscribers: 10, version: 5 }),
  scenario('pairs-qos1', '50 pairs, QoS 1, 64 B, window 20', { qos: 1, window: 20 }, { isQuick: true }),
  scenario('pairs-qos2', '50 pairs, QoS 2, 64 B, window 20', { qos: 2, window: 20 }),
  scenario('pairs-v5', '50 pairs, MQTT 5, QoS 0, 64 B, window 64, no properties', { version: 5 }),
  scenario(
    'pairs-v5-props',
    '50 pairs, MQTT 5, QoS 0, 64 B, window 64, 3 user properties',
    { version: 5, userProperties: 3 },
    { isQuick: true },
  ),
  scenario('fanout-4k', 'fan-out 1→50, QoS 0, 4 KiB, window 50', { ...FANOUT, subscribers: 50, payload: 4096 }, { isQuick: true }),
  scenario('fanout-64k', 'fan-out 1→50, QoS 0, 64 KiB, window 8', { ...FANOUT, subscribers: 50, payload: 65_536, window: 8 }),
  scenario('pairs-64k', '50 pairs, QoS 0, 64 KiB, window 4', { payload: 65_536, window: 4 }),
  scenario('window-1', '50 pairs, QoS 0, 64 B, window 1', { window: 1 }, { isQuick: true }),
  scenario('sparse', '1,000 pairs, QoS 0, 64 B, 10,000 messages/s', SPARSE, { isQuick: true }),
  scenario('fanout-rate', 'fan-out 1→100, QoS 0, 64 B, 200 publishes/s', { ...FANOUT, rate: 200 }),
  scenario('pairs-rate', '50 pairs, QoS 0, 64 B, 10,000 messages/s', { rate: 10_000 }),
  scenario('pairs-qos1-rate', '50 pairs, QoS 1, 64 B, 5,000 messages/s', { qos: 1, rate: 5000 }),
  scenario('filters-100k', '100,000 subscriptions, 20 % wildcards, 20,000 topics, QoS 0, window 64', {
    pattern: 'scattered',
    filters: 100_000,
  }),
  scenario(
    'subscribe-storm',
    '50 pairs, QoS 0, 64 B, 5,000 messages/s, while 10 clients subscribe 10,000 new filters, 20 % wildcards',
    { rate: 5000, newFilters: 10_000 },
    { isQuick: true },
  ),
  scenario('auth-acl', '50 pairs, QoS 0, 64 B, window 64, password and ACL', LOGIN, { needs: { hasAuth: true } }),
  scenario('storm', 'connect storm, 200 at a time', { kind: 'storm', connections: 1000 }, { isQuick: true }),
  scenario('idle', '10,000 idle connections', { kind: 'idle', connections: 10_000 }),
  scenario('ws-fanout', 'WebSocket fan-out 1→100, QoS 0, 64 B, window 50', { ...FANOUT, ...WEBSOCKET }, WEBSOCKET_PEERS),
  scenario('ws-pairs', 'WebSocket 50 pairs, QoS 0, 64 B, window 64', WEBSOCKET, WEBSOCKET_PEERS),
  scenario(
    'ws-each',
    'WebSocket 50 pairs, QoS 0, 64 B, window 64, one packet a frame',
    { ...WEBSOCKET, isFramedEach: true },
    WEBSOCKET_PEERS,
  ),
  scenario('ws-rate', 'WebSocket 50 pairs, QoS 0, 64 B, 10,000 messages/s', { ...WEBSOCKET, rate: 10_000 }, WEBSOCKET_PEERS),
  scenario('ws-sparse', 'WebSocket 1,000 pairs, QoS 0, 64 B, 10,000 messages/s', { ...WEBSOCKET, ...SPARSE }, WEBSOCKET_PEERS),
  scenario('ws-64k', 'WebSocket 50 pairs, QoS 0, 64 KiB, window 4', { ...WEBSOCKET, payload: 65_536, window: 4 }, WEBSOCKET_PEERS),
  scenario('ws-storm', 'WebSocket connect storm, 200 at a time', { ...WEBSOCKET, kind: 'storm', connections: 1000 }, WEBSOCKET_PEERS),
  scenario('ws-idle', '2,000 idle WebSocket connections', { ...WEBSOCKET, kind: 'idle', connections: 2000 }, WEBSOCKET_PEERS),
  scenario('wss-pairs', 'WebSocket over TLS, 50 pairs, QoS 0, 64 B, window 64', SECURE, SECURE_PEERS),
  scenario(
    'wss-each',
    'WebSocket over TLS, 50 pairs, QoS 0, 64 B, window 64, one packet a frame',
    { ...SECURE, isFramedEach: true },
    SECURE_PEERS,
  ),
  scenario('wss-rate', 'WebSocket over TLS, 50 pairs, QoS 0, 64 B, 10,000 messages/s', { ...SECURE, rate: 10_000 }, SECURE_PEERS),
  scenario('wss-sparse', 'WebSocket over TLS, 1,000 pairs, QoS 0, 64 B, 10,000 messages/s', { ...SECURE, ...SPARSE }, SECURE_PEERS),
  scenario('wss-64k', 'WebSocket over TLS, 50 pairs, QoS 0, 64 KiB, window 4', { ...SECURE, payload: 65_536, window: 4 }, SECURE_PEERS),
  scenario('wss-storm', 'WebSocket over TLS, connect storm, 200 at a time', { ...SECURE, kind: 'storm', connections: 400 }, SECURE_PEERS),
  scenario('wss-idle', '1,000 idle WebSocket connections over TLS', { ...SECURE, kind: 'idle', connections: 1000 }, SECURE_PEERS),
  scenario('workers-1', '50 pairs, QoS 0, 64 B, window 64, one worker', {}, WORKERS(1)),
  scenario('workers-2', '50 pairs, QoS 0, 64 B, window 64, two workers: half of it crosses', {}, WORKERS(2)),
  scenario('workers-4', '50 pairs, QoS 0, 64 B, window 64, four workers: three quarters cross', {}, WORKERS(4)),
];
