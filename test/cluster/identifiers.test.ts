/** A client identifier is connected once in the cluster, and its session follows it: on three real nodes, also while NATS is away. */

import { afterAll, beforeAll, expect, test } from 'vitest';
import type { ConnectOptions } from '../kit/encode.ts';
import * as encode from '../kit/encode.ts';
import { Inbox, Ledger, Pump } from '../kit/flow.ts';
import { freePort } from '../kit/free-port.ts';
import { RawClient } from '../kit/raw-client.ts';
import { sleep, until } from '../kit/until.ts';
import { change, storeOf, TestCluster } from './kit.ts';
import { crossingAt, hostOf, sumOf, untilLinked } from './messages-kit.ts';

const TAKEN_OVER = 0x8e;
const NOT_AUTHORIZED = 0x87;
let cluster: TestCluster;
let port: number;
let loginPort: number;
let keptPort: number;

beforeAll(async () => {
  cluster = await TestCluster.start({ store: storeOf(null, ''), nodes: 3 });
  [port, loginPort, keptPort] = [await freePort(), await freePort(), await freePort()];
  const users = ['ann', 'bob'].map((username) => ({ username, password: 'secret', encrypt: 'plain' }));
  expect(await change(cluster.nodes[0]!, 'add', { id: 'open', port, enableAuth: false, maxQueuedMessages: 100_000 })).toMatchObject({
    status: 200,
  });
  const login = { id: 'login', port: loginPort, enableAuth: true, authConfig: { users } };
  expect(await change(cluster.nodes[0]!, 'add', login)).toMatchObject({ status: 200 });
  const kept = { id: 'kept', port: keptPort, enableAuth: false, sessionPersistence: true, maxQueuedMessages: 100_000 };
  expect(await change(cluster.nodes[0]!, 'add', kept)).toMatchObject({ status: 200 });
  await cluster.untilInStep();
  await untilLinked(cluster.nodes);
}, 90_000);
afterAll(async () => {
  await cluster?.stop();
}, 60_000);

/** A client at a node (0..2), with its CONNACK. */
async function connect(node: number, clientId: string, options: ConnectOptions = {}, version: 4 | 5 = 5, at = port) {
  const client = await RawClient.open('tcp', at, version, hostOf(node));
  const connack = await client.handshake({ clientId, ...options });
  return { client, connack };
}

test('a client that connects on another node takes over, in MQTT 5 and in 3.1.1', async () => {
  const first = await connect(0, 'once');
  const second = await connect(1, 'once');
  expect(await first.client.expect('disconnect')).toMatchObject({ code: TAKEN_OVER });
  await first.client.closed();
  const third = await connect(2, 'once', {}, 4);
  expect(await second.client.expect('disconnect')).toMatchObject({ code: TAKEN_OVER });
  const fourth = await connect(0, 'once', {}, 4);
  expect(await third.client.closed()).toEqual([]);
  await fourth.client.ping();
  fourth.client.destroy();
});

test('of many that connect at once on all nodes, one is left', async () => {
  for (let round = 0; round < 5; round++) {
    const clients = await Promise.all(Array.from({ length: 12 }, (_, n) => RawClient.open('tcp', port, 5, hostOf(n % 3))));
    const ends: number[] = [];
    const connected = await Promise.all(
      clients.map(async (client, n) => {
        const connack = await client.handshake({ clientId: 'many' });
        void client.closed(60_000).then(
          () => ends.push(n),
          () => {},
        );
        return connack.code;
      }),
    );
    expect(connected).toEqual(clients.map(() => 0));
    await until('all but one are closed', () => ends.length >= clients.length - 1);
    const [left] = clients.filter((_, n) => !ends.includes(n));
    await left!.ping();
    left!.destroy();
  }
}, 30_000);

test('a session belongs to its user on every node', async () => {
  const properties = { sessionExpiry: 100 };
  const login = (username: string) => ({ username, password: 'secret', properties });
  const owner = await connect(0, 'owned', { ...login('ann'), clean: false }, 5, loginPort);
  const stranger = await connect(1, 'owned', { ...login('bob'), clean: false }, 5, loginPort);
  expect(stranger.connack).toMatchObject({ code: NOT_AUTHORIZED });
  await owner.client.ping();
  const clean = await connect(2, 'owned', { ...login('bob'), clean: true }, 5, loginPort);
  expect(clean.connack).toMatchObject({ code: 0, sessionPresent: false });
  expect(await owner.client.expect('disconnect')).toMatchObject({ code: TAKEN_OVER });
  await clean.client.disconnect(0, { sessionExpiry: 0 });
});

