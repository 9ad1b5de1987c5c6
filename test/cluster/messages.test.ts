/** Messages cross between three real nodes over a real NATS server: who hears what, and what is kept apart. */

import { connect, headers as natsHeaders } from 'nats';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { cells, fluxmq, printed } from '../admin/cli/command.ts';
import type { QoS, Version } from '../kit/encode.ts';
import * as encode from '../kit/encode.ts';
import { Inbox, Ledger, Pump } from '../kit/flow.ts';
import { freePort } from '../kit/free-port.ts';
import { RawClient } from '../kit/raw-client.ts';
import { until } from '../kit/until.ts';
import { change, statesOf, storeOf, TestCluster } from './kit.ts';
import { crossingAt, hostOf, sumOf, untilLinked } from './messages-kit.ts';

const NODES = 3;
let cluster: TestCluster;
let port: number;
let otherPort: number;
beforeAll(async () => {
  cluster = await TestCluster.start({
    store: storeOf(null, ''),
    nodes: NODES,
    cluster: { sync: { interval: 60_000 } },
    envOf: (name) => (name === 'node-2' ? { FLUXMQ_CLUSTER_SHAREDSUBSCRIPTIONS: 'local' } : {}),
  });
  port = await freePort();
  otherPort = await freePort();
  const [a] = cluster.nodes;
  expect(
    await change(a!, 'add', { id: 'm', port, enableAuth: false, sessionPersistence: true, serverOptions: { workerGroupSize: 2 } }),
  ).toMatchObject({ status: 200 });
  expect(await change(a!, 'add', { id: 'o', port: otherPort, enableAuth: false, namespace: 'other' })).toMatchObject({ status: 200 });
  await cluster.untilInStep();
  await untilLinked(cluster.nodes);
}, 90_000);
afterAll(() => cluster?.stop(), 60_000);

async function client(node: number, version: Version = 5, id = '', at = port): Promise<RawClient> {
  const opened = await RawClient.open('tcp', at, version, hostOf(node));
  await opened.handshake({ clientId: id });
  return opened;
}

test.each([0, 1, 2] as QoS[])('QoS %i from node 3 to wildcards on node 1, in order, with all that belongs to it', async (qos) => {
  const subscriber = await client(0);
  const publisher = await client(2);
  await subscriber.subscribe(`a${qos}/+/#`, qos);
  const properties = { contentType: 'text/x', user: [['k', 'v']] as [string, string][], messageExpiry: 100 };
  for (let n = 0; n < 5; n++) await publisher.publish(`a${qos}/b/${n}`, `${n}`, { qos, retain: n === 4, properties });
  for (let n = 0; n < 5; n++) {
    const message = await subscriber.take();
    expect(message).toMatchObject({ topic: `a${qos}/b/${n}`, qos, retain: false, properties: { contentType: 'text/x' } });
    expect(message.payload.toString()).toBe(`${n}`);
    expect(message.properties?.messageExpiry).toBeGreaterThan(90);
  }
  await subscriber.unsubscribe(`a${qos}/+/#`);
  await until('no other node wants it', async () => (await publisher.publish(`a${qos}/b/x`, '', { qos: 1 })) === 0x10, 5_000);
  subscriber.destroy();
  publisher.destroy();
});

test('a message goes to each node once, whatever number of clients and threads want it there, and never comes back', async () => {
  const clients = await Promise.all([0, 0, 0, 1, 1, 2].map((node) => client(node)));
  for (const each of clients) await each.subscribe('each/#', 1);
  const publisher = clients[5]!;
  for (let n = 0; n < 10; n++) await publisher.publish('each/x', `${n}`, { qos: 1 });
  for (const each of clients) for (let n = 0; n < 10; n++) expect((await each.take()).payload.toString()).toBe(`${n}`);
  await Promise.all(clients.map((each) => each.silence(100)));
  for (const each of clients) each.destroy();
});

