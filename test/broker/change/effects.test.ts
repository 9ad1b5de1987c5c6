/** Every key of the endpoint, changed while it runs: what the client that was there, the one that is connecting and the one that comes later get. */

import { connect as connectTcp } from 'node:net';
import { expect, test } from 'vitest';
import { defaultEndpoint } from '../../../src/endpoint/defaults.ts';
import type { Effect, Endpoint } from '../../../src/endpoint/endpoint.ts';
import { lookForTransports } from '../../../src/internals/uws/load.ts';
import type { ConnectOptions } from '../../kit/encode.ts';
import * as encode from '../../kit/encode.ts';
import { freePort } from '../../kit/free-port.ts';
import { connected, useBroker } from '../../kit/lanes.ts';
import { RawClient } from '../../kit/raw-client.ts';
import { openTcp, upgrade } from '../../kit/transport.ts';
import { sleep, uid, until, within } from '../../kit/until.ts';
import type { Body, Case, Scene } from './scene.ts';

const OPEN = { host: '127.0.0.1', enableAuth: false, maxConnectionPerSecond: 100_000 };
const user = (password: string) => ({ authType: 'fixed', authConfig: { users: [{ username: 'u', password }] } });
const as = (password: string): ConnectOptions => ({ username: 'u', password });
const persistent = (): ConnectOptions => ({ clientId: uid('s'), clean: false, properties: { sessionExpiry: 300 } });
const NOBODY = { default: 'deny', rules: [] };
const held = useBroker(() => ({ endpoints: [{ enableAuth: false }] }));

async function api(action: string, body: Body) {
  const answer = await held.broker.api('POST', `/api/endpoints/${action}`, body);
  if (answer.status !== 200) throw new Error(`${action}: ${JSON.stringify(answer.body)}`);
  return (answer.body as { data: { effect: Effect; changes: { path: string; effect: Effect }[] } }).data;
}

async function handshake(client: RawClient, options: ConnectOptions = {}): Promise<{ code: number; client: RawClient }> {
  const { code } = await client.handshake({ clientId: uid('c'), ...options });
  return { code, client };
}

/** The publish is acknowledged with this code. */
const puback = async (client: RawClient, topic: string, code: number, size = 1): Promise<void> => {
  expect(await client.publish(topic, Buffer.alloc(size, 'x'), { qos: 1 })).toBe(code);
};

/** After it, what `to` leaves room for may be replaced, and nothing more is retained. */
function limitsRetained(to: Body, size: number): Case {
  const retain = (client: RawClient, topic: string) => client.publish(topic, Buffer.alloc(size, 'x'), { qos: 1, retain: true });
  const check = async ({ before, during, after, topic }: Scene) => {
    for (const { client } of [{ client: before }, await during(), await after()]) {
      expect([await retain(client, `${topic}/1`), await retain(client, topic)]).toEqual([0x97, 0]);
    }
  };
  return { to, effect: 'live', prepare: async ({ before, topic }) => void (await retain(before, topic)), check };
}

/** How many messages come unacknowledged to a subscriber when ten are published. */
async function window(scene: Scene, client: RawClient): Promise<number> {
  const topic = uid('w/');
  await client.subscribe(topic, 1);
  const { client: publisher } = await scene.after();
  for (let n = 0; n < 10; n++) await publisher.publish(topic, String(n), { qos: 1 });
  await client.ping();
  await sleep(50);
  return client.inbox.splice(0).length;
}

/** A silent newcomer is closed; a present client stays. */
const endsSilent = async ({ before, during, port }: Scene): Promise<void> => {
  expect((await during()).code).toBe(0);
  const silent = await openTcp(port);
  await within('its end', 3000, new Promise((resolve) => silent.once('close', resolve)));
  await before.ping();
};

const isReset = async (client: RawClient): Promise<boolean> => {
  await client.closed();
  return client.transport.socket.errored !== null;
};

