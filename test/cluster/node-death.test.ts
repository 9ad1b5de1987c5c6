/** A node dies, is frozen, or returns: what the others wait for, and the wills of its clients. Three real nodes. */

import { afterAll, beforeAll, expect, test } from 'vitest';
import type { ConnectOptions } from '../kit/encode.ts';
import { freePort } from '../kit/free-port.ts';
import { RawClient } from '../kit/raw-client.ts';
import { sleep, until } from '../kit/until.ts';
import { change, storeOf, TestCluster } from './kit.ts';
import { hostOf, sumOf, untilLinked } from './messages-kit.ts';

/** NATS is believed about absent nodes when its servers have been the same for so long. */
const SETTLED_MS = 5_000;
/** A silent node is down after this time. */
const SILENT_MS = 4_000;
const GRACE_MS = 3_000;
/** A second copy of a will would come within this time after the first one. */
const AGAIN_MS = 1_000;
const DURABLE = { clean: false, properties: { sessionExpiry: 600 } };
let cluster: TestCluster;
let port: number;
/** subscribers of nodes 1 and 2, with the wills that came */
const ears: { client: RawClient; wills: string[] }[] = [];

beforeAll(async () => {
  cluster = await TestCluster.start({ store: storeOf(null, ''), nodes: 3, cluster: { willGrace: GRACE_MS } });
  port = await freePort();
  const endpoint = { id: 'm', port, enableAuth: false, sessionPersistence: true };
  expect(await change(cluster.nodes[0]!, 'add', endpoint)).toMatchObject({ status: 200 });
  await cluster.untilInStep();
  await untilLinked(cluster.nodes);
  await sleep(SETTLED_MS);
  for (const node of [0, 1]) {
    const { client } = await connect(node, { keepAlive: 0 });
    await client.subscribe('will/#', 1);
    const ear = { client, wills: [] as string[] };
    ears.push(ear);
    void listen(ear).catch(() => {});
  }
}, 90_000);
afterAll(async () => {
  for (const { client } of ears) client.destroy();
  await cluster?.stop();
}, 60_000);

async function connect(node: number, options: ConnectOptions) {
  const client = await RawClient.open('tcp', port, 5, hostOf(node));
  const connack = await client.handshake(options);
  return { client, connack };
}

async function listen({ client, wills }: { client: RawClient; wills: string[] }): Promise<void> {
  for (;;) wills.push((await client.take(600_000)).topic.slice('will/'.length));
}

/** A client of a node whose will is `will/<clientId>`. */
const mortal = (node: number, clientId: string, options: ConnectOptions = {}) =>
  connect(node, { clientId, ...options, will: { topic: `will/${clientId}`, payload: 'gone', qos: 1, ...options.will } });

/** Wills that each ear has heard, sorted; forgets them. */
const heard = () => ears.map(({ wills }) => wills.splice(0).sort());

/** Waits until each ear has heard so many wills, and for copies of them. */
async function untilHeard(count: number): Promise<void> {
  await until(`${count} wills`, () => ears.every(({ wills }) => wills.length >= count));
  await sleep(AGAIN_MS);
}

const both = (...wills: string[]) => [wills, wills];

