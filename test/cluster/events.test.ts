/** Events over NATS as they happen: each change once, what each node made of it, and nodes that come and go. */

import { createServer } from 'node:net';
import { connect, type NatsConnection } from 'nats';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { freePort } from '../kit/free-port.ts';
import { until } from '../kit/until.ts';
import { change, storeOf, TestCluster } from './kit.ts';

interface Heard extends Record<string, unknown> {
  event: string;
  node: string;
}

let cluster: TestCluster;
let listener: NatsConnection;
const heard: Heard[] = [];
beforeAll(async () => {
  cluster = await TestCluster.start({ store: storeOf(null, ''), nodes: 2 });
  listener = await connect({ servers: cluster.nats.urls });
  listener.subscribe('fluxmq.events.>', {
    callback: (_error, message) => {
      heard.push({ event: message.subject.slice('fluxmq.events.'.length), ...message.json<Record<string, unknown>>() } as Heard);
    },
  });
  await listener.flush();
}, 90_000);
afterAll(async () => {
  await listener?.close();
  await cluster?.stop();
}, 60_000);
beforeEach(() => {
  heard.length = 0;
});

const of = (event: string, revision?: number) =>
  heard.filter((each) => each.event === event && (revision === undefined || each['revision'] === revision));
/** Until every node has sent the event; a short rest shows events that are sent too often. */
async function told(event: string, revision: number, nodes: string[]): Promise<Heard[]> {
  await until(`${event} of revision ${revision}`, () => of(event, revision).length >= nodes.length, 10_000);
  await listener.flush();
  const found = of(event, revision);
  expect(found.map(({ node }) => node).sort()).toEqual(nodes);
  return found;
}

test('a change is announced once, by the node that made it, and its result by each node', async () => {
  const [a, b] = cluster.nodes;
  const [port, moved] = [await freePort(), await freePort()];
  const body = { id: 'x', port, enableAuth: false, reason: 'more devices' };
  const added = await a!.api('POST', '/api/endpoints/add', body, { 'x-request-id': 'r-1' });
  const { revision } = (added.body as { data: { revision: number } }).data;
  const [event] = await told('endpoint.added', revision, ['node-1']);
  const { at, ...rest } = event!;
  expect(rest).toEqual({
    event: 'endpoint.added',
    id: 'x',
    port,
    revision,
    action: 'add',
    actor: 'local',
    source: 'http',
    requestId: 'r-1',
    reason: 'more devices',
    node: 'node-1',
  });
  expect(Date.parse(at as string)).toBeGreaterThan(Date.now() - 30_000);
  for (const each of await told('endpoint.applied', revision, ['node-1', 'node-2']))
    expect(each).toMatchObject({ id: 'x', port, reason: null, removed: false });
  await until('both run', () => of('endpoint.state').filter(({ state }) => state === 'running').length >= 2);

  for (const [node, input] of [
    [b, { id: 'x', newPort: moved }],
    [a, { id: 'x', maxConnectionSize: 7 }],
    [b, { id: 'x', enabled: false, force: true }],
    [b, { id: 'x', enabled: true }],
  ] as const) {
    const { revision: next } = await change(node!, 'update', input);
    const [updated] = await told('endpoint.updated', next, [node === a ? 'node-1' : 'node-2']);
    expect(updated).toMatchObject({ id: 'x', port: moved, action: 'update' });
    for (const each of await told('endpoint.applied', next, ['node-1', 'node-2'])) expect(each).toMatchObject({ id: 'x', port: moved });
  }
  const { revision: last } = await change(b!, 'remove', { id: 'x', force: true });
  await told('endpoint.removed', last, ['node-2']);
  for (const each of await told('endpoint.applied', last, ['node-1', 'node-2'])) expect(each).toMatchObject({ id: 'x', removed: true });
  expect(of('endpoint.failed')).toEqual([]);
  expect(heard.filter(({ event: name }) => /added|updated|removed/.test(name))).toHaveLength(6);
  const states = of('endpoint.state').filter(({ node }) => node === 'node-1');
  expect(states.every(({ id, state }) => id === 'x' && typeof state === 'string')).toBe(true);
  expect(states.at(-1)).toMatchObject({ state: 'stopped' });
});