const CASES: Record<keyof Endpoint, Case | null> = {
  // Names the endpoint in every request: nothing can change it.
  id: null,
  port: {
    to: {},
    effect: 'rebind',
    paths: ['port'],
    async check({ before, during, after, port }) {
      await before.ping();
      expect((await during()).code).toBe(0);
      await expect(openTcp(port)).rejects.toThrow('ECONNREFUSED');
      expect((await after()).code).toBe(0);
    },
  },
  host: {
    to: { host: '0.0.0.0' },
    effect: 'rebind',
    async check({ before, during, after, port }) {
      await before.ping();
      expect((await during()).code).toBe(0);
      expect((await after()).code).toBe(0);
      const socket = connectTcp(port, '127.0.0.2');
      await new Promise((resolve, reject) => socket.once('connect', resolve).once('error', reject));
      socket.destroy();
    },
  },
  useWebsocket: {
    to: { useWebsocket: true },
    effect: 'rebind',
    async check({ before, during, after }) {
      await before.ping();
      expect((await during()).code).toBe(0);
      expect((await after({}, 'ws')).code).toBe(0);
    },
  },
  path: {
    from: { useWebsocket: true },
    to: { path: '/other' },
    effect: 'admission',
    transport: 'ws',
    async check({ before, port }) {
      await before.ping();
      expect((await upgrade(await openTcp(port))).status).toBe(404);
      expect((await upgrade(await openTcp(port), { path: '/other' })).status).toBe(101);
    },
  },
  websocketTransport: {
    from: { useWebsocket: true },
    to: { websocketTransport: 'uws' },
    effect: 'admission',
    transport: 'ws',
    async check({ before, port }) {
      await before.ping();
      const isThere = lookForTransports().uws === true;
      expect('uwebsockets' in (await upgrade(await openTcp(port))).headers).toBe(isThere);
    },
  },
  serverReference: {
    to: { serverReference: '${address}:1883' },
    effect: 'live',
    // The node is alone: nobody is sent away.
    async check({ before, during, after }) {
      await before.ping();
      expect((await during()).code).toBe(0);
      expect((await after()).code).toBe(0);
    },
  },
  enableAuth: {
    from: user('one'),
    to: { enableAuth: true },
    effect: 'admission',
    async check({ before, during, after, topic }) {
      await puback(before, topic, 0x10);
      expect((await during()).code).toBe(0x87);
      expect((await after(as('one'))).code).toBe(0);
    },
  },
  authConfig: {
    from: { ...user('one'), enableAuth: true },
    to: user('two'),
    paths: ['authConfig'],
    effect: 'admission',
    beforeOptions: as('one'),
    async check({ before, during, after, topic }) {
      await puback(before, topic, 0x10);
      expect((await during(as('one'))).code).toBe(0x86);
      expect((await after(as('two'))).code).toBe(0);
    },
  },
  enableAcl: {
    from: { enableAcl: false, aclType: 'config', aclConfig: NOBODY },
    to: { enableAcl: true },
    effect: 'live',
    prepare: ({ before, topic }) => puback(before, topic, 0x10),
    async check({ before, during, after, topic }) {
      await puback(before, topic, 0x87);
      await puback((await during()).client, topic, 0x87);
      await puback((await after()).client, topic, 0x87);
    },
  },
  aclConfig: {
    to: { aclType: 'config', aclConfig: NOBODY },
    paths: ['aclConfig'],
    effect: 'live',
    prepare: ({ before, topic }) => puback(before, topic, 0x10),
    async check({ before, during, after, topic }) {
      await puback(before, topic, 0x87);
      await puback((await during()).client, topic, 0x87);
      await puback((await after()).client, topic, 0x87);
    },
  },
  messageMaxSize: {
    to: { messageMaxSize: 1024 },
    effect: 'admission',
    async check({ before, during, after, topic }) {
      await puback(before, topic, 0x10, 2000);
      for (const { client } of [await during(), await after()]) {
        expect(client.connack!.properties.maximumPacketSize).toBe(1024);
        client.send(encode.publish(5, topic, Buffer.alloc(2000)));
        await client.refused(0x95);
      }
    },
  },
  maxConnectionSize: {
    to: { maxConnectionSize: 1 },
    effect: 'live',
    async check({ before, during, after }) {
      await before.ping();
      // It has had its place since its socket was accepted.
      expect((await during()).code).toBe(0);
      expect((await after()).code).toBe(0x97);
    },
  },
  maxConnectionPerSecond: {
    to: { maxConnectionPerSecond: 1 },
    effect: 'live',
    async check({ before, during, after }) {
      await before.ping();
      expect((await during()).code).toBe(0);
      const codes = [(await after()).code, (await after()).code, (await after()).code];
      expect(codes).toContain(0x9f);
    },
  },
  maxSessionSize: {
    to: { maxSessionSize: 1 },
    effect: 'live',
    beforeOptions: persistent(),
    async check({ before, during, after }) {
      expect((await during(persistent())).code).toBe(0x97);
      expect((await after(persistent())).code).toBe(0x97);
      expect((await after()).code).toBe(0);
      await before.ping();
    },
  },
  maxSendWindowSize: {
    from: { maxSendWindowSize: 5 },
    to: { maxSendWindowSize: 2 },
    effect: 'admission',
    async check(scene) {
      expect([
        await window(scene, scene.before),
        await window(scene, (await scene.during()).client),
        await window(scene, (await scene.after()).client),
      ]).toEqual([5, 2, 2]);
    },
  },
  maxReceiveWindowSize: {
    from: { maxReceiveWindowSize: 50 },
    to: { maxReceiveWindowSize: 7 },
    effect: 'admission',
    async check({ before, during, after }) {
      expect(before.connack!.properties.receiveMaximum).toBe(50);
      expect((await during()).client.connack!.properties.receiveMaximum).toBe(7);
      expect((await after()).client.connack!.properties.receiveMaximum).toBe(7);
    },
  },
  maxQueuedMessages: {
    to: { maxQueuedMessages: 2 },
    effect: 'live',
    beforeOptions: { properties: { receiveMaximum: 1 } },
    async check(scene) {
      const one = { properties: { receiveMaximum: 1 } };
      for (const client of [scene.before, (await scene.during(one)).client, (await scene.after(one)).client]) {
        const topic = uid('q/');
        await client.subscribe(topic, 1);
        const { client: publisher } = await scene.after();
        for (let n = 0; n < 10; n++) await publisher.publish(topic, String(n), { qos: 1 });
        const got = [];
        for (let n = 0; n < 3; n++) got.push((await client.take()).payload.toString());
        await client.silence(100);
        // One in flight, two in the queue.
        expect(got).toEqual(['0', '1', '2']);
      }
    },
  },
  maxRetainedMessages: limitsRetained({ maxRetainedMessages: 1 }, 1),
  maxRetainedBytes: limitsRetained({ maxRetainedBytes: 1024 }, 1000),
  // See endpoint/budgets.test.ts, and of addresses endpoint/per-address.ts.
  maxQueuedBytes: null,
  maxSubscriptions: null,
  maxTopicAlias: null,
  maxKeepAlive: {
    to: { maxKeepAlive: 7 },
    effect: 'admission',
    async check({ before, during, after }) {
      expect(before.connack!.properties.serverKeepAlive).toBeUndefined();
      expect((await during()).client.connack!.properties.serverKeepAlive).toBe(7);
      expect((await after()).client.connack!.properties.serverKeepAlive).toBe(7);
    },
  },
  maxConnectionPerAddress: null,
  maxConnectionPerAddressPerSecond: null,
  idleTimeout: { to: { idleTimeout: 300 }, effect: 'admission', check: endsSilent },
  handshakeTimeout: {
    from: { useWebsocket: true },
    to: { handshakeTimeout: 300 },
    effect: 'admission',
    transport: 'ws',
    check: endsSilent,
  },
  sessionPersistence: {
    to: { sessionPersistence: true },
    effect: 'admission',
    async check({ before, during, after }) {
      // That the sessions of later clients survive, and this one's does not, is shown by a restart in session/persistence.test.ts.
      await before.ping();
      expect((await during(persistent())).code).toBe(0);
      expect((await after(persistent())).code).toBe(0);
    },
  },
  namespace: {
    to: { namespace: 'elsewhere' },
    effect: 'rebind',
    async check({ before, during, after, topic }) {
      const accepted = (await during()).client;
      const later = (await after()).client;
      for (const client of [before, accepted, later]) await client.subscribe(topic, 1);
      await accepted.publish(topic, 'old', { qos: 1 });
      await later.publish(topic, 'new', { qos: 1 });
      expect((await before.take()).payload.toString()).toBe('old');
      expect((await accepted.take()).payload.toString()).toBe('old');
      expect((await later.take()).payload.toString()).toBe('new');
      for (const client of [before, accepted, later]) await client.silence(50);
    },
  },
  sslConfig: {
    // The tests of TLS judge handshakes before and after.
    to: { sslConfig: { protocols: ['TLSv1.3'] } },
    paths: ['sslConfig.protocols'],
    effect: 'handshake',
    async check({ before, during, after }) {
      await before.ping();
      expect((await during()).code).toBe(0);
      expect((await after()).code).toBe(0);
    },
  },
  serverOptions: {
    to: { serverOptions: { soBacklog: 100, workerGroupSize: 3 } },
    paths: ['serverOptions.soBacklog', 'serverOptions.workerGroupSize'],
    effect: 'rebind',
    async check({ before, during, after, port }) {
      await before.ping();
      expect((await during()).code).toBe(0);
      for (let n = 0; n < 6; n++) expect((await after()).code).toBe(0);
      const { body } = await held.broker.api('GET', `/api/endpoints/status?port=${port}`);
      expect((body as { data: unknown[] }).data[0]).toMatchObject({ workers: 3, connections: 8 });
    },
  },
  childOptions: {
    to: { childOptions: { soLinger: 0 } },
    paths: ['childOptions.soLinger'],
    effect: 'admission',
    async check({ before, during, port }) {
      const accepted = (await during({ clientId: uid('k') })).client;
      const options = { clientId: uid('l') };
      // MQTT 3.1.1 is sent nothing at its end: libuv calls a reset that it meets together with data the end of the stream.
      const later = await connected('tcp', port, 4, options);
      const ids = ['linger-before', options.clientId];
      await held.broker.api('POST', '/api/close', { ids });
      expect([await isReset(before), await isReset(later)]).toEqual([false, true]);
      await accepted.ping();
    },
    beforeOptions: { clientId: 'linger-before' },
  },
  exclusivePool: {
    to: { exclusivePool: false },
    effect: 'rebind',
    async check({ before, during, after }) {
      await before.ping();
      expect((await during()).code).toBe(0);
      expect((await after()).code).toBe(0);
    },
  },
  wiretap: {
    to: { wiretap: true },
    effect: 'live',
    async check({ before, during, after, topic }) {
      for (const [index, client] of [before, (await during()).client, (await after()).client].entries()) {
        await puback(client, `${topic}/${index}`, 0x10);
        const bytes = Buffer.from(`${topic}/${index}`).toString('hex');
        await until('the packet is in the log', async () => (await held.broker.log()).includes(bytes));
      }
    },
  },
  enabled: {
    to: { enabled: false },
    effect: 'rebind',
    async check({ before, port }) {
      await before.refused(0x98);
      await expect(openTcp(port)).rejects.toThrow('ECONNREFUSED');
      await api('enable', { port });
      await (await connected('tcp', port, 5)).ping();
    },
  },
  isDefault: {
    to: { isDefault: true },
    effect: 'live',
    async check({ before, during, after, port }) {
      await before.ping();
      expect((await during()).code).toBe(0);
      expect((await after()).code).toBe(0);
      expect((await held.broker.api('POST', '/api/endpoints/remove', { port })).status).toBe(409);
    },
  },
};