test('RETAIN crosses live, with its flag for those who ask for it, and every node keeps it before PUBACK', async () => {
  const subscriber = await client(0);
  await subscriber.subscribe([{ filter: 'kept/#', qos: 1, retainAsPublished: true }], 1);
  const publisher = await client(1);
  await publisher.publish('kept/x', 'v', { qos: 1, retain: true });
  expect(await subscriber.take()).toMatchObject({ retain: true });
  // No client of node 3 has wanted it.
  for (const node of [0, 1, 2]) {
    const reader = await client(node);
    await reader.subscribe('kept/#', 1);
    expect(await reader.take()).toMatchObject({ topic: 'kept/x', retain: true });
    reader.destroy();
  }
  for (const each of [subscriber, publisher]) each.destroy();
});

test('namespaces are kept apart, $SYS stays on its node, and nothing is handed to the relay that no other node wants', async () => {
  const [a, b] = cluster.nodes;
  const stranger = await client(0, 5, '', otherPort);
  await stranger.subscribe('#', 1);
  // The report of the relay is seconds old, and clients of other tests may still be leaving.
  const untilKnown = (count: number): Promise<boolean> =>
    until(`${count} filters of node 1`, async () => (await sumOf(a!, 'fluxmq_cluster_own_interest_filters')) === count);
  await untilKnown(1);
  // One packet, so a report has both filters or none: $SYS would make it three.
  await stranger.subscribe(['$SYS/#', 'fence'], 1);
  await untilKnown(2);
  const publisher = await client(1);
  const before = await sumOf(b!, 'fluxmq_worker_relayed_messages_total');
  for (let n = 0; n < 20; n++) expect(await publisher.publish(`alone/${n}`, 'x', { qos: (n % 3) as QoS })).toBe(n % 3 === 0 ? 0 : 0x10);
  expect(await sumOf(b!, 'fluxmq_worker_relayed_messages_total')).toBe(before);
  const other = await client(1, 5, '', otherPort);
  await other.publish('mine', 'x', { qos: 1 });
  const heard: string[] = [];
  await until('its own', async () => heard.push((await stranger.take()).topic) > 0 && heard.at(-1) === 'mine');
  expect(heard.filter((topic) => !topic.startsWith('$SYS/'))).toEqual(['mine']);
  expect((await crossingAt(a!)).ok).toBe(true);
  for (const each of [stranger, publisher, other]) each.destroy();
});

test('access rules apply where the publisher is, and where the subscriber is', async () => {
  const [a] = cluster.nodes;
  const guarded = await freePort();
  const rules = [{ permission: 'deny', action: 'publish', subject: { type: 'all' }, topic: 'no/#' }];
  const endpoint = { id: 'g', port: guarded, enableAuth: false, enableAcl: true, aclType: 'config', aclConfig: { rules } };
  expect(await change(a!, 'add', endpoint)).toMatchObject({ status: 200 });
  await cluster.untilInStep();
  const subscriber = await client(0);
  await subscriber.subscribe([{ filter: '#', qos: 1, retainHandling: 2 }], 1);
  const publisher = await client(2, 5, '', guarded);
  expect(await publisher.publish('no/x', 'x', { qos: 1 })).toBe(0x87);
  await publisher.publish('yes/x', 'x', { qos: 1 });
  expect(await subscriber.take()).toMatchObject({ topic: 'yes/x' });
  for (const each of [subscriber, publisher]) each.destroy();
});

test('a shared subscription with members on all nodes gets each message once, about evenly', async () => {
  const members = await Promise.all([0, 1, 2].map((node) => client(node)));
  const counts = [0, 0, 0];
  const seen = new Map<string, number>();
  for (const [at, member] of members.entries()) {
    await member.subscribe('$share/g/s/#', 2);
    new Inbox(new Ledger(2), ({ payload }) => {
      counts[at]!++;
      seen.set(payload.toString(), (seen.get(payload.toString()) ?? 0) + 1);
    }).attach(member);
  }
  const pumps = await Promise.all(
    ([1, 2] as const).map(async (qos) => new Pump(await client(qos === 1 ? 0 : 2), `p${qos}`, 's/x', qos).start(450)),
  );
  for (const pump of pumps) await pump.done();
  await until('every message', () => seen.size === 900, 10_000);
  expect([...seen.values()].filter((times) => times !== 1)).toEqual([]);
  for (const count of counts) expect(count).toBeGreaterThan(200);
  for (const each of members) each.destroy();
});

