/** Users of the store in a cluster: the same on every node, one winner of two changes, and logins without the store. */

import { afterAll, beforeAll, expect, test } from 'vitest';
import type { Broker } from '../kit/broker.ts';
import { freePort } from '../kit/free-port.ts';
import { RawClient } from '../kit/raw-client.ts';
import { uid, until } from '../kit/until.ts';
import { change, storeOf, TestCluster } from './kit.ts';

/** of nodes that start from now on */
let env: Record<string, string> = {};
let cluster: TestCluster;
let port: number;
beforeAll(async () => {
  cluster = await TestCluster.start({ store: storeOf(null, ''), nodes: 3, envOf: () => env });
  port = await freePort();
  await change(cluster.nodes[0]!, 'add', { id: 'door', port, authType: 'users' });
  await cluster.untilInStep();
}, 90_000);
afterAll(async () => cluster?.stop(), 60_000);

async function users(node: number, method: string, path: string, body?: unknown, headers?: Record<string, string>) {
  const answer = await cluster.nodes[node]!.api(method, `/api/users${path}`, body, headers);
  return { status: answer.status, data: (answer.body as { data: Record<string, unknown> }).data };
}

const view = async (node: Broker): Promise<string> =>
  JSON.stringify(((await node.api('GET', '/api/users?limit=1000')).body as { data: unknown }).data);

async function code(node: number, username: string, password: string): Promise<number> {
  const client = await RawClient.open('tcp', port, 5, `127.0.0.${10 + node}`);
  try {
    return (await client.handshake({ clientId: uid('c'), username, password })).code;
  } finally {
    client.destroy();
  }
}

test('a change that is answered counts on every node', async () => {
  const { data } = await users(0, 'POST', '', { username: 'ann', password: 'one' });
  expect(data['nodes']).toEqual(['node-1', 'node-2', 'node-3'].map((node) => ({ node, state: 'applied', reason: null })));
  expect(await Promise.all([0, 1, 2].map((node) => code(node, 'ann', 'one')))).toEqual([0, 0, 0]);
  const held = await RawClient.open('tcp', port, 5, '127.0.0.12');
  await held.handshake({ clientId: uid('c'), username: 'ann', password: 'one' });
  expect((await users(1, 'PUT', '', { username: 'ann', disabled: true, kick: true })).data['kicked']).toBe(1);
  await held.refused(0x98);
  expect(await Promise.all([0, 1, 2].map((node) => code(node, 'ann', 'one')))).toEqual([0x86, 0x86, 0x86]);
  await users(2, 'PUT', '', { username: 'ann', disabled: false });
});

test('two nodes change one user at once: one wins, the other gets 412; without If-Match both count, one after the other', async () => {
  const { data } = await users(0, 'GET', '/get?username=ann');
  const match = { 'if-match': `"${data['revision']}"` };
  const both = await Promise.all([0, 1].map((node) => users(node, 'PUT', '', { username: 'ann', comment: `by ${node}` }, match)));
  expect(both.map(({ status }) => status).sort()).toEqual([200, 412]);
  const free = await Promise.all([
    users(0, 'PUT', '', { username: 'ann', comment: 'free' }),
    users(1, 'PUT', '', { username: 'ann', groups: ['g'] }),
    users(2, 'POST', '', { username: 'bob', hash: `$7$101$AAAAAAAAAAAAAAAA$${Buffer.alloc(64).toString('base64')}` }),
  ]);
  expect(free.map(({ status }) => status)).toEqual([200, 200, 200]);
  await until('all nodes show the same', async () => new Set(await Promise.all(cluster.nodes.map(view))).size === 1);
  expect((await users(2, 'GET', '/get?username=ann')).data['user']).toMatchObject({ comment: 'free', groups: ['g'] });
});

test('auth of the cluster: a change that is answered counts on every node, and two at once leave one', async () => {
  const hall = await freePort();
  await change(cluster.nodes[0]!, 'add', { id: 'hall', port: hall });
  const codes = (password: string) =>
    Promise.all(
      [0, 1, 2].map(async (node) => {
        const client = await RawClient.open('tcp', hall, 5, `127.0.0.${10 + node}`);
        const { code: result } = await client.handshake({ clientId: uid('c'), username: 'hal', password });
        client.destroy();
        return result;
      }),
    );
  expect(await codes('one')).toEqual([0x86, 0x86, 0x86]);
  const auth = (password: string) => ({ auth: [{ authType: 'fixed', users: [{ username: 'hal', password }] }] });
  const put = await cluster.nodes[1]!.api('PUT', '/api/auth', auth('one'));
  expect((put.body as { data: { nodes: { state: string }[] } }).data.nodes.map(({ state }) => state)).toEqual([
    'applied',
    'applied',
    'applied',
  ]);
  expect(await codes('one')).toEqual([0, 0, 0]);
  const both = await Promise.all([0, 2].map((node) => cluster.nodes[node]!.api('PUT', '/api/auth', auth(`two-${node}`))));
  expect(both.map(({ status }) => status)).toEqual([200, 200]);
  const seen = () => Promise.all(['two-0', 'two-2'].map(codes));
  await until('the nodes agree on one of them', async () => (await seen()).every((each) => new Set(each).size === 1));
  await cluster.nodes[0]!.api('DELETE', '/api/auth');
  await cluster.nodes[0]!.api('POST', '/api/endpoints/remove', { id: 'hall' });
});

