/** The life of endpoint changes on one node, with real threads and real sockets. */

import { createServer } from 'node:net';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { FluxError } from '../../../src/kernel/errors.ts';
import type { NodeStore } from '../../../src/storage/documents/document-store.ts';

import { openMemoryStore } from '../../../src/storage/memory/memory-store.ts';
import { freePort } from '../../kit/free-port.ts';
import { sleep } from '../../kit/until.ts';
import { client, context, startTestNode, type TestNode, until } from './kit.ts';

const HOST = '127.0.0.1';

async function failure(promise: Promise<unknown>): Promise<FluxError> {
  const error = await promise.then(
    () => null,
    (reason: unknown) => reason,
  );
  if (!(error instanceof FluxError)) throw new Error(`expected a FluxError, got ${String(error)}`);
  return error;
}

describe('changes of endpoints', () => {
  let node: TestNode;
  let store: NodeStore & { isAway: boolean };

  beforeEach(async () => {
    const inner = openMemoryStore();
    store = Object.assign(Object.create(inner) as NodeStore, {
      isAway: false,
      load: () => (store.isAway ? Promise.reject(new FluxError('unavailable', 'told to fail')) : inner.load()),
      history: (query: Parameters<NodeStore['history']>[0]) => inner.history(query),
      close: () => inner.close(),
      commit: (...args: Parameters<NodeStore['commit']>) =>
        store.isAway ? Promise.reject(new FluxError('unavailable', 'told to fail')) : inner.commit(...args),
    });
    node = await startTestNode({ store });
  });
  afterEach(async () => {
    expect(await node.stop(5_000)).toBe(true);
  });

  const add = (body: Record<string, unknown>) => node.control.changes.add({ host: HOST, ...body }, context());

  test('listens, is stored and is reported when add answers', async () => {
    const port = await freePort();
    const answer = await add({ port, maxConnectionSize: 7 });
    expect(answer).toMatchObject({ revision: 1, nodes: [{ node: 'test-node', state: 'applied' }] });
    const about = await (await client(port)).about();
    expect(about).toMatchObject({ maxConnectionSize: 7, revision: 1 });
    expect((await store.load()).endpoints.map(({ endpoint }) => endpoint.port)).toEqual([port]);
    expect(node.control.reads.activePorts()).toEqual([port]);
    expect(node.control.reads.status(port)).toMatchObject([
      { state: 'running', connections: 1, workers: 1, runningRevision: 1, desiredRevision: 1 },
    ]);
    expect(await node.control.reads.history({ limit: 5 })).toMatchObject([{ action: 'add', actor: 'tester' }]);
  });

  test('changes nothing when the port belongs to somebody else, also with SO_REUSEPORT', async () => {
    const port = await freePort();
    for (const reusePort of [false, true]) {
      const foreign = createServer();
      await new Promise<void>((resolve) => foreign.listen({ port, host: HOST, reusePort }, resolve));
      const error = await failure(add({ port }));
      expect(error.kind).toBe('port-in-use');
      expect(error.message).toContain(`Port ${port} is already in use`);
      await new Promise((resolve) => foreign.close(resolve));
    }
    expect(node.control.reads.list()).toEqual([]);
    expect((await store.load()).revision).toBe(0);
  });

  test('refuses an address that is not local with the words that users grep for', async () => {
    const port = await freePort();
    const error = await failure(node.control.changes.add({ port, host: '203.0.113.9' }, context()));
    expect(error.kind).toBe('unprocessable');
    expect(error.message).toContain(`Failed to bind to address 203.0.113.9:${port}`);
  });

  test('closes the new listener again when the store fails', async () => {
    const port = await freePort();
    store.isAway = true;
    expect((await failure(add({ port }))).kind).toBe('unavailable');
    await expect(client(port)).rejects.toThrow('ECONNREFUSED');
    expect(node.control.reads.health()).toMatchObject({ status: 'degraded', store: { ok: false } });
    store.isAway = false;
    await add({ port });
    expect(node.control.reads.health()).toMatchObject({ status: 'ok', store: { ok: true } });
  });

  test('refuses a second endpoint with the port or the id of another one', async () => {
    const port = await freePort();
    await add({ port, id: 'a' });
    expect((await failure(add({ port, id: 'b' }))).kind).toBe('exists');
    expect((await failure(add({ port: await freePort(), id: 'a' }))).kind).toBe('exists');
  });

  test('gives live keys to the running worker without a new listener', async () => {
    const port = await freePort();
    await add({ port });
    const before = await client(port);
    const { peer } = await before.about();
    const answer = await node.control.changes.update({ port, maxConnectionSize: 9 }, context());
    expect(answer).toMatchObject({ effect: 'live', revision: 2 });
    expect(await before.about()).toMatchObject({ peer, maxConnectionSize: 9, revision: 2 });
  });

  test('answers an update that changes nothing with the same revision', async () => {
    const port = await freePort();
    await add({ port });
    expect(await node.control.changes.update({ port, maxConnectionSize: 1000 }, context())).toMatchObject({ effect: 'none', revision: 1 });
  });

  test('moves to another port, keeps the clients of the old one, and drains them when told to', async () => {
    const [port, second, third] = [await freePort(), await freePort(), await freePort()];
    await add({ port });
    const old = await client(port);
    expect(await node.control.changes.update({ port, newPort: second, maxConnectionSize: 5 }, context())).toMatchObject({
      effect: 'rebind',
    });
    await expect(client(port)).rejects.toThrow('ECONNREFUSED');
    await (await client(second)).about();
    expect(await old.about()).toMatchObject({ maxConnectionSize: 5 });
    expect(node.control.reads.status(second)).toMatchObject([{ connections: 2, workers: 1 }]);
    await node.control.changes.update({ port: second, newPort: third, drainMs: 50 }, context());
    await until('the clients of both are gone', () => node.control.reads.status(third)[0]?.connections === 0 && old.isClosed);
  });

  test('rebinds on the same port without refusing a connection', async () => {
    const port = await freePort();
    await add({ port });
    const errors: string[] = [];
    let connected = 0;
    let isDone = false;
    const storm = (async () => {
      while (!isDone) {
        await client(port).then(
          (one) => {
            connected++;
            one.socket.destroy();
          },
          (error: NodeJS.ErrnoException) => errors.push(error.code ?? error.message),
        );
      }
    })();
    for (const exclusivePool of [false, true, false]) await node.control.changes.update({ port, exclusivePool }, context());
    isDone = true;
    await storm;
    expect(connected).toBeGreaterThan(10);
    // One that waits in the accept queue of the closed socket is reset by the kernel: the window is microseconds, and not ours.
    expect(errors).not.toContain('ECONNREFUSED');
    expect(errors.length).toBeLessThanOrEqual(connected / 100);
  });

  test('keeps the old listener when the new one cannot bind', async () => {
    const [port, taken] = [await freePort(), await freePort()];
    const foreign = createServer();
    await new Promise<void>((resolve) => foreign.listen({ port: taken, host: HOST }, resolve));
    await add({ port });
    expect((await failure(node.control.changes.update({ port, newPort: taken }, context()))).kind).toBe('port-in-use');
    await (await client(port)).about();
    expect(node.control.reads.get({ port }).revision).toBe(1);
    foreign.close();
  });

  test('adds and removes workers of a port', async () => {
    const port = await freePort();
    await add({ port, serverOptions: { workerGroupSize: 2 } });
    await node.control.changes.update({ port, serverOptions: { workerGroupSize: 3 } }, context());
    expect(node.control.reads.status(port)).toMatchObject([{ workers: 3 }]);
    const peers = new Set<number>();
    await until('all three accept', async () => {
      const one = await client(port);
      const about = await one.about();
      peers.add(about.peer);
      expect(about.peers.length).toBeGreaterThanOrEqual(3);
      one.socket.destroy();
      return peers.size === 3;
    });
    await node.control.changes.update({ port, serverOptions: { workerGroupSize: 1 } }, context());
    expect(node.control.reads.status(port)).toMatchObject([{ workers: 1, state: 'running' }]);
  });

  test('disconnects at remove and at disable, and listens again after enable', async () => {
    const port = await freePort();
    await add({ port });
    const one = await client(port);
    await node.control.changes.setEnabled(false, { port }, context());
    await until('disconnected', () => one.isClosed);
    expect(node.control.reads.status(port)).toMatchObject([{ state: 'stopped', connections: 0 }]);
    await node.control.changes.setEnabled(true, { port }, context());
    const two = await client(port);
    await two.about();
    expect(await node.control.changes.remove({ port }, context())).toMatchObject({ revision: 4 });
    await until('disconnected', () => two.isClosed);
    await expect(client(port)).rejects.toThrow('ECONNREFUSED');
    expect((await failure(Promise.resolve().then(() => node.control.reads.get({ port })))).kind).toBe('not-found');
  });

  test('keeps at most one default endpoint, and protects it', async () => {
    const [one, two] = [await freePort(), await freePort()];
    await add({ port: one, isDefault: true });
    await add({ port: two });
    await node.control.changes.update({ port: two, isDefault: true }, context());
    expect(node.control.reads.get({ port: one })).toMatchObject({ revision: 3, endpoint: { isDefault: false } });
    expect((await failure(node.control.changes.remove({ port: two }, context()))).kind).toBe('default-endpoint');
    expect((await failure(node.control.changes.update({ port: two, enabled: false }, context()))).kind).toBe('default-endpoint');
    await node.control.changes.remove({ port: two, force: true }, context());
  });

  test('honours If-Match and lets one of two changes at once win', async () => {
    const port = await freePort();
    await add({ port });
    const stale = await failure(node.control.changes.update({ port, wiretap: true }, context({ expectedRevision: 99 })));
    expect(stale).toMatchObject({ kind: 'revision-mismatch', data: { revision: 1, endpoint: { port } } });
    const results = await Promise.allSettled(
      [1, 2, 3].map((n) => node.control.changes.update({ port, serverOptions: { soBacklog: 100 + n } }, context({ expectedRevision: 1 }))),
    );
    expect(results.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
    for (const result of results) if (result.status === 'rejected') expect((result.reason as FluxError).kind).toBe('busy');
  });

  test('changes different endpoints side by side', async () => {
    const ports = await Promise.all([1, 2, 3, 4].map(freePort));
    const answers = await Promise.all(ports.map((port) => add({ port })));
    expect(new Set(answers.map(({ revision }) => revision)).size).toBe(4);
    for (const [index, port] of ports.entries()) {
      expect((await (await client(port)).about()).revision).toBe(answers[index]!.revision);
    }
  });

  test('puts endpoints without an exclusive pool into one thread', async () => {
    const ports = await Promise.all([1, 2, 3].map(freePort));
    for (const port of ports) await add({ port, exclusivePool: false });
    const abouts = await Promise.all(ports.map(async (port) => (await client(port)).about()));
    expect(new Set(abouts.map(({ peer }) => peer)).size).toBe(1);
    expect(abouts[0]!.endpoints).toHaveLength(3);
    // The old listener keeps its client, so the new one needs another thread.
    await node.control.changes.update({ port: ports[0], newPort: await freePort() }, context());
    await node.control.changes.remove({ port: ports[1] }, context());
    expect((await (await client(ports[2]!)).about()).endpoints).toHaveLength(2);
  });

  test('replaces a worker that does not take its configuration', async () => {
    const port = await freePort();
    await add({ port });
    const { peer } = await (await client(port)).about();
    const answer = await node.control.changes.update({ port, maxQueuedMessages: 13 }, context());
    expect(answer.nodes).toMatchObject([{ state: 'pending', reason: 'told to refuse' }]);
    await until('another worker accepts', async () => (await (await client(port)).about().catch(() => ({ peer }))).peer !== peer);
  });

  test('keeps its listener when no new one can let anybody in, says so, and tries again', async () => {
    const [port, newPort] = [await freePort(), await freePort()];
    await add({ port, id: 'late' });
    const old = await client(port);
    const answer = await node.control.changes.update({ port, newPort, maxReceiveWindowSize: 13 }, context());
    const reason = `Port ${newPort} is already in use`;
    expect(answer.nodes).toMatchObject([{ state: 'pending', reason }]);
    await expect(client(newPort)).rejects.toThrow('ECONNREFUSED');
    await client(port);
    await until('the attempt is made again', () => node.lines.some(({ message }) => message.includes('it keeps its old configuration')));
    expect(await node.control.reads.status(newPort)).toMatchObject([{ state: 'running', lastError: expect.stringContaining(reason) }]);
    const again = await node.control.changes.update({ port: newPort, maxReceiveWindowSize: 20 }, context());
    expect(again.nodes).toMatchObject([{ state: 'applied' }]);
    await client(newPort);
    await expect(client(port)).rejects.toThrow('ECONNREFUSED');
    await old.about();
  });

  test('an endpoint that nobody can be let into is stored, and attempted until it is otherwise', async () => {
    const port = await freePort();
    const answer = await add({ port, id: 'late', maxReceiveWindowSize: 13 });
    expect(answer.nodes).toMatchObject([{ state: 'pending' }]);
    expect(await node.control.reads.status(port)).toMatchObject([{ state: 'failed', lastError: `Port ${port} is already in use` }]);
    await node.control.changes.update({ port, maxReceiveWindowSize: 20 }, context());
    await client(port);
  });

  test('a port that passes from one endpoint to the next listens all the time', async () => {
    const ports = await Promise.all(Array.from({ length: 12 }, () => freePort()));
    const config = (n: number, port: number) => ({ id: `r${n}`, port, host: HOST });
    await node.control.changes.importAll({ configs: ports.map((port, n) => config(n, port)) }, context());
    let isOver = false;
    const refused: string[] = [];
    const coming = ports.map(async (port) => {
      while (!isOver) {
        const came = client(port).then(({ socket }) => void socket.destroy());
        await came.catch((error: Error) => {
          // The workers of these tests close a socket whoever waits in its queue.
          if (!error.message.includes('ECONNRESET')) refused.push(error.message);
        });
        // Without it, twelve of these leave the change hardly any of the processor.
        await sleep(5);
      }
    });
    for (let turn = 1; turn <= 3; turn++) {
      const rotated = ports.map((_, n) => config(n, ports[(n + turn) % ports.length]!));
      await node.control.changes.importAll({ configs: rotated }, context());
    }
    isOver = true;
    await Promise.all(coming);
    expect(refused).toEqual([]);
  });

  test('lets nobody in before the change is stored', async () => {
    const [port, newPort] = [await freePort(), await freePort()];
    await add({ port });
    const commit = node.store.commit.bind(node.store);
    let early = '';
    vi.spyOn(node.store, 'commit').mockImplementationOnce(async (...args) => {
      early = await client(newPort).then(
        () => 'let in',
        (error: Error) => error.message,
      );
      return commit(...args);
    });
    await node.control.changes.update({ port, newPort }, context());
    expect(early).toContain('ECONNREFUSED');
    await client(newPort);
  });

  test('a port is one endpoint’s alone also when the one before cannot leave it', async () => {
    const [first, second, third] = [await freePort(), await freePort(), await freePort()];
    const config = (id: string, port: number) => ({ id, port, host: HOST });
    await node.control.changes.importAll({ configs: [config('a', first), config('b', second)] }, context());
    const commit = node.store.commit.bind(node.store);
    const stranger = createServer();
    vi.spyOn(node.store, 'commit').mockImplementationOnce(async (...args) => {
      await new Promise<void>((resolve) => stranger.listen({ port: third, host: HOST }, resolve));
      return commit(...args);
    });
    try {
      const answer = await node.control.changes.importAll({ configs: [config('a', second), config('b', third)] }, context());
      expect(answer.nodes).toMatchObject([{ state: 'pending' }]);
      const who = new Set<string>();
      for (let n = 0; n < 20; n++) {
        const one = await client(second);
        who.add((await one.about()).endpoints.join());
        one.socket.destroy();
      }
      expect([...who]).toEqual(['a']);
      expect(await node.control.reads.status(third)).toMatchObject([{ id: 'b', state: 'failed' }]);
    } finally {
      await new Promise((resolve) => stranger.close(resolve));
    }
    await until('it has come', () => node.control.reads.activePorts().includes(third));
  });

  test('shares no port with somebody who has come to it while the change was stored', async () => {
    const [port, newPort] = [await freePort(), await freePort()];
    await add({ port });
    const commit = node.store.commit.bind(node.store);
    const stranger = createServer((socket) => socket.end('stranger'));
    vi.spyOn(node.store, 'commit').mockImplementationOnce(async (...args) => {
      // As another broker of this user would: the system lets both have it.
      await new Promise<void>((resolve) => stranger.listen({ port: newPort, host: HOST, reusePort: true }, resolve));
      return commit(...args);
    });
    try {
      const answer = await node.control.changes.update({ port, newPort }, context());
      expect(answer.nodes).toMatchObject([{ state: 'pending', reason: expect.stringContaining(`Port ${newPort} is already in use`) }]);
      await (await client(port)).about();
    } finally {
      await new Promise((resolve) => stranger.close(resolve));
    }
    await until('it is tried again', () => node.control.reads.activePorts().includes(newPort));
  });

  test('refuses what it does not know, and leaves everything as it was', async () => {
    const port = await freePort();
    expect((await failure(add({ port, colour: 'red' }))).kind).toBe('invalid');
    expect((await failure(node.control.changes.remove({ port, unknown: 1 }, context()))).kind).toBe('invalid');
    expect((await failure(node.control.changes.update({}, context()))).kind).toBe('invalid');
    expect((await failure(node.control.changes.update({ port }, context()))).kind).toBe('not-found');
  });

  test('probes health through the port, and says why a port is not available', async () => {
    const port = await freePort();
    await add({ port, id: 'probed' });
    expect(await node.control.cluster.probe()).toMatchObject([{ id: 'probed', healthy: true, nodes: [{ reason: null }] }]);
    expect(await node.control.cluster.checkPort(port)).toMatchObject({
      available: false,
      nodes: [{ reason: `Port ${port} is already in use by endpoint probed` }],
    });
    expect(await node.control.cluster.checkPort(await freePort())).toMatchObject({ available: true });
  });

  test('warns of a port that nobody can log in to, and plans with what this node could not do', async () => {
    const port = await freePort();
    const nobody = expect.stringContaining('nobody can log in');
    const added = await add({ port, enableAuth: true });
    expect(added.warnings).toEqual([nobody]);
    const users = [{ type: 'fixed', users: [{ username: 'u', password: 'p' }] }];
    expect((await node.control.changes.update({ port, authConfig: users }, context())).warnings).not.toContainEqual(nobody);
    const stranger = createServer();
    await new Promise<void>((resolve) => stranger.listen(0, HOST, resolve));
    const newPort = (stranger.address() as { port: number }).port;
    try {
      const plan = await node.control.changes.plan({ action: 'update', port, newPort, authConfig: null }, context());
      expect(plan.warnings).toEqual(expect.arrayContaining([nobody, expect.stringContaining(`Port ${newPort} is already in use`)]));
      const free = await node.control.changes.plan({ action: 'update', port, newPort: await freePort() }, context());
      expect(free.warnings.filter((text) => text.includes('in use'))).toEqual([]);
    } finally {
      await new Promise((resolve) => stranger.close(resolve));
    }
  });

  test('plans without changing', async () => {
    const port = await freePort();
    await add({ port });
    await client(port);
    await until('counted', () => node.control.reads.status(port)[0]?.connections === 1);
    const backlog = await node.control.changes.plan({ action: 'update', port, serverOptions: { soBacklog: 10 }, drainMs: 5 }, context());
    expect(backlog).toMatchObject({ changes: [{ path: 'serverOptions.soBacklog', to: 10, effect: 'rebind' }], clientsAffected: 1 });
    const plan = await node.control.changes.plan({ action: 'update', port, namespace: 'other', drainMs: 5 }, context());
    expect(plan).toMatchObject({ changes: [{ path: 'namespace', to: 'other', effect: 'rebind' }], clientsAffected: 1 });
    expect(await node.control.changes.plan({ action: 'remove', port }, context())).toMatchObject({ clientsAffected: 1 });
    expect((await store.load()).revision).toBe(1);
    expect(await node.control.changes.validate({ port: 0 })).toMatchObject({ valid: false, issues: [{ path: 'port' }] });
  });
});