test('`sharedSubscriptions: local`: members of the own node come first, those of others where it has none', async () => {
  const [other, own, publisher] = [await client(0), await client(1), await client(1)];
  for (const member of [other, own]) await member.subscribe('$share/near/n', 1);
  for (let n = 0; n < 12; n++) await publisher.publish('n', `${n}`, { qos: (n % 2) as 0 | 1 });
  await own.publishes(12);
  await other.silence(100);
  await own.unsubscribe('$share/near/n');
  await publisher.publish('n', 'far', { qos: 1 });
  expect((await other.take()).payload.toString()).toBe('far');
  for (const each of [other, own, publisher]) each.destroy();
});

test('a large message crosses whole, and small ones beside it do not wait for it', async () => {
  const subscriber = await client(0);
  await subscriber.subscribe('big/#', 1);
  const [large, small] = [await client(2), await client(2)];
  const payload = Buffer.alloc(900_000, 'x');
  const id = large.id();
  large.send(encode.publish(5, 'big/a', payload, { qos: 1, id }), encode.publish(5, 'big/a', 'z', { qos: 1, id: large.id() }));
  await small.publish('big/b', 'y', { qos: 1 });
  for (let n = 0; n < 2; n++) expect(await large.expect('puback')).toMatchObject({ id: id + n, code: 0 });
  const messages = [await subscriber.take(), await subscriber.take(), await subscriber.take()];
  const ofA = messages.filter(({ topic }) => topic === 'big/a');
  expect(ofA.map((message) => message.payload.length)).toEqual([900_000, 1]);
  for (const each of [subscriber, large, small]) each.destroy();
});

test('a durable session gets what was published elsewhere while its client and then its node were away', async () => {
  const session = { clientId: 'durable', clean: false, properties: { sessionExpiry: 600 } };
  const first = await RawClient.open('tcp', port, 5, hostOf(0));
  await first.handshake(session);
  await first.subscribe('d/#', 2);
  await first.disconnect();
  const publisher = await client(1);
  for (let n = 0; n < 5; n++) await publisher.publish('d/x', `${n}`, { qos: 2 });
  const again = await RawClient.open('tcp', port, 5, hostOf(0));
  await again.handshake(session);
  for (let n = 0; n < 5; n++) expect((await again.take()).payload.toString()).toBe(`${n}`);
  for (const each of [again, publisher]) each.destroy();
});

interface Answer {
  code: number;
  partial?: boolean;
  unreachable?: { node: string; reason: string }[];
  data: { data: { clientId: string; node: string }[]; total: number; closed: number } & {
    clientId: string;
    node: string | null;
    connected: boolean;
  }[];
}

const api = async (node: number, method: string, path: string, body?: unknown): Promise<Answer> =>
  (await cluster.nodes[node]!.api(method, path, body)).body as Answer;

