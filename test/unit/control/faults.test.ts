/** Worker threads that die, ports that are taken at the start, and the start and end of a whole node. */

import { createServer } from 'node:net';
import { afterEach, describe, expect, test } from 'vitest';
import { openMemoryStore } from '../../../src/storage/memory/memory-store.ts';
import { freePort } from '../../kit/free-port.ts';
import { second } from '../../kit/load.ts';
import { quiet, sleep } from '../../kit/until.ts';
import { client, context, startTestNode, type TestNode, until } from './kit.ts';

const HOST = '127.0.0.1';

describe('faults', () => {
  let node: TestNode;
  afterEach(async () => {
    expect(await node.stop(5_000)).toBe(true);
  });

  test('replaces a worker that crashed within a second; other endpoints notice nothing', async () => {
    const [port, other] = [await freePort(), await freePort()];
    node = await startTestNode({
      endpoints: [
        { port, host: HOST, maxConnectionSize: 3 },
        { port: other, host: HOST },
      ],
    });
    const bystander = await client(other);
    const victims = [await client(port), await client(port), await client(port)];
    const { peer } = await victims[0]!.about();
    const crashedAt = performance.now();
    victims[0]!.crash();
    await until('a new worker accepts', () =>
      client(port)
        .then((one) => one.about().then(() => true))
        .catch(() => false),
    );
    expect(performance.now() - crashedAt).toBeLessThan(second());
    const about = await (await client(port)).about();
    expect(about.peer).not.toBe(peer);
    expect(about.peers).not.toContain(peer);
    expect((await bystander.about()).peers).toContain(about.peer);
    expect((await bystander.about()).peers).not.toContain(peer);
    expect(node.control.reads.status(port)).toMatchObject([{ state: 'running', restarts: 1 }]);
    expect(node.control.reads.health().workerRestarts).toBe(1);
    expect(node.lines.some(({ message }) => message.startsWith(`Endpoint ${port} lost its worker`))).toBe(true);
    expect(bystander.isClosed).toBe(false);
  });

  const SLOW = 14;

  /** Its worker has died, and the one that comes in its place has not begun to accept yet. */
  async function beingRepaired(): Promise<number> {
    const port = await freePort();
    node = await startTestNode({ endpoints: [{ port, host: HOST, id: 'slow', maxReceiveWindowSize: SLOW }] });
    (await client(port)).crash();
    await until('its worker is lost', () => node.control.reads.status(port)[0]?.restarts === 1);
    await sleep(100);
    return port;
  }

  test('an endpoint that is removed while it is being repaired is gone', async () => {
    const port = await beingRepaired();
    await node.control.changes.remove({ port }, context());
    await quiet(600, 'the repair ends, and the endpoint listens again');
    await expect(client(port)).rejects.toThrow('ECONNREFUSED');
    expect(node.lines.filter(({ message }) => message.endsWith('again'))).toEqual([]);
  });

  test('an endpoint that is moved while it is being repaired listens in the new place alone', async () => {
    const [port, newPort] = [await beingRepaired(), await freePort()];
    await node.control.changes.update({ port, newPort }, context());
    await quiet(600, 'the repair ends, and the endpoint listens in the old place');
    await expect(client(port)).rejects.toThrow('ECONNREFUSED');
    expect(node.control.reads.status(newPort)).toMatchObject([{ state: 'running', workers: 1 }]);
    await (await client(newPort)).about();
  });

  test('of an endpoint whose worker dies while its successor begins there is one listener afterwards', async () => {
    const [port, newPort] = [await freePort(), await freePort()];
    node = await startTestNode({ endpoints: [{ port, host: HOST, maxReceiveWindowSize: SLOW }] });
    const victim = await client(port);
    const moved = node.control.changes.update({ port, newPort }, context());
    await until('it is stored', () => node.control.reads.list().some(({ endpoint }) => endpoint.port === newPort));
    victim.crash();
    expect((await moved).nodes).toMatchObject([{ state: 'applied' }]);
    await quiet(800, 'the successor of the dead worker begins, and there are two');
    expect(node.control.reads.status(newPort)).toMatchObject([{ state: 'running', workers: 1 }]);
    await expect(client(port)).rejects.toThrow('ECONNREFUSED');
  });

  test('gives the places of the dead worker back, and keeps what it had counted', async () => {
    const port = await freePort();
    node = await startTestNode({ endpoints: [{ port, host: HOST, maxConnectionSize: 2 }] });
    const victims = [await client(port), await client(port)];
    await victims[1]!.about();
    const before = (await node.control.reads.metrics(port))[0]!.metrics.connections;
    expect(before).toMatchObject({ current: 2, max: 2, total: 2 });
    victims[0]!.crash();
    await until(
      'the worker is back',
      () => node.control.reads.status(port)[0]?.restarts === 1 && node.control.reads.status(port)[0]?.state === 'running',
    );
    await (await client(port)).about();
    await (await client(port)).about();
    expect((await node.control.reads.metrics(port))[0]!.metrics.connections).toMatchObject({ current: 2, max: 2, total: 4 });
  });

  test('slows down when a worker crashes again and again', async () => {
    const port = await freePort();
    node = await startTestNode({ endpoints: [{ port, host: HOST }] });
    const times: number[] = [];
    for (let round = 0; round < 4; round++) {
      const startedAt = performance.now();
      (await client(port)).crash();
      await until(
        'it is back',
        () => node.control.reads.status(port)[0]?.restarts === round + 1 && node.control.reads.activePorts().includes(port),
      );
      times.push(performance.now() - startedAt);
    }
    expect(times[3]).toBeGreaterThan(400);
  });

  test('replaces the session worker while endpoints still serve', async () => {
    const port = await freePort();
    node = await startTestNode({ endpoints: [{ port, host: HOST }] });
    const one = await client(port);
    const before = (await one.about()).peers;
    await node.control.clients.publish({ topic: 'crash', payload: new Uint8Array(), qos: 0, retain: false, namespace: 'default' });
    await until('the restart is counted', () => node.control.reads.health().workerRestarts === 1);
    const after = (await one.about()).peers;
    expect(after).not.toContain(Math.min(...before));
    expect(node.control.reads.health().status).toBe('ok');
    await node.control.changes.add({ port: await freePort(), host: HOST }, context());
    expect(one.isClosed).toBe(false);
  });

  test('starts the others when one port is taken, and takes that one as soon as it is free', async () => {
    const [port, other] = [await freePort(), await freePort()];
    const foreign = createServer();
    await new Promise<void>((resolve) => foreign.listen({ port, host: HOST }, resolve));
    node = await startTestNode({
      endpoints: [
        { port, host: HOST },
        { port: other, host: HOST },
      ],
    });
    expect(node.control.reads.activePorts()).toEqual([other]);
    expect(node.control.reads.status(port)).toMatchObject([{ state: 'failed', listeningSince: null }]);
    expect(node.control.reads.status(port)[0]?.lastError).toContain(`Port ${port} is already in use`);
    expect(node.control.reads.health()).toMatchObject({ status: 'degraded', endpoints: { total: 2, running: 1, failed: [{ port }] } });
    await new Promise((resolve) => foreign.close(resolve));
    await until('it listens', () => node.control.reads.activePorts().length === 2);
    expect(node.control.reads.status(port)).toMatchObject([{ state: 'running', lastError: null }]);
  });

  test('can be moved, disabled or removed while it has failed', async () => {
    const [port, free] = [await freePort(), await freePort()];
    const foreign = createServer();
    await new Promise<void>((resolve) => foreign.listen({ port, host: HOST }, resolve));
    node = await startTestNode({ endpoints: [{ port, host: HOST }] });
    expect(node.control.reads.health()).toMatchObject({ status: 'failed', nats: null, endpoints: { total: 1, running: 0 } });
    await node.control.changes.update({ port, newPort: free }, context());
    expect(node.control.reads.health().status).toBe('ok');
    await node.control.changes.setEnabled(false, { port: free, force: true }, context());
    expect(node.control.reads.health().status).toBe('ok');
    await node.control.changes.setEnabled(true, { port: free }, context());
    await (await client(free)).about();
    await node.control.changes.remove({ port: free }, context());
    expect(node.control.reads.list()).toEqual([]);
    await new Promise((resolve) => foreign.close(resolve));
  });

  test('writes the endpoints of the configuration once; afterwards the store wins', async () => {
    const [first, second] = [await freePort(), await freePort()];
    const store = openMemoryStore();
    node = await startTestNode({ endpoints: [{ port: first, host: HOST }], store });
    expect(node.control.reads.health()).toMatchObject({ startup: { seeded: 1, endpoints: 1 } });
    expect(await store.history({ limit: 1 })).toMatchObject([{ action: 'seed', source: 'file', port: first }]);
    await node.stop(5_000);
    node = await startTestNode({ endpoints: [{ port: second, host: HOST }], store });
    expect(node.control.reads.activePorts()).toEqual([first]);
    expect(node.lines.some(({ message }) => message.includes('the store wins'))).toBe(true);
  });

  test('stops with clients connected, and nothing listens afterwards', async () => {
    const port = await freePort();
    node = await startTestNode({ endpoints: [{ port, host: HOST, serverOptions: { workerGroupSize: 2 } }] });
    const clients = await Promise.all(Array.from({ length: 50 }, () => client(port)));
    expect(await node.stop(5_000)).toBe(true);
    await until('all are disconnected', () => clients.every((one) => one.isClosed));
    await expect(client(port)).rejects.toThrow('ECONNREFUSED');
  });

  test('writes all metrics of the node in Prometheus form', async () => {
    const port = await freePort();
    node = await startTestNode({ endpoints: [{ port, host: HOST, id: 'a.b' }] });
    await (await client(port)).about();
    const text = [...(await node.control.reads.prometheus())].join('');
    expect(text).toContain(`fluxmq_endpoint_connections_current{port="${port}",endpoint="a.b"} 1`);
    expect(text).toContain(`fluxmq_endpoint_state{port="${port}",endpoint="a.b",state="running"} 1`);
    expect(text).toContain('nodejs_eventloop_lag_p99_seconds');
    expect([...(await node.control.reads.prometheus(port))].join('')).not.toContain('nodejs_');
    expect((await node.control.reads.resources()).threads.map(({ role }) => role)).toContain('session');
  });
});