test('kill -9 of a node: the others go on at once, and publish the wills of its clients, once', async () => {
  const publisher = (await connect(1, {})).client;
  await mortal(2, 'memory');
  await mortal(2, 'disk', DURABLE);
  await mortal(2, 'kept', { will: { topic: 'will/kept', payload: 'gone', retain: true } });
  await mortal(2, 'late', { ...DURABLE, will: { topic: 'will/late', payload: 'gone', properties: { willDelay: 60 } } });
  await mortal(2, 'back', DURABLE);
  await mortal(2, 'over');
  const polite = await mortal(2, 'polite');
  await polite.client.disconnect(0);
  const ended = await mortal(2, 'ended');
  ended.client.destroy();
  const roamer = await mortal(2, 'roamer', DURABLE);
  const roamed = await mortal(1, 'roamer', DURABLE);
  roamer.client.destroy();
  await until('the wills are kept', async () => {
    const kept = await Promise.all(cluster.nodes.map((node) => sumOf(node, 'fluxmq_cluster_wills_kept')));
    // That of the roamer is its new node's.
    if (kept.reduce((sum, each) => sum + each, 0) === 7) return true;
    throw new Error(String(kept));
  });
  // A takeover ends a connection without a DISCONNECT, too.
  await until('the wills of the connections that ended', () => ears.every(({ wills }) => wills.length === 2));
  expect(heard()).toEqual(both('ended', 'roamer'));

  await cluster.nodes[2]!.kill('SIGKILL');
  const began = performance.now();
  const timeOf = async (done: Promise<unknown>) => {
    await done;
    return performance.now() - began;
  };
  const next = await RawClient.open('tcp', port, 5, hostOf(0));
  const times = await Promise.all([
    timeOf(next.handshake({ clientId: 'next' })),
    timeOf(publisher.publish('kept', 'x', { qos: 1, retain: true })),
  ]);
  for (const time of times) expect(time).toBeLessThan(2_000);
  expect(await cluster.nodes[0]!.log()).toContain('its process has ended');
  // Their clients are there again: with the session where it was, and elsewhere.
  const again = [await mortal(0, 'back', DURABLE), await mortal(1, 'over')];
  await untilHeard(3);
  expect(heard()).toEqual(both('disk', 'kept', 'memory'));
  const published = await Promise.all([0, 1].map((node) => sumOf(cluster.nodes[node]!, 'fluxmq_cluster_wills_published_total')));
  expect(published.reduce((sum, each) => sum + each, 0)).toBe(3);

  // It has these wills on its disk, and hears that they are published.
  await cluster.again(2);
  await untilLinked(cluster.nodes);
  await sleep(AGAIN_MS);
  expect(heard()).toEqual(both());
  const late = await mortal(2, 'late', DURABLE);
  expect(late.connack).toMatchObject({ sessionPresent: true });
  for (const { client } of [late, roamed, ...again]) await client.disconnect(0, { sessionExpiry: 0 });
  for (const each of [next, publisher]) each.destroy();
}, 60_000);

test('kill -9 of a node that returns at once: its wills are published once, by itself or by another one', async () => {
  await mortal(2, 'memory');
  await mortal(2, 'disk', DURABLE);
  await sleep(500);
  await cluster.nodes[2]!.kill('SIGKILL');
  await cluster.again(2);
  await untilLinked(cluster.nodes);
  // Its keeper would publish it then.
  await sleep(GRACE_MS);
  await untilHeard(2);
  expect(heard()).toEqual(both('disk', 'memory'));
}, 60_000);

test('a node that is frozen, and back within the grace: no will', async () => {
  const { client } = await mortal(2, 'alive');
  await sleep(500);
  process.kill(cluster.nodes[2]!.pid, 'SIGSTOP');
  await sleep(SILENT_MS + 1_000);
  process.kill(cluster.nodes[2]!.pid, 'SIGCONT');
  await untilLinked(cluster.nodes);
  await sleep(GRACE_MS);
  expect(heard()).toEqual(both());
  client.destroy();
  await until('its will', () => ears.every(({ wills }) => wills.length === 1));
  expect(heard()).toEqual(both('alive'));
}, 60_000);

test('a node that is frozen for longer: its wills are published, and not again when their clients go', async () => {
  const { client } = await mortal(2, 'alive');
  const disk = await mortal(2, 'disk', DURABLE);
  await sleep(500);
  process.kill(cluster.nodes[2]!.pid, 'SIGSTOP');
  await untilHeard(2);
  expect(heard()).toEqual(both('alive', 'disk'));
  process.kill(cluster.nodes[2]!.pid, 'SIGCONT');
  await untilLinked(cluster.nodes);
  await client.ping();
  await sleep(500);
  client.destroy();
  disk.client.destroy();
  await sleep(AGAIN_MS);
  expect(heard()).toEqual(both());
}, 60_000);

test('a node that stops in order: its wills are published once', async () => {
  await mortal(2, 'memory');
  await mortal(2, 'disk', DURABLE);
  await sleep(500);
  await cluster.nodes[2]!.stop();
  await sleep(GRACE_MS);
  await untilHeard(2);
  expect(heard()).toEqual(both('disk', 'memory'));
  await cluster.again(2);
  await untilLinked(cluster.nodes);
  await sleep(AGAIN_MS);
  expect(heard()).toEqual(both());
}, 60_000);