test('clients, check and close are about all nodes, over HTTP, NATS and the command line', async () => {
  const names = ['c-3', 'c-1', 'c-2', 'c-4'];
  const clients = await Promise.all(names.map((name, at) => client(at % NODES, 5, name)));
  const parked = await RawClient.open('tcp', port, 5, hostOf(2));
  await parked.handshake({ clientId: 'c-away', clean: false, properties: { sessionExpiry: 600 } });
  await parked.disconnect();
  const all = await api(1, 'GET', '/api/clients?endpoint=m&size=1000');
  const rows = all.data.data.filter(({ clientId }) => clientId.startsWith('c-')).map(({ clientId, node }) => [clientId, node]);
  expect(rows).toEqual([
    ['c-1', 'node-2'],
    ['c-2', 'node-3'],
    ['c-3', 'node-1'],
    ['c-4', 'node-1'],
  ]);
  expect([all.partial, all.unreachable]).toEqual([undefined, undefined]);
  expect((await api(0, 'GET', '/api/clients?node=node-2')).data).toMatchObject({ total: 1, data: [{ clientId: 'c-1', node: 'node-2' }] });
  expect((await api(1, 'GET', '/api/clients?local=true')).data).toMatchObject({ total: 1, data: [{ clientId: 'c-1' }] });
  expect(await api(1, 'GET', '/api/clients?node=nobody')).toMatchObject({ code: 404 });
  await until('its session is kept', async () => {
    const { data } = await api(0, 'POST', '/api/check', { ids: ['c-away', 'c-2', 'none'] });
    expect(data.map(({ clientId, node, connected }) => [clientId, node, connected])).toEqual(
      expect.arrayContaining([
        ['c-away', 'node-3', false],
        ['c-2', 'node-3', true],
        ['none', null, false],
      ]),
    );
    return true;
  });
  const nats = await connect({ servers: cluster.nats.urls });
  const page = await nats.request('fluxmq.endpoints.clients', '{"endpoint":"m"}', { timeout: 10_000 });
  expect(page.json<Answer>().data.data.length).toBe(all.data.total);
  const query = natsHeaders();
  query.set('X-Query', 'node=node-1');
  const ended = await nats.request('fluxmq.endpoints.close', '{"ids":["c-3","c-1"]}', { timeout: 10_000, headers: query });
  expect(ended.json()).toMatchObject({ code: 0, data: { closed: 1 } });
  await nats.close();
  expect(await clients[0]!.expect('disconnect')).toMatchObject({ code: 0x98 });
  const env = { FLUXMQ_API: cluster.nodes[1]!.admin };
  expect(printed(await fluxmq(['client', 'close', 'c-2', 'c-4', 'none'], { env }))).toBe('2 connections closed\n');
  for (const at of [2, 3]) expect(await clients[at]!.expect('disconnect')).toMatchObject({ code: 0x98 });
  const listed = cells(printed(await fluxmq(['client', 'list', '--endpoint', 'm'], { env })));
  expect(listed.filter(([name]) => name?.startsWith('c-'))).toMatchObject([
    ['c-1', '-', 'node-2', 'm', hostOf(1), '5.0', expect.any(String)],
  ]);
  const checked = cells(printed(await fluxmq(['client', 'check', 'c-1', 'c-away', 'none'], { env }))).slice(1);
  expect(checked.map(([id, , state, node]) => [id, state, node]).sort()).toEqual([
    ['c-1', 'connected', 'node-2'],
    ['c-away', 'offline', 'node-3'],
    ['none', 'unknown', '-'],
  ]);
  expect(printed(await fluxmq(['client', 'check', 'c-1', 'c-away', '-q'], { env }))).toBe('c-1\n');
  for (const each of clients) each.destroy();
});

test('a node that does not answer is named: one of 0.1, and one that was killed', async () => {
  const nats = await connect({ servers: cluster.nats.urls });
  const facts = {
    name: 'old',
    incarnation: 'old-1',
    address: '127.0.0.1',
    adminPort: 1,
    version: '0.1.0',
    upSince: 1,
    revision: 1,
    status: 'ok',
  };
  nats.publish('fluxmq.internal.heartbeat', JSON.stringify({ ...facts, storeOk: true, failed: [] }));
  await until('it is known', async () => (await statesOf(cluster.nodes[0]!)).some(({ name }) => name === 'old'));
  const old = { node: 'old', reason: 'version 0.1.0 of the node does not know this request, or the node has just ended' };
  for (const answer of [await api(0, 'GET', '/api/clients'), await api(0, 'POST', '/api/close', { ids: ['x'] })])
    expect(answer).toMatchObject({ partial: true, unreachable: [old] });
  nats.publish('fluxmq.internal.bye', JSON.stringify({ ...facts, storeOk: true, failed: [] }));
  await until('it has left', async () => (await api(0, 'GET', '/api/clients')).partial === undefined);
  await nats.close();
  await cluster.nodes[2]!.kill('SIGKILL');
  const { partial, unreachable, data } = await api(0, 'POST', '/api/check', { ids: ['x'] });
  expect([partial, unreachable?.map(({ node }) => node), data]).toMatchObject([true, ['node-3'], [{ clientId: 'x', connected: false }]]);
  const ended = await fluxmq(['client', 'list', '-q'], { env: { FLUXMQ_API: cluster.nodes[1]!.admin } });
  expect(ended).toMatchObject({ code: 0, stderr: expect.stringContaining('warning: the answer lacks node node-3') });
});