test('a ban disconnects on every node, and ends everywhere', async () => {
  const clients = await Promise.all([0, 1, 2].map((node) => RawClient.open('tcp', port, 5, `127.0.0.${10 + node}`)));
  for (const client of clients) await client.handshake({ clientId: uid('bad'), username: 'ann', password: 'one' });
  const ban = async (node: number, method: string, path: string, body?: unknown) =>
    (await cluster.nodes[node]!.api(method, `/api/bans${path}`, body)).body as { data: { nodes: unknown[]; total: number } };
  const { data } = await ban(1, 'POST', '', { username: 'ann' });
  expect(data.nodes).toHaveLength(3);
  for (const client of clients) expect(await client.closed()).toMatchObject([{ code: 0x98 }]);
  expect(await Promise.all([0, 1, 2].map((node) => code(node, 'ann', 'one')))).toEqual([0x8a, 0x8a, 0x8a]);
  await ban(2, 'POST', '', { address: '127.0.0.10' });
  await ban(0, 'DELETE', '?username=ann');
  expect(await Promise.all([0, 1, 2].map((node) => code(node, 'ann', 'one')))).toEqual([0x8a, 0, 0]);
  await cluster.nodes[0]!.kill('SIGKILL');
  await cluster.again(0);
  expect(await code(0, 'ann', 'one')).toBe(0x8a);
  await ban(0, 'DELETE', '?address=127.0.0.10');
  expect((await ban(1, 'GET', '')).data.total).toBe(0);
  expect(await code(0, 'ann', 'one')).toBe(0);
}, 30_000);

test('without the store logins work, also after a restart, and changes are refused; later the node catches up', async () => {
  await cluster.nats.servers[0]!.kill();
  await cluster.nodes[1]!.kill('SIGKILL');
  await cluster.again(1);
  expect(await Promise.all([0, 1].map((node) => code(node, 'ann', 'one')))).toEqual([0, 0]);
  expect(await code(1, 'ann', 'two')).toBe(0x86);
  expect((await users(1, 'POST', '', { username: 'new', password: 'x' })).status).toBe(503);
  expect((await users(1, 'GET', '?search=a')).data).toMatchObject({ total: 2 });
  await cluster.nats.servers[0]!.start();
  await until('a change', async () => (await users(0, 'PUT', '', { username: 'ann', password: 'two' })).status === 200, 20_000, 200);
  await until('node 2 follows', async () => (await code(1, 'ann', 'two')) === 0, 20_000, 200);
});

test('administrators and keys are the same on every node, and their tokens end on each', async () => {
  await cluster.nats.servers[0]!.start().catch(() => undefined);
  env = { FLUXMQ_HTTP_USERNAME: 'root', FLUXMQ_HTTP_PASSWORD: 'correct horse' };
  for (const node of [0, 1]) {
    await cluster.nodes[node]!.kill('SIGKILL');
    await cluster.again(node);
  }
  const basic = (name: string, password: string) => ({ authorization: `Basic ${Buffer.from(`${name}:${password}`).toString('base64')}` });
  const root = basic('root', 'correct horse');
  const ask = async (node: number, method: string, path: string, headers: Record<string, string>, body?: unknown) => {
    const answer = await cluster.nodes[node]!.api(method, path, body, headers);
    return { status: answer.status, data: (answer.body as { data: Record<string, unknown> }).data };
  };
  const ann = { username: 'ann', password: 'first password', role: 'operator' };
  await until('the nodes are linked', async () => (await ask(0, 'POST', '/api/admins', root, ann)).status !== 503, 20_000, 200);
  const list = '/api/endpoints/list';
  expect((await ask(1, 'GET', list, basic('ann', 'first password'))).status).toBe(200);
  expect((await ask(2, 'GET', '/api/admins', {})).data['admins']).toMatchObject([{ username: 'ann', role: 'operator' }]);
  const login = await ask(1, 'POST', '/public/login', {}, { username: 'ann', password: 'first password' });
  const token = { authorization: `Bearer ${login.data['token']}` };
  const made = await ask(0, 'POST', '/api/keys', root, { name: 'ci', role: 'viewer' });
  const key = { authorization: `Bearer ${made.data['key']}` };
  expect([(await ask(1, 'GET', list, token)).status, (await ask(1, 'GET', list, key)).status]).toEqual([200, 200]);
  const changed = await ask(0, 'PUT', '/api/admins', root, { username: 'ann', password: 'second password' });
  // The killed processes may still be listed beside those that have taken their place.
  const applied = (changed.data['nodes'] as { node: string; state: string }[]).filter(({ state }) => state === 'applied');
  expect(applied.map(({ node }) => node).sort()).toEqual(['node-1', 'node-2', 'node-3']);
  await ask(0, 'DELETE', '/api/keys?name=ci', root);
  expect([(await ask(1, 'GET', list, token)).status, (await ask(1, 'GET', list, key)).status]).toEqual([401, 401]);
  expect((await ask(1, 'GET', list, basic('ann', 'second password'))).status).toBe(200);
  // A node without a password of its own takes no administrators.
  expect((await ask(2, 'POST', '/api/admins', {}, { ...ann, username: 'bob' })).status).toBe(422);
}, 60_000);
