/** Membership of the cluster, and the effect of notices alone: the nodes read the store by themselves only once a minute here. */

import { copyFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { Broker } from '../kit/broker.ts';
import { Authority, certificateFolder } from '../kit/certificates.ts';
import { freePort } from '../kit/free-port.ts';
import { RawClient } from '../kit/raw-client.ts';
import { until } from '../kit/until.ts';
import { change, statesOf, storeOf, TestCluster } from './kit.ts';

let cluster: TestCluster;
beforeAll(async () => {
  cluster = await TestCluster.start({ store: storeOf(null, ''), nodes: 3, cluster: { sync: { interval: 60_000 } } });
}, 90_000);
afterAll(() => cluster?.stop(), 60_000);

const upAt = async (node: Broker, name: string) => (await statesOf(node)).filter((each) => each.name === name && each.state === 'up');

test('redirect and drain of a removal are for the clients of every node', async () => {
  const [a] = cluster.nodes;
  const port = await freePort();
  await change(a!, 'add', { id: 'd', port, enableAuth: false });
  const clients = await Promise.all(['127.0.0.10', '127.0.0.11', '127.0.0.12'].map((host) => RawClient.open('tcp', port, 5, host)));
  for (const client of clients) await client.handshake({});
  expect(await change(a!, 'remove', { id: 'd', force: true, redirect: 'other:1883' })).toMatchObject({ status: 200 });
  for (const client of clients) {
    const packet = await client.expect('disconnect');
    expect(packet).toMatchObject({ code: 0x9c, properties: { serverReference: 'other:1883' } });
  }
});

test('a confirmation at one node is known at the others, which change the endpoint at once', async () => {
  const [a, b, c] = cluster.nodes;
  const port = await freePort();
  const added = await change(a!, 'add', { id: 'w', port, enableAuth: false }, '?confirmWithin=10m');
  expect(added.status).toBe(200);
  expect(await change(c!, 'update', { id: 'w', maxConnectionSize: 7 })).toMatchObject({ status: 409 });
  expect((await b!.api('POST', '/api/endpoints/confirm', { revision: added.revision })).status).toBe(200);
  await until('it is free', async () => (await change(c!, 'update', { id: 'w', maxConnectionSize: 7 })).status === 200, 5_000);
  await change(a!, 'remove', { id: 'w', force: true });
});

test('policy=all: a certificate that another node does not have, and nothing changes', async () => {
  const [a, b, c] = cluster.nodes;
  const { chain, key } = Authority.root(certificateFolder()).issue('server');
  const place = (node: Broker) => {
    copyFileSync(chain, join(node.dir, 'here.pem'));
    copyFileSync(key, join(node.dir, 'here.key'));
  };
  const endpoint = { id: 't', port: await freePort(), sslConfig: { cert: 'here.pem', key: 'here.key' } };
  place(a!);
  place(c!);
  const refused = await change(a!, 'add', endpoint, '?policy=all');
  expect(refused).toMatchObject({ status: 422, message: expect.stringContaining('node-2: ') });
  expect(refused.message).toContain('here.pem');
  expect(refused.message).not.toContain('node-3');
  for (const node of cluster.nodes) expect((await node.api('GET', '/api/endpoints/get?id=t')).status).toBe(404);
  place(b!);
  expect(await change(a!, 'add', endpoint, '?policy=all')).toMatchObject({ status: 200, nodes: { 'node-2': 'applied' } });
  await change(a!, 'remove', { id: 't', force: true });
});

test('a node that is killed and started again at once is one node, no twin, and answers as itself', async () => {
  const [a, , c] = cluster.nodes;
  await c!.kill('SIGKILL');
  const again = await cluster.again(2);
  await until('it is seen', async () => (await upAt(a!, 'node-3')).length > 0, 10_000);
  const port = await freePort();
  const added = await change(a!, 'add', { id: 'r', port, enableAuth: false });
  expect(added.outcomes.map(({ node }) => node).sort()).toEqual(['node-1', 'node-2', 'node-3']);
  await until('the old one is forgotten', async () => (await statesOf(a!)).length === 3, 5_000);
  expect(await a!.api('GET', '/api/cluster/status')).toMatchObject({ body: { data: { nodes: { total: 3, up: 3 } } } });
  await until('it is logged', async () => (await a!.log()).includes('node-3 is down'), 5_000);
  for (const node of [...cluster.nodes.slice(0, 2), again]) expect(await node.log()).not.toContain('two nodes are called');
  expect((await statesOf(a!)).some(({ twin }) => twin)).toBe(false);
  await change(a!, 'remove', { id: 'r', force: true });
}, 60_000);

test('two nodes of one name are told apart, and warned of; one that is stopped is down at once', async () => {
  const [a, b] = cluster.nodes;
  const twin = await cluster.add('node-2');
  for (const node of [a!, b!, twin]) {
    await until('both are twins', async () => (await upAt(node, 'node-2')).filter((each) => each.twin).length === 2, 10_000);
    await until('it warns', async () => (await node.log()).includes('two nodes are called node-2'), 10_000);
  }
  expect((await upAt(a!, 'node-1'))[0]!.twin).toBe(false);
  const port = await freePort();
  const added = await change(a!, 'add', { id: 'z', port, enableAuth: false });
  const names = added.outcomes.map(({ node, state }) => [node, state]);
  expect(names).toEqual(
    expect.arrayContaining([
      ['node-1', 'applied'],
      ['node-3', 'applied'],
    ]),
  );
  const twins = names.map(([node]) => node!).filter((node) => node.startsWith('node-2 ('));
  expect(new Set(twins).size).toBe(2);
  expect(names.filter(([node, state]) => twins.includes(node!) && state === 'applied')).toHaveLength(2);
  cluster.nodes.pop();
  expect(await twin.stop()).toBe(0);
  const left = (await statesOf(a!)).filter(({ name }) => name === 'node-2');
  expect(left.map(({ state }) => state).sort()).toEqual(['down', 'up']);
  expect(left.every((each) => !each.twin)).toBe(true);
  await change(a!, 'remove', { id: 'z', force: true });
}, 60_000);
