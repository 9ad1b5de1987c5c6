/** Questions about the clients of several nodes: pages as of one sorted list, in messages of bounded size, and silent nodes are named. */

import { describe, expect, test } from 'vitest';
import { byIdentifier, type ClientName } from '../../../../src/control/clients/client-page.ts';
import { answerAboutClients, isAboutClients, type OwnClients } from '../../../../src/control/cluster/clients/answering.ts';
import { ClientsEverywhere } from '../../../../src/control/cluster/clients/everywhere.ts';
import { PIECE_BYTES } from '../../../../src/control/cluster/clients/forms.ts';
import type { AskedNode } from '../../../../src/control/cluster/questions.ts';
import { FluxError } from '../../../../src/kernel/errors.ts';

const OTHERS = ['b', 'c'];
/** A list may exceed it by its last entry only when it has no other one. */
const LARGEST_ENTRY = 70_000;

/** The clients of one node. */
class FakeNode implements OwnClients {
  readonly closed: string[] = [];
  readonly clients: ClientName[];
  readonly offline: ClientName[] = [];
  readonly #name: string;

  constructor(name: string, clients: ClientName[]) {
    this.#name = name;
    this.clients = clients;
  }

  names: OwnClients['names'] = async ({ skip, after, count }) => {
    const sorted = [...this.clients].sort(byIdentifier);
    const rest = after === null ? sorted : sorted.filter((each) => byIdentifier(each, after) > 0);
    return { names: rest.slice(skip, skip + count), total: sorted.length };
  };

