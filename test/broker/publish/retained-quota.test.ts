/** Quotas of retained messages: what is over is refused to its publisher, what was there stays, and one namespace takes nothing of another's. */

import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Broker } from '../../kit/broker.ts';
import { startBroker } from '../../kit/broker.ts';
import type { QoS, Version } from '../../kit/encode.ts';
import { freePort } from '../../kit/free-port.ts';
import { connected } from '../../kit/lanes.ts';
import { destroyAll, type RawClient } from '../../kit/raw-client.ts';
import type { TransportName } from '../../kit/transport.ts';
import { uid, until } from '../../kit/until.ts';

const OPEN = { enableAuth: false, maxConnectionPerSecond: 100_000 };
const LIMIT = 3;
let broker: Broker;

/** Each test has a namespace of its own: an endpoint of limit 3, and one without such a limit. */
async function places(extra: Record<string, unknown> = {}): Promise<{ tight: number; wide: number; tightId: string }> {
  const namespace = uid('n');
  const ports: number[] = [];
  const tightId = uid('tight');
  for (const body of [{ id: tightId, maxRetainedMessages: LIMIT, ...extra }, {}]) {
    const port = await freePort();
    // Only endpoints of several workers have threads of their own, whose starts take most of this file's time.
    const config = { ...OPEN, host: '127.0.0.1', port, namespace, exclusivePool: 'serverOptions' in body, ...body };
    const answer = await broker.api('POST', '/api/endpoints/add', config);
    expect(answer.status, JSON.stringify(answer.body)).toBe(200);
    ports.push(port);
  }
  return { tight: ports[0]!, wide: ports[1]!, tightId };
}

beforeAll(async () => {
  broker = await startBroker({ endpoints: [OPEN] });
}, 40_000);
afterAll(async () => {
  destroyAll();
  await broker.stop();
});

/** The retained messages that a newcomer gets, by topic. */
async function found(port: number, transport: TransportName = 'tcp', filter = '#'): Promise<Record<string, string>> {
  const reader = await connected(transport, port, 4);
  await reader.subscribe(filter, 0);
  const kept: Record<string, string> = {};
  await until('nothing more comes', async () => {
    await reader.ping();
    const before = Object.keys(kept).length;
    for (const packet of reader.inbox.splice(0)) if (packet.type === 'publish') kept[packet.topic] = packet.payload.toString();
    return before > 0 && Object.keys(kept).length === before;
  });
  reader.destroy();
  return kept;
}

async function fill(client: RawClient, count = LIMIT): Promise<void> {
  for (let i = 0; i < count; i++) expect(await client.publish(`t/${i}`, 'old', { qos: 1, retain: true })).toBeLessThan(0x80);
}

const sample = async (pattern: RegExp): Promise<number> => {
  const text = await (await fetch(`${broker.admin}/public/metrics`)).text();
  return Number(pattern.exec(text)?.[1] ?? Number.NaN);
};

