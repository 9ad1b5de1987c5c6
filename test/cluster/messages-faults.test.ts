/** Relays die, nodes freeze or die, NATS is away: what others wait for, keep and deliver. More under load: chaos/messages. */

import { afterAll, beforeAll, expect, test } from 'vitest';
import * as encode from '../kit/encode.ts';
import { freePort } from '../kit/free-port.ts';
import { RawClient } from '../kit/raw-client.ts';
import { sleep, until } from '../kit/until.ts';
import { SubackRun } from './chaos/messages/suback.ts';
import { type FragileCluster, startFragileCluster } from './fragile-cluster.ts';
import { storeOf, type TestCluster } from './kit.ts';
import { crossingAt, hostOf, untilLinked } from './messages-kit.ts';

let fragile: FragileCluster;
let cluster: TestCluster;
let port: number;

beforeAll(async () => {
  port = await freePort();
  const endpoint = { id: 'm', port, enableAuth: false, sessionPersistence: true, maxQueuedMessages: 100_000 };
  fragile = await startFragileCluster({ store: storeOf(null, ''), servers: 3, endpoints: [endpoint] });
  cluster = fragile.cluster;
}, 90_000);
afterAll(() => fragile?.stop(), 60_000);

test('after SUBACK, a publish on another node arrives, beside other filters and while relays die', async () => {
  // `npm run chaos:cluster -- --suback 100000` for more.
  const report = await new SubackRun(fragile, port, 300, () => {}).run();
  expect(report.rounds).toBeGreaterThanOrEqual(300);
  expect(report.relaysKilled).toBeGreaterThanOrEqual(2);
  await untilLinked(cluster.nodes);
}, 60_000);

const [FLOOD, AT_ONCE, QUEUED] = [1_200, 50, 40];
/** Bytes that may wait for a node that is up (remote-node.ts), and what a run of QoS 0 brings on top. */
const WAITING_MAX = 8 * 1024 * 1024 + AT_ONCE * 10_100;
const LARGE = Buffer.alloc(10_000, 'x');

interface Toll {
  /** messages that the node has taken */
  delivered: number;
  /** by reason */
  lost: Record<string, number>;
}

/** The messages that node 1 has sent to another node, by its report, which is seconds old. */
async function tollOf(name: string): Promise<Toll> {
  const { nodes } = await crossingAt(cluster.nodes[0]!);
  return nodes.find((node) => node.name === name)!;
}

test('a node is frozen: bounded memory elsewhere, each lost QoS 0 counted by node and reason, QoS 1 there after the thaw', async () => {
  const names = ['node-2', 'node-3'] as const;
  const frozen = cluster.nodes[2]!;
  const subscribers = await Promise.all([1, 2].map((node) => RawClient.open('tcp', port, 5, hostOf(node))));
  const got: string[][] = [[], []];
  for (const [at, subscriber] of subscribers.entries()) {
    await subscriber.handshake({ keepAlive: 0 });
    subscriber.autoAcknowledge(({ qos, payload }) => qos === 1 && got[at]!.push(payload.toString()));
    await subscriber.subscribe('frozen/#', 1);
  }
  const publisher = await RawClient.open('tcp', port, 5, hostOf(0));
  await publisher.handshake({});
  const before = await Promise.all(names.map(tollOf));
  const sent = Array.from({ length: QUEUED }, (_, n) => `${n}`);
  process.kill(frozen.pid, 'SIGSTOP');
  try {
    for (let n = 0; n < FLOOD; n += AT_ONCE) {
      publisher.send(...Array.from({ length: AT_ONCE }, () => encode.publish(5, 'frozen/x', LARGE, { qos: 0 })));
      await publisher.ping();
    }
    for (const text of sent) expect(await publisher.publish('frozen/x', text, { qos: 1 })).toBe(0);
  } finally {
    process.kill(frozen.pid, 'SIGCONT');
  }
  await until('QoS 1 is there', () => got.every((texts) => texts.length >= QUEUED), 30_000);
  expect(got).toEqual([sent, sent]);
  const lost: Record<string, number>[] = [];
  for (const [at, name] of names.entries()) {
    await until(`${name}: each message is counted`, async () => {
      const toll = await tollOf(name);
      lost[at] = Object.fromEntries(Object.entries(toll.lost).map(([reason, count]) => [reason, count - before[at]!.lost[reason]!]));
      const counted = toll.delivered - before[at]!.delivered + Object.values(lost[at]).reduce((sum, each) => sum + each, 0);
      if (counted === FLOOD + QUEUED) return true;
      throw new Error(`${counted}: ${JSON.stringify(toll)}`);
    });
  }
  // The messages for the frozen node were bounded when the node was given up, and further ones were dropped at once.
  expect(lost[1]).toMatchObject({ hold: 0, gone: 0 });
  expect(lost[1]!['interrupted']! * LARGE.length).toBeLessThan(WAITING_MAX);
  expect(lost[1]!['slow']).toBeGreaterThan(0);
  await untilLinked(cluster.nodes);
  for (const client of [...subscribers, publisher]) client.destroy();
}, 90_000);

