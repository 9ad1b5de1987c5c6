/** Three nodes on one Postgres, and on a JetStream bucket: a change on one is a change on all, and each says what it made of it. */

import { createServer } from 'node:net';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { startPostgres } from '../kit/databases/postgres.ts';
import type { DatabaseServer } from '../kit/databases/server.ts';
import { freePort } from '../kit/free-port.ts';
import { RawClient } from '../kit/raw-client.ts';
import { until } from '../kit/until.ts';
import { change, configurationOf, statesOf, storeOf, TestCluster } from './kit.ts';

const ADDRESSES = ['127.0.0.10', '127.0.0.11', '127.0.0.12'];
const ALL = { 'node-1': 'applied', 'node-2': 'applied', 'node-3': 'applied' };

describe.each(['POSTGRESQL', 'LOCAL'])('store %s', (kind) => {
  let database: DatabaseServer | null = null;
  let cluster: TestCluster;
  beforeAll(async () => {
    database = kind === 'POSTGRESQL' ? await startPostgres() : null;
    const store = storeOf(database, database === null ? '' : await database.createDatabase());
    cluster = await TestCluster.start({ store, nodes: 3, ...(database === null ? { servers: 3 } : {}) });
  }, 90_000);
  afterAll(async () => {
    await cluster?.stop();
    await database?.stop();
  }, 60_000);
  const listens = async (address: string, port: number) => {
    const client = await RawClient.open('tcp', port, 4, address);
    const { code } = await client.handshake({});
    client.destroy();
    return code === 0;
  };

  test('an added endpoint listens on every node when the answer is there; so with a move, and a removal', async () => {
    const [a, b, c] = cluster.nodes;
    const port = await freePort();
    const added = await change(a!, 'add', { id: 'x', port, enableAuth: false });
    expect(added).toMatchObject({ status: 200, nodes: ALL });
    for (const address of ADDRESSES) expect(await listens(address, port)).toBe(true);
    const newPort = await freePort();
    const moved = await change(b!, 'update', { id: 'x', newPort });
    expect(moved).toMatchObject({ status: 200, nodes: ALL, revision: added.revision + 1 });
    for (const address of ADDRESSES) expect(await listens(address, newPort)).toBe(true);
    const removed = await change(c!, 'remove', { id: 'x', force: true });
    expect(removed).toMatchObject({ status: 200, nodes: ALL });
    for (const address of ADDRESSES) await expect(listens(address, newPort)).rejects.toThrow();
    await cluster.untilInStep();
  });

  test('a node that cannot apply keeps what it has, says why, retries, and does not hold up the others', async () => {
    const [a, b] = cluster.nodes;
    const port = await freePort();
    expect(await change(a!, 'add', { id: 'y', port, enableAuth: false })).toMatchObject({ nodes: ALL });
    const newPort = await freePort();
    const intruder = createServer().listen({ host: ADDRESSES[1]!, port: newPort, exclusive: true });
    try {
      const moved = await change(a!, 'update', { id: 'y', newPort });
      expect(moved).toMatchObject({ status: 200, nodes: { ...ALL, 'node-2': 'failed' } });
      expect(moved.outcomes.find(({ node }) => node === 'node-2')!.reason).toContain(`Port ${newPort} is already in use`);
      expect(await listens(ADDRESSES[1]!, port)).toBe(true);
      expect(await listens(ADDRESSES[2]!, newPort)).toBe(true);
      const { data } = (await b!.api('GET', '/api/endpoints/status')).body as {
        data: { id: string; node: string; runningRevision: number; desiredRevision: number; lastError: string }[];
      };
      const own = data.find(({ id, node }) => id === 'y' && node === 'node-2')!;
      expect(own.desiredRevision).toBe(moved.revision);
      expect(own.runningRevision).toBeLessThan(moved.revision);
      expect(own.lastError).toContain('already in use');
      expect(new Set(data.map(({ node }) => node))).toEqual(new Set(['node-1', 'node-2', 'node-3']));
      await until('node-1 knows', async () => (await statesOf(a!)).find(({ name }) => name === 'node-2')!.failed[0] === 'y');
    } finally {
      await new Promise((resolve) => intruder.close(resolve));
    }
    await until('node-2 has moved', () => listens(ADDRESSES[1]!, newPort).catch(() => false), 20_000);
    await change(a!, 'remove', { id: 'y', force: true });
  });

  test('policy=all: one node that cannot, and nothing changes', async () => {
    const [a] = cluster.nodes;
    const port = await freePort();
    const intruder = createServer().listen({ host: ADDRESSES[2]!, port, exclusive: true });
    try {
      const before = await configurationOf(a!);
      const refused = await change(a!, 'add', { id: 'w', port, enableAuth: false }, '?policy=all');
      expect(refused.status).toBe(422);
      expect(refused.message).toContain('node-3');
      expect(await configurationOf(a!)).toBe(before);
      await expect(listens(ADDRESSES[0]!, port)).rejects.toThrow();
    } finally {
      await new Promise((resolve) => intruder.close(resolve));
    }
    expect(await change(a!, 'add', { id: 'w', port, enableAuth: false }, '?policy=all')).toMatchObject({ status: 200, nodes: ALL });
    expect(await change(a!, 'remove', { id: 'w', force: true }, '?wait=local')).toMatchObject({ status: 200 });
    await cluster.untilInStep();
  });

  test('check-port, health and status speak for every node; a query that is not understood is refused', async () => {
    const [a] = cluster.nodes;
    const port = await freePort();
    await change(a!, 'add', { id: 'v', port, enableAuth: false });
    const health = (await a!.api('GET', `/api/endpoints/health?port=${port}`)).body as {
      data: { nodes: { node: string; healthy: boolean }[] };
    };
    const [probe] = Array.isArray(health.data) ? health.data : [health.data];
    expect(probe.nodes.map(({ node, healthy }: { node: string; healthy: boolean }) => [node, healthy])).toEqual([
      ['node-1', true],
      ['node-2', true],
      ['node-3', true],
    ]);
    const intruder = createServer();
    await new Promise<void>((resolve) => intruder.listen({ host: ADDRESSES[0]!, port: 0, exclusive: true }, resolve));
    const { port: taken } = intruder.address() as { port: number };
    const check = (await a!.api('GET', `/api/endpoints/check-port?port=${taken}&host=${ADDRESSES[0]}`)).body as {
      data: { nodes: unknown[] };
    };
    expect(check.data.nodes).toHaveLength(3);
    expect(check.data).toMatchObject({ available: false });
    await new Promise((resolve) => intruder.close(resolve));
    expect((await a!.api('POST', '/api/endpoints/enable?wait=some', { id: 'v' })).status).toBe(400);
    expect((await a!.api('POST', '/api/endpoints/enable?policy=most', { id: 'v' })).status).toBe(400);
    const statusOf = async () => ((await a!.api('GET', '/api/cluster/status')).body as { data: Record<string, unknown> }).data;
    await until('node-1 has learned of all', async () => (await statusOf())['inStep'] === true);
    expect(await statusOf()).toMatchObject({ enabled: true, nats: { connected: true }, nodes: { total: 3, up: 3 }, inStep: true, lag: 0 });
    await change(a!, 'remove', { id: 'v', force: true });
  });

  test('a node that was killed catches up when it is back; NATS away, changes still reach the others', async () => {
    const [a, b] = cluster.nodes;
    await cluster.nodes[2]!.kill('SIGKILL');
    const port = await freePort();
    const added = await change(a!, 'add', { id: 'u', port, enableAuth: false });
    expect(added).toMatchObject({ status: 200, nodes: { 'node-1': 'applied', 'node-2': 'applied', 'node-3': 'pending' } });
    const ofAll = () => change(a!, 'update', { id: 'u', maxConnectionSize: 9 }, '?policy=all');
    const unable = await ofAll();
    expect(unable).toMatchObject({ status: 422, message: expect.stringContaining('node-3: the node is down') });
    await cluster.again(2);
    await cluster.untilUp(3);
    await cluster.untilInStep();
    expect(await listens(ADDRESSES[2]!, port)).toBe(true);
    if (database === null) return;
    await cluster.nats.servers[0]!.kill();
    await until('they see it', async () => {
      const { data } = (await a!.api('GET', '/api/cluster/status')).body as { data: { nats: { connected: boolean } } };
      return !data.nats.connected;
    });
    expect(await ofAll()).toMatchObject({ status: 503, message: expect.stringContaining('there is no connection to NATS') });
    const newPort = await freePort();
    expect(await change(b!, 'update', { id: 'u', newPort })).toMatchObject({ status: 200 });
    await cluster.untilInStep();
    for (const address of ADDRESSES) expect(await listens(address, newPort)).toBe(true);
    await cluster.nats.servers[0]!.start();
    await cluster.untilUp(3);
  }, 90_000);
});