describe.each([
  ['tcp', 5],
  ['ws', 5],
  ['tcp', 4],
  ['tcp', 3],
] as [TransportName, Version][])('over %s, MQTT %i', (transport, version) => {
  test('a message over the limit is routed, refused and counted; the one that was there stays', async () => {
    const several = { useWebsocket: transport === 'ws', serverOptions: { workerGroupSize: 2 } };
    const { tight, wide, tightId } = await places(several);
    const client = await connected(transport, tight, version);
    await fill(client);
    const present = await connected('tcp', wide, 4);
    await present.subscribe('#', 2);
    for (let i = 0; i < LIMIT; i++) await present.take();
    for (const qos of [0, 1, 2] as QoS[]) {
      const code = await client.publish('new', `q${qos}`, { qos, retain: true });
      expect(code).toBe(version === 5 && qos > 0 ? 0x97 : 0);
      expect(await present.take()).toMatchObject({ topic: 'new', retain: false, qos });
    }
    // The packet identifier is free again [MQTT-4.3.3-9].
    if (version === 5) {
      expect(await client.publish('new', 'a', { qos: 2, retain: true, id: 77 })).toBe(0x97);
      expect((await present.take()).payload.toString()).toBe('a');
      expect(await client.publish('t/0', 'b', { qos: 2, retain: true, id: 77 })).toBe(0);
      expect((await present.take()).payload.toString()).toBe('b');
      await client.publish('t/0', 'old', { qos: 1, retain: true });
      await present.take();
    }
    expect(await found(wide)).toEqual({ 't/0': 'old', 't/1': 'old', 't/2': 'old' });
    // A removal makes room; a replacement needs none.
    await client.publish('t/0', '', { qos: 1, retain: true });
    expect(await client.publish('t/1', 'new', { qos: 1, retain: true })).toBe(0);
    expect(await client.publish('new', 'kept', { qos: 1, retain: true })).toBe(0);
    expect(await found(wide)).toEqual({ 't/1': 'new', 't/2': 'old', new: 'kept' });
    const refused = version === 5 ? 4 : 3;
    const label = `endpoint="${tightId}"`;
    await until(
      'counted',
      async () => (await sample(new RegExp(`^fluxmq_endpoint_retained_refused_total\\{.*${label}.*\\} (\\d+)`, 'm'))) === refused,
    );
    expect(await sample(new RegExp(`^fluxmq_endpoint_retained_messages\\{.*${label}.*\\} (\\d+)`, 'm'))).toBe(LIMIT);
    expect(await broker.log()).toContain(`Endpoint ${tight}: messages are not retained: the endpoint has reached maxRetainedMessages`);
  });
});

test('the old value stays when a longer one finds no room, with its bytes and its QoS; a shorter one is taken', async () => {
  const { tight, wide } = await places({ maxRetainedMessages: 100, maxRetainedBytes: 5000 });
  const client = await connected('tcp', tight, 5);
  expect(await client.publish('a', 'x'.repeat(3000), { qos: 1, retain: true })).toBe(0);
  expect(await client.publish('b', 'y'.repeat(1000), { qos: 1, retain: true })).toBe(0);
  expect(await client.publish('b', 'z'.repeat(2000), { qos: 1, retain: true })).toBe(0x97);
  expect(await client.publish('b', 'z'.repeat(2000), { qos: 2, retain: true })).toBe(0x97);
  await client.publish('b', 'z'.repeat(2000), { qos: 0, retain: true });
  await client.ping();
  expect(await found(wide)).toEqual({ a: 'x'.repeat(3000), b: 'y'.repeat(1000) });
  expect(await client.publish('a', 'w'.repeat(2000), { qos: 1, retain: true })).toBe(0);
  expect(await client.publish('b', 'z'.repeat(2000), { qos: 1, retain: true })).toBe(0);
  expect(await found(wide)).toEqual({ a: 'w'.repeat(2000), b: 'z'.repeat(2000) });
});

test('another endpoint and another namespace have their own room', async () => {
  const [one, two] = [await places(), await places()];
  const attacker = await connected('tcp', one.tight, 5);
  const [neighbour, stranger] = [await connected('tcp', one.wide, 5), await connected('tcp', two.tight, 5)];
  await fill(stranger, 1);
  await fill(attacker);
  expect(await attacker.publish('more', 'x', { qos: 1, retain: true })).toBe(0x97);
  expect(await neighbour.publish('more', 'x', { qos: 1, retain: true })).toBe(0);
  expect(await stranger.publish('t/0', 'longer than before', { qos: 1, retain: true })).toBe(0);
  expect(await found(two.wide)).toEqual({ 't/0': 'longer than before' });
  // The endpoint that replaces a message is charged for it from then on.
  expect(await neighbour.publish('t/0', 'taken over', { qos: 1, retain: true })).toBe(0);
  expect(await attacker.publish('again', 'x', { qos: 1, retain: true })).toBe(0);
  expect(await attacker.publish('t/0', 'back', { qos: 1, retain: true })).toBe(0x97);
});