test('NATS is away: this node works alone, says so, and delivers afterwards what it kept', async () => {
  const [a] = cluster.nodes;
  const here = await RawClient.open('tcp', port, 5, hostOf(0));
  await here.handshake({});
  await here.subscribe('away/#', 1);
  const there = await RawClient.open('tcp', port, 5, hostOf(2));
  await there.handshake({});
  for (const server of cluster.nats.servers) await server.kill();
  await until('it is isolated', async () => (await crossingAt(a!)).isolated, 10_000);
  const health = (await a!.api('GET', '/api/system/health')).body as {
    data: { status: string; crossing: { ok: boolean; reason: string } };
  };
  expect(health.data).toMatchObject({ status: 'degraded', crossing: { ok: false, reason: expect.stringContaining('NATS') } });
  const began = performance.now();
  await here.subscribe('alone/#', 1);
  await here.publish('alone/x', 'x', { qos: 1 });
  expect((await here.take()).topic).toBe('alone/x');
  for (let n = 0; n < 20; n++) await there.publish('away/x', `${n}`, { qos: 1 });
  expect(performance.now() - began).toBeLessThan(4_000);
  for (const server of cluster.nats.servers) await server.start();
  for (let n = 0; n < 20; n++) expect((await here.take(20_000)).payload.toString()).toBe(`${n}`);
  await untilLinked(cluster.nodes);
  for (const client of [here, there]) client.destroy();
}, 90_000);

test('an endpoint worker crashes: the wills of its clients come once, on every node, and none of a client that had left', async () => {
  const ears = await Promise.all([0, 1].map((node) => RawClient.open('tcp', port, 5, hostOf(node))));
  const heard: string[][] = [[], []];
  for (const [at, ear] of ears.entries()) {
    await ear.handshake({ keepAlive: 0 });
    ear.autoAcknowledge(({ topic }) => heard[at]!.push(topic.slice('crash/'.length)));
    await ear.subscribe('crash/#', 1);
  }
  // Node 3 has no ear: the crash closes only these clients.
  const mortal = async (clientId: string, options = {}) => {
    const client = await RawClient.open('tcp', port, 5, hostOf(2));
    await client.handshake({ clientId, will: { topic: `crash/${clientId}`, payload: 'x', qos: 1 }, ...options });
    return client;
  };
  const ids = ['a', 'b', 'c', 'd', 'e', 'f', 'disk'];
  const clients = await Promise.all(ids.map((id) => mortal(id, id === 'disk' ? { clean: false, properties: { sessionExpiry: 600 } } : {})));
  const left = await mortal('left');
  left.send(encode.disconnect());
  await left.closed();
  await fragile.crash(2, 'endpoint');
  await until('some died', () => clients.some(({ isClosed }) => isClosed), 10_000);
  // Those of other threads go now.
  for (const client of clients) client.destroy();
  await until('all wills', () => heard.every((wills) => wills.length >= ids.length), 10_000);
  await sleep(1_000);
  expect(heard.map((wills) => wills.toSorted())).toEqual([ids.toSorted(), ids.toSorted()]);
  for (const client of ears) client.destroy();
}, 60_000);

test('a node is killed and comes back: its durable session gets what was published in between, and the others go on', async () => {
  const durable = await RawClient.open('tcp', port, 5, hostOf(0));
  await durable.handshake({ clientId: 'back', clean: false, properties: { sessionExpiry: 600 } });
  await durable.subscribe('back/#', 2);
  const publisher = await RawClient.open('tcp', port, 5, hostOf(1));
  await publisher.handshake({});
  await cluster.nodes[0]!.kill('SIGKILL');
  for (let n = 0; n < 10; n++) await publisher.publish('back/x', `${n}`, { qos: 2 });
  await cluster.again(0);
  await untilLinked(cluster.nodes, 30_000);
  const again = await RawClient.open('tcp', port, 5, hostOf(0));
  await again.handshake({ clientId: 'back', clean: false, properties: { sessionExpiry: 600 } });
  for (let n = 0; n < 10; n++) expect((await again.take()).payload.toString()).toBe(`${n}`);
  for (const client of [again, publisher]) client.destroy();
}, 90_000);