test('one import is one event for each endpoint, and a change that is refused, or changes nothing, is none', async () => {
  const [a, b] = cluster.nodes;
  const ids = ['i-1', 'i-2', 'i-3'];
  const configs = await Promise.all(ids.map(async (id) => ({ id, port: await freePort(), enableAuth: false })));
  const imported = (await a!.api('POST', '/api/endpoints/import', { configs })).body as { data: { revision: number } };
  const { revision } = imported.data;
  await until('all are announced', () => of('endpoint.applied', revision).length >= 6, 10_000);
  expect(of('endpoint.added', revision).map(({ id }) => id)).toEqual(ids);
  heard.length = 0;
  expect((await change(b!, 'add', { ...configs[0] })).status).toBe(409);
  expect((await change(b!, 'update', { id: 'i-1', port: configs[0]!.port, colour: 'red' })).status).toBe(400);
  expect((await change(b!, 'update', { id: 'i-1', enableAuth: false })).status).toBe(200);
  await listener.flush();
  expect(heard).toEqual([]);
  const removed = (await b!.api('POST', '/api/endpoints/import', { configs: [], mode: 'replace', force: true })).body as typeof imported;
  await until('all went', () => of('endpoint.applied', removed.data.revision).length >= 6, 10_000);
  expect(of('endpoint.removed', removed.data.revision)).toHaveLength(3);
});

test('a node that cannot apply says why, and says when it has', async () => {
  const [a] = cluster.nodes;
  const port = await freePort();
  const intruder = createServer();
  await new Promise<void>((resolve) => intruder.listen({ host: '127.0.0.11', port, exclusive: true }, resolve));
  const { revision } = await change(a!, 'add', { id: 'y', port, enableAuth: false });
  await told('endpoint.applied', revision, ['node-1']);
  const [failed] = await told('endpoint.failed', revision, ['node-2']);
  expect(failed).toMatchObject({ id: 'y', port, reason: expect.stringContaining(`Port ${port} is already in use`) });
  await new Promise((resolve) => intruder.close(resolve));
  await until('node-2 has applied it', () => of('endpoint.applied', revision).length === 2, 20_000);
  expect(of('endpoint.applied', revision).map(({ node }) => node)).toEqual(['node-1', 'node-2']);
  expect(of('endpoint.added', revision)).toHaveLength(1);
  await change(a!, 'remove', { id: 'y', force: true });
}, 60_000);

test('nodes that come and go are announced, by themselves and by each that sees it', async () => {
  const comes = await cluster.add('node-3');
  await until('all say that it is up', () => of('node.up').length >= 3, 15_000);
  expect(
    of('node.up')
      .map(({ node, seenBy }) => [node, seenBy])
      .sort(),
  ).toEqual(
    [
      ['node-3', 'node-1'],
      ['node-3', 'node-2'],
      ['node-3', 'node-3'],
    ].sort(),
  );
  const [{ incarnation }] = of('node.up') as [Heard];
  expect(new Set(of('node.up').map((each) => each['incarnation']))).toEqual(new Set([incarnation]));
  await comes.stop();
  await until('all say that it is down', () => of('node.down').length >= 3, 15_000);
  await cluster.nodes[1]!.kill('SIGKILL');
  await until('the other one says that it is down', () => of('node.down').length >= 4, 15_000);
  expect(of('node.down').map(({ node, seenBy }) => [node, seenBy])).toEqual(
    expect.arrayContaining([
      ['node-3', 'node-1'],
      ['node-3', 'node-2'],
      ['node-3', 'node-3'],
      ['node-2', 'node-1'],
    ]),
  );
}, 60_000);