test('wills with RETAIN, at once and with delay, are in the quota of their endpoint and never destroy what is there', async () => {
  const { tight, wide } = await places();
  const filler = await connected('tcp', tight, 5);
  await fill(filler);
  const watcher = await connected('tcp', wide, 5);
  await watcher.subscribe('w/#', 1);
  for (const delay of [0, 1]) {
    const will = { topic: `w/${delay}`, payload: 'gone', qos: 1 as QoS, retain: true, properties: { willDelay: delay } };
    const dying = await connected('tcp', tight, 5, { clientId: uid('w'), will, properties: { sessionExpiry: delay * 60 } });
    dying.destroy();
    expect(await watcher.take(5_000)).toMatchObject({ topic: `w/${delay}`, retain: false });
  }
  expect(await found(wide)).toEqual({ 't/0': 'old', 't/1': 'old', 't/2': 'old' });
  await filler.publish('t/0', '', { qos: 1, retain: true });
  const will = { topic: 'w/2', payload: 'gone', qos: 1 as QoS, retain: true };
  (await connected('tcp', tight, 5, { clientId: uid('w'), will })).destroy();
  await watcher.take(5_000);
  expect(await found(wide)).toEqual({ 't/1': 'old', 't/2': 'old', 'w/2': 'gone' });
  expect(await filler.publish('t/0', 'x', { qos: 1, retain: true })).toBe(0x97);
});

test('a limit is live, both ways; $SYS tells what is kept and refused', async () => {
  const { tight, wide, tightId } = await places();
  const client = await connected('tcp', tight, 5);
  await fill(client);
  expect(await client.publish('t/3', 'x', { qos: 1, retain: true })).toBe(0x97);
  const change = (limit: number) => broker.api('POST', '/api/endpoints/update', { id: tightId, maxRetainedMessages: limit });
  expect(await change(5)).toMatchObject({ status: 200, body: { data: { effect: 'live' } } });
  expect(await client.publish('t/3', 'x', { qos: 1, retain: true })).toBe(0);
  await change(1);
  expect(await client.publish('t/4', 'x', { qos: 1, retain: true })).toBe(0x97);
  expect(await client.publish('t/0', 'y', { qos: 1, retain: true })).toBe(0);
  expect(Object.keys(await found(wide))).toHaveLength(4);
  const reader = await connected('tcp', wide, 5);
  await reader.subscribe('$SYS/broker/retained messages/+', 0);
  const told: Record<string, string> = {};
  await until(
    'the numbers of $SYS',
    () => {
      for (const packet of reader.inbox.splice(0)) {
        if (packet.type === 'publish') told[packet.topic.split('/').at(-1)!] = packet.payload.toString();
      }
      return told['refused'] === '2' && Number(told['count']) >= 4 && Number(told['bytes']) > 800;
    },
    25_000,
  );
}, 30_000);

test('what the disk holds counts after a restart, also after kill -9', async () => {
  const endpoints = [{ ...OPEN, maxRetainedMessages: LIMIT, sessionPersistence: true }];
  let own = await startBroker({ endpoints });
  try {
    for (const how of ['SIGKILL', 'SIGTERM'] as const) {
      const client = await connected('tcp', own.ports[0]!, 5);
      await fill(client);
      if (how === 'SIGKILL') await own.kill('SIGKILL');
      else expect(await own.stop()).toBe(0);
      own = await startBroker({ dir: own.dir });
      const later = await connected('tcp', own.ports[0]!, 5);
      expect(await later.publish('more', 'x', { qos: 1, retain: true })).toBe(0x97);
      expect(await later.publish('t/0', 'new', { qos: 1, retain: true })).toBe(0);
      await later.publish('t/1', '', { qos: 1, retain: true });
      expect(await later.publish('more', 'x', { qos: 1, retain: true })).toBe(0);
      expect(await found(own.ports[0]!)).toEqual({ 't/0': 'new', 't/2': 'old', more: 'x' });
      await later.publish('more', '', { qos: 1, retain: true });
    }
  } finally {
    await own.stop();
  }
}, 60_000);