  describe: OwnClients['describe'] = async (names) => {
    const known = new Set(this.clients.map(({ clientId, namespace }) => `${namespace} ${clientId}`));
    return names
      .filter(({ clientId, namespace }) => known.has(`${namespace} ${clientId}`))
      .map((name) => ({ ...name, node: this.#name }) as never);
  };

  connected: OwnClients['connected'] = async ({ page, size }) => {
    const { names, total } = await this.names({ skip: (page - 1) * size, after: null, count: size });
    return { data: await this.describe(names), total, page, size };
  };

  find: OwnClients['find'] = async (ids) => {
    const of = (list: ClientName[], connected: boolean) =>
      list.filter(({ clientId }) => ids.includes(clientId)).map((name) => ({ ...name, connected, session: true, endpoint: 'e' }));
    return [...of(this.clients, true), ...of(this.offline, false)].reverse();
  };

  disconnect: OwnClients['disconnect'] = async (ids) => {
    this.closed.push(...ids);
    return this.clients.filter(({ clientId }) => ids.includes(clientId)).length;
  };

  disconnectUser: OwnClients['disconnectUser'] = async (username, namespace) => {
    this.closed.push(`${namespace}/${username}`);
    return 1;
  };
}

/** Node `a` asks `b` and `c`. */
function clusterOf(nodes: Record<string, FakeNode>, failures: Record<string, FluxError> = {}, left: string[] = []) {
  let asked = 0;
  const bounded = (value: unknown): unknown => {
    const text = JSON.stringify(value);
    expect(Buffer.byteLength(text)).toBeLessThan(PIECE_BYTES + LARGEST_ENTRY);
    return JSON.parse(text);
  };
  const cluster = {
    isConnected: true,
    others: (): AskedNode[] => OTHERS.map((name) => ({ name, label: name, version: '1', incarnation: name, hasLeft: left.includes(name) })),
    async ask({ name }: AskedNode, question: string, body: unknown): Promise<unknown> {
      asked++;
      const failure = failures[name];
      if (failure !== undefined) throw failure;
      if (!isAboutClients(question)) throw new Error(question);
      return bounded(await answerAboutClients(nodes[name]!, question, bounded(body)));
    },
  };
  const own = Object.assign(nodes['a']!, { publish: async () => {} });
  return { everywhere: new ClientsEverywhere({ node: 'a', own, cluster }), asked: () => asked };
}

/** So many on each node, in no order, in two namespaces. */
function nodesWith(count: number, nameOf: (n: number) => string = (n) => `device-${(n * 7_919) % (3 * count)}`): Record<string, FakeNode> {
  const of = (at: number) =>
    Array.from({ length: count }, (_, n) => ({ clientId: nameOf(3 * n + at), namespace: n % 2 === 0 ? 'default' : 'other' }));
  return { a: new FakeNode('a', of(0)), b: new FakeNode('b', of(1)), c: new FakeNode('c', of(2)) };
}

describe('clients', () => {
  test.each([
    [0, 1, 100],
    [4, 1, 5],
    [4, 3, 5],
    [500, 7, 100],
    [500, 99, 100],
    [6_000, 18, 1_000],
  ])('of %i on each of three nodes, page %i of %i is that of one sorted list', async (count, page, size) => {
    const nodes = nodesWith(count);
    const { everywhere } = clusterOf(nodes);
    const all = Object.entries(nodes).flatMap(([node, { clients }]) => clients.map((client) => ({ ...client, node })));
    const { answer, unreachable } = await everywhere.connected({ page, size }, {});
    expect(answer).toEqual({ data: all.sort(byIdentifier).slice((page - 1) * size, page * size), total: 3 * count, page, size });
    expect(unreachable).toEqual([]);
  });

  test('long identifiers go in pieces', async () => {
    const nodes = nodesWith(20, (n) => `${n % 10}${'x'.repeat(40_000)}${n}`);
    const { everywhere, asked } = clusterOf(nodes);
    const { answer } = await everywhere.connected({ page: 1, size: 60 }, {});
    expect(answer.data).toHaveLength(60);
    expect(asked()).toBeGreaterThan(10);
  });

  test('a page of several nodes ends at 20,000 clients, that of one node does not', async () => {
    const nodes = nodesWith(9_000);
    const { everywhere } = clusterOf(nodes);
    await expect(everywhere.connected({ page: 26, size: 1_000 }, {})).rejects.toThrow('ask node by node');
    expect((await everywhere.connected({ page: 90, size: 1_000 }, {})).answer.data).toEqual([]);
    const { answer } = await everywhere.connected({ page: 90, size: 100 }, { node: 'c' });
    expect([answer.data.length, answer.data[0]?.node, answer.total]).toEqual([100, 'c', 9_000]);
    expect((await everywhere.connected({ page: 1, size: 5 }, { local: true })).answer.total).toBe(9_000);
  });
});

describe('nodes', () => {
  const silent = new FluxError('timeout', 'no answer on a subject within 5000 ms');
  const old = new FluxError('unavailable', 'version 0.1.0 of the node does not know this request');

  test('that do not answer are named, whatever is asked', async () => {
    const { everywhere } = clusterOf(nodesWith(3), { b: silent, c: old });
    const unreachable = [
      { node: 'b', reason: 'no answer within 5 s' },
      { node: 'c', reason: 'version 0.1.0 of the node does not know this request' },
    ];
    const page = await everywhere.connected({ page: 1, size: 10 }, {});
    expect([page.answer.total, page.answer.data.length]).toEqual([3, 3]);
    for (const each of [page, await everywhere.locate(['x'], undefined, {}), await everywhere.disconnect(['x'], undefined, {})])
      expect(each.unreachable).toEqual(unreachable);
    expect((await everywhere.disconnect(['x'], undefined, { local: true })).unreachable).toEqual([]);
    expect((await everywhere.disconnect(['x'], undefined, { node: 'b' })).unreachable).toEqual([unreachable[0]]);
  });

  test('that were stopped in order are not missed, unless they are asked for', async () => {
    const { everywhere } = clusterOf(nodesWith(1), { b: silent }, ['b']);
    expect((await everywhere.disconnect(['x'], undefined, {})).unreachable).toEqual([]);
    expect((await everywhere.disconnect(['x'], undefined, { node: 'b' })).unreachable).toHaveLength(1);
  });

  test('that nobody knows are refused, and so are two choices at once', async () => {
    const { everywhere } = clusterOf(nodesWith(1));
    await expect(everywhere.locate(['x'], undefined, { node: 'z' })).rejects.toMatchObject({ kind: 'not-found' });
    await expect(everywhere.locate(['x'], undefined, { node: 'b', local: true })).rejects.toMatchObject({ kind: 'invalid' });
    const alone = new ClientsEverywhere({ node: 'a', own: Object.assign(nodesWith(1)['a']!, { publish: async () => {} }), cluster: null });
    await expect(alone.locate(['x'], undefined, { node: 'b' })).rejects.toMatchObject({ kind: 'not-found' });
    expect((await alone.locate(['x'], undefined, { node: 'a' })).answer).toMatchObject([{ connected: false, node: null }]);
  });
});

test('check: where a client is connected comes before a session that was left behind; close reaches every node', async () => {
  const nodes = nodesWith(0);
  nodes['c']!.clients.push({ clientId: 'x', namespace: 'default' }, { clientId: 'x', namespace: 'other' });
  nodes['b']!.offline.push({ clientId: 'x', namespace: 'default' }, { clientId: 'y', namespace: 'default' });
  const { everywhere } = clusterOf(nodes);
  const { answer } = await everywhere.locate(['x', 'y', 'z', 'x'], undefined, {});
  const rows = answer.map(({ clientId, namespace, connected, session, node }) => [clientId, namespace, connected, session, node]);
  expect(rows.sort()).toEqual([
    ['x', 'default', true, true, 'c'],
    ['x', 'other', true, true, 'c'],
    ['y', 'default', false, true, 'b'],
    ['z', 'default', false, false, null],
  ]);
  const ids = Array.from({ length: 1_000 }, (_, n) => `${n}${'i'.repeat(900)}`);
  expect((await everywhere.disconnect(['x', ...ids], undefined, {})).answer).toBe(2);
  for (const node of Object.values(nodes)) expect(new Set(node.closed)).toEqual(new Set(['x', ...ids]));
  const many = (await everywhere.locate(ids, undefined, {})).answer;
  expect(many.every(({ node }) => node === null)).toBe(true);
  nodes['b']!.offline.push(...ids.map((clientId) => ({ clientId, namespace: 'default' })));
  const found = (await everywhere.locate(ids, undefined, {})).answer;
  expect([found.length, found.every(({ node }) => node === 'b')]).toEqual([1_000, true]);
});

test('the clients of a user are disconnected on every node; a node that does not answer is named', async () => {
  const nodes = { a: new FakeNode('a', []), b: new FakeNode('b', []), c: new FakeNode('c', []) };
  const ann = { by: 'username', name: 'ann', namespace: 'n' } as const;
  expect(await clusterOf(nodes).everywhere.disconnectUser(ann)).toEqual({ answer: 3, unreachable: [] });
  for (const { closed } of Object.values(nodes)) expect(closed.splice(0)).toEqual(['n/ann']);
  const { everywhere } = clusterOf(nodes, { b: new FluxError('invalid', 'old') });
  expect(await everywhere.disconnectUser(ann)).toEqual({ answer: 2, unreachable: [{ node: 'b', reason: 'old' }] });
  await everywhere.disconnectUser({ ...ann, by: 'clientId' });
  expect(nodes.c.closed).toEqual(['n/ann', 'ann']);
});

test.each([
  null,
  {},
  { ids: 'x' },
  { ids: [1] },
  { ids: ['x'], namespace: 1 },
  { username: 'x' },
  { username: 1, namespace: 'default' },
  { names: [{}] },
  { skip: -1, count: 1 },
  { skip: 0, count: 0 },
])('a question that is not understood is refused: %j', async (body) => {
  const node = new FakeNode('a', []);
  for (const question of ['clients', 'clients-describe', 'clients-find', 'clients-close'] as const) {
    const isEmptyPage = question === 'clients' && body !== null && 'count' in body && body.count === 1 && body.skip === 0;
    if (!isEmptyPage) await expect((async () => answerAboutClients(node, question, body))()).rejects.toMatchObject({ kind: 'invalid' });
  }
});