test('the cases are all keys that an endpoint has', () => {
  expect(Object.keys(CASES).sort()).toEqual(Object.keys(defaultEndpoint(1)).sort());
});

test.each(Object.entries(CASES).flatMap(([key, each]) => (each === null ? [] : [[key, each] as const])))(
  '%s',
  async (key, { from = {}, to, effect, paths = Object.keys(to), transport = 'tcp', beforeOptions = {}, prepare, check }) => {
    const [port, moved] = [await freePort(), await freePort()];
    const body = { id: uid('e'), ...(key === 'port' ? { newPort: moved } : to) };
    // A thread of its own for each endpoint would take most of this file's time.
    await api('add', { ...OPEN, exclusivePool: effect === 'rebind', ...from, port, id: body.id });
    const before = await connected(transport, port, 5, beforeOptions);
    const waiting = await RawClient.open(transport, port, 5);
    const scene: Scene = {
      port,
      topic: uid('t/'),
      before,
      during: (options) => handshake(waiting, options),
      after: async (options, on = transport) => handshake(await RawClient.open(on, key === 'port' ? moved : port, 5), options),
    };
    await until('both are accepted', async () =>
      JSON.stringify((await held.broker.api('GET', `/api/endpoints/status?port=${port}`)).body).includes('"connections":2'),
    );
    await prepare?.(scene);
    const plan = (await held.broker.api('POST', '/api/endpoints/plan', { action: 'update', ...body })).body as {
      data: { changes: unknown[] };
    };
    const expected = paths.map((path) => expect.objectContaining({ path, effect }));
    expect(plan.data.changes).toEqual(expected);
    const answer = await api('update', body);
    expect(answer).toMatchObject({ effect, changes: expected });
    await check(scene);
    for (const client of [before, waiting]) client.destroy();
  },
);

test('the id names the endpoint and is never changed', async () => {
  const port = await freePort();
  await api('add', { ...OPEN, port, id: 'fixed-id' });
  expect((await held.broker.api('POST', '/api/endpoints/update', { port, id: 'other' })).status).toBe(404);
  expect(
    ((await held.broker.api('GET', `/api/endpoints/get?port=${port}`)).body as { data: { endpoint: { id: string } } }).data.endpoint.id,
  ).toBe('fixed-id');
});