test('a session follows its client, in memory and on disk: nothing is lost, repeated or out of order', async () => {
  const roamers = await Promise.all(
    [port, keptPort].map(async (at) => {
      const ledger = new Ledger(1);
      const inbox = new Inbox(ledger);
      const options = { clean: false, properties: { sessionExpiry: 600 } };
      const { client } = await connect(0, `roamer-${at}`, options, 5, at);
      await client.subscribe('hop/#', 2);
      inbox.attach(client);
      return { at, ledger, inbox, options, client };
    }),
  );
  const pumps: Pump[] = [];
  for (const [node, qos] of [
    [0, 1],
    [2, 2],
    [1, 1],
  ] as const) {
    const { client } = await connect(node, `pump-${node}`);
    pumps.push(new Pump(client, `p${node}`, `hop/${node}`, qos, 50).startPaced(80));
  }
  for (const [hop, node] of [1, 2, 0, 1].entries()) {
    for (const roamer of roamers) {
      const old = roamer.client;
      Inbox.letGo(old);
      // Offline for a while, or taken over.
      if (hop % 2 === 1) {
        old.destroy();
        await sleep(100);
      }
      const { client, connack } = await connect(node, `roamer-${roamer.at}`, roamer.options, 5, roamer.at);
      expect(connack).toMatchObject({ code: 0, sessionPresent: true });
      roamer.inbox.attach(client);
      roamer.client = client;
      await sleep(100);
    }
  }
  for (const pump of pumps) await pump.stop();
  for (const pump of pumps) expect(pump.sent).toBeGreaterThan(50);
  for (const { ledger } of roamers) await ledger.complete(pumps);
  for (const { client } of roamers) await client.disconnect(0, { sessionExpiry: 0 });
}, 60_000);

test('a node is killed while a session comes to it: the session is on one of the nodes, with all its messages', async () => {
  const options = { clean: false, properties: { sessionExpiry: 600 } };
  const first = await connect(0, 'moved', options, 5, keptPort);
  await first.client.subscribe('kill/#', 1);
  await first.client.disconnect(0);
  const { client } = await connect(2, 'pump');
  const pump = new Pump(client, 'p', 'kill/1', 1, 50).start(2_000);
  await pump.done();
  const second = await RawClient.open('tcp', keptPort, 5, hostOf(1));
  second.send(encode.connect(5, { clientId: 'moved', ...options }));
  await sleep(60);
  await cluster.nodes[1]!.kill('SIGKILL');
  await cluster.again(1);
  await cluster.untilInStep();
  await untilLinked(cluster.nodes);
  const third = await connect(2, 'moved', options, 5, keptPort);
  expect(third.connack).toMatchObject({ code: 0, sessionPresent: true });
  const ledger = new Ledger(1);
  new Inbox(ledger).attach(third.client);
  await ledger.complete([pump]);
  await third.client.disconnect(0, { sessionExpiry: 0 });
}, 60_000);

test('while NATS is away clients connect on any node; afterwards the last one stays', async () => {
  const [server] = cluster.nats.servers;
  const before = await connect(0, 'apart');
  // By the question of node 2, which the link has kept, or when the nodes meet.
  const given = async () =>
    (await sumOf(cluster.nodes[0]!, 'fluxmq_cluster_duplicate_sessions_total')) +
    (await sumOf(cluster.nodes[0]!, 'fluxmq_cluster_sessions_claimed_total'));
  const known = await given();
  await server!.kill();
  const during = await connect(1, 'apart');
  expect(during.connack).toMatchObject({ code: 0 });
  await before.client.ping();
  await until('node 3 is alone', async () => (await crossingAt(cluster.nodes[2]!)).isolated);
  const began = Date.now();
  const alone = await connect(2, 'alone');
  expect(Date.now() - began).toBeLessThan(1_000);
  await server!.start();
  await untilLinked(cluster.nodes);
  expect(await before.client.expect('disconnect', 10_000)).toMatchObject({ code: TAKEN_OVER });
  await during.client.ping();
  await alone.client.ping();
  expect(await given()).toBe(known + 1);
  for (const { client } of [during, alone]) client.destroy();
}, 60_000);
