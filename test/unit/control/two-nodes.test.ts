/** Two nodes over one store: each follows the other's changes, none overwrites the other's, and what cannot be applied keeps serving. */

import { createServer, type Server } from 'node:net';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { ChangeAnswer } from '../../../src/control/contract/answers.ts';
import { parseEndpoint } from '../../../src/endpoint/schema.ts';
import { FluxError } from '../../../src/kernel/errors.ts';
import type { NodeStore } from '../../../src/storage/documents/document-store.ts';
import type { ChangeMeta } from '../../../src/storage/endpoint-store.ts';
import { openMemoryStore } from '../../../src/storage/memory/memory-store.ts';
import { freePort } from '../../kit/free-port.ts';
import { client, context, startTestNode, type TestNode, until } from './kit.ts';

const HOST = '127.0.0.1';
const META: ChangeMeta = { action: 'update', actor: 'ann', source: 'http', node: 'other', requestId: 'r', reason: null };

/** The store as one node sees it: it can be made to fail for that node, and told to wait before a commit. */
function ownView(inner: NodeStore) {
  const view = { isAway: false, beforeCommit: async () => {}, commits: 0 };
  const guard = async <T>(work: () => Promise<T>) => {
    if (view.isAway) throw new FluxError('unavailable', 'the store is away');
    return work();
  };
  const store = Object.assign(Object.create(inner) as NodeStore, {
    load: () => guard(() => inner.load()),
    history: (query: Parameters<NodeStore['history']>[0]) => guard(() => inner.history(query)),
    close: () => inner.close(),
    commit: (...args: Parameters<NodeStore['commit']>) =>
      guard(async () => {
        view.commits++;
        await view.beforeCommit();
        return inner.commit(...args);
      }),
  });
  return { view, store };
}

async function hold(port: number): Promise<Server> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen({ port, host: HOST }, resolve));
  return server;
}

/** Whether nobody listens there any more; a connection that is made nevertheless is closed. */
async function isRefused(port: number): Promise<boolean> {
  try {
    (await client(port)).socket.destroy();
    return false;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'ECONNREFUSED';
  }
}

describe('two nodes over one store', () => {
  let store: NodeStore;
  let other: TestNode;
  let node: TestNode;
  let mine: ReturnType<typeof ownView>;

  /** The other node changes the store and listens nowhere: both would want the same ports of this machine. */
  beforeEach(async () => {
    store = openMemoryStore();
    mine = ownView(store);
    node = await startTestNode({ store: mine.store, isShared: true });
  });
  afterEach(async () => {
    expect(await node.stop(5_000)).toBe(true);
    await other?.stop(5_000);
  });

  const endpoint = (port: number, more: Record<string, unknown> = {}) => parseEndpoint({ port, host: HOST, ...more }).endpoint;
  const put = (port: number, more: Record<string, unknown> = {}) => ({ kind: 'put' as const, endpoint: endpoint(port, more) });
  const running = (port: number) => node.control.reads.status(port)[0];

  test('follows additions, changes, moves and removals of others', async () => {
    const [port, moved] = [await freePort(), await freePort()];
    await store.commit([put(port, { id: 'a', maxConnectionSize: 5 })], {}, META);
    await until('it listens', () => node.control.reads.activePorts().includes(port));
    const one = await client(port);
    expect(await one.about()).toMatchObject({ revision: 1, maxConnectionSize: 5 });
    await store.commit([put(port, { id: 'a', maxConnectionSize: 6 })], {}, META);
    await until('the live key is there', async () => (await one.about()).maxConnectionSize === 6);
    await store.commit([put(moved, { id: 'a' })], {}, META);
    await until('it moved', () => running(moved)?.runningRevision === 3);
    expect(one.isClosed).toBe(false);
    await until('the old port is free', () => isRefused(port));
    await store.commit([put(moved, { id: 'a', enabled: false })], {}, META);
    await until('it stopped', () => running(moved)?.state === 'stopped' && one.isClosed);
    await store.commit([put(moved, { id: 'a' })], {}, META);
    await until('it is back', () => running(moved)?.state === 'running');
    await store.commit([{ kind: 'remove', id: 'a' }], {}, META);
    await until('it is gone', () => node.control.reads.list().length === 0);
    await until('nothing listens', () => isRefused(moved));
  });

  test('does not look by itself with sync.enabled false, but finds out with its next change', async () => {
    await node.stop(5_000);
    node = await startTestNode({ store: mine.store, isShared: true, isPeriodic: false });
    const [port, own] = [await freePort(), await freePort()];
    await store.commit([put(port, { id: 'a' })], {}, META);
    // Five of its intervals.
    await new Promise((resolve) => setTimeout(resolve, 500));
    expect(node.control.reads.list()).toEqual([]);
    await node.control.changes.add({ port: own, host: HOST, id: 'b' }, context());
    await until('both listen', () => node.control.reads.activePorts().length === 2);
  });

  test('lets two endpoints swap their ports', async () => {
    const [first, second] = [await freePort(), await freePort()];
    await store.commit([put(first, { id: 'a' }), put(second, { id: 'b' })], {}, META);
    await until('both listen', () => node.control.reads.activePorts().length === 2);
    await store.commit([put(second, { id: 'a' }), put(first, { id: 'b' })], {}, META);
    // A client that is let in by the endpoint that leaves the port goes with it, and the workers of these tests close a socket whoever waits
    // in its queue.
    const isOf = async (port: number, id: string) => {
      const said = await client(port)
        .then((one) => one.about())
        .catch(() => null);
      return said?.endpoints.join() === id;
    };
    await until('they swapped', async () => (await isOf(first, 'b')) && (await isOf(second, 'a')));
    await until('it is well', () => node.control.reads.health().status === 'ok');
  });

  test('keeps serving with the last good configuration, says why, and applies the new one when it can', async () => {
    const [port, follower, taken] = [await freePort(), await freePort(), await freePort()];
    const foreign = await hold(taken);
    await store.commit([put(port, { id: 'a' }), put(follower, { id: 'b' })], {}, META);
    await until('both listen', () => node.control.reads.activePorts().length === 2);
    // b is to follow where a cannot leave.
    await store.commit([put(taken, { id: 'a' }), put(port, { id: 'b' })], {}, META);
    await until('both say so', () => [taken, port].every((each) => running(each)?.lastError?.includes('revision 2 is not applied')));
    expect(running(taken)).toMatchObject({ state: 'running', runningRevision: 1, desiredRevision: 2 });
    expect(running(taken)?.lastError).toContain(`Port ${taken} is already in use`);
    expect(running(port)?.lastError).toContain('could not be moved');
    expect(node.control.reads.health()).toMatchObject({ status: 'degraded', endpoints: { running: 2 } });
    expect(
      node.control.reads
        .health()
        .endpoints.failed.map(({ id }) => id)
        .sort(),
    ).toEqual(['a', 'b']);
    expect((await (await client(port)).about()).endpoints).toEqual(['a']);
    await new Promise((resolve) => foreign.close(resolve));
    await until('both moved', () => running(taken)?.runningRevision === 2 && running(port)?.runningRevision === 2);
    await until('it is well', () => node.control.reads.health().status === 'ok');
  });

  test('attempts a new endpoint that cannot listen until it can', async () => {
    const port = await freePort();
    const foreign = await hold(port);
    await store.commit([put(port)], {}, META);
    await until('it failed', () => running(port)?.state === 'failed');
    await new Promise((resolve) => foreign.close(resolve));
    await until('it listens', () => running(port)?.state === 'running' && running(port)?.lastError === null);
  });

  test('makes a change again on the new state when the other one was first', async () => {
    const port = await freePort();
    await node.control.changes.add({ port, host: HOST }, context());
    mine.view.beforeCommit = async () => {
      mine.view.beforeCommit = async () => {};
      await store.commit([put(port, { wiretap: true })], {}, META);
    };
    const answer = await node.control.changes.update({ port, maxConnectionSize: 9 }, context());
    expect(answer).toMatchObject({ revision: 3, endpoint: { maxConnectionSize: 9, wiretap: true } });
    expect((await store.load()).endpoints[0]).toMatchObject({ revision: 3, endpoint: { maxConnectionSize: 9, wiretap: true } });
    expect(mine.view.commits).toBe(3);
  });

  test('does not write over a change that was read while its own was under way', async () => {
    const port = await freePort();
    await node.control.changes.add({ port, host: HOST }, context());
    mine.view.beforeCommit = async () => {
      mine.view.beforeCommit = async () => {};
      await store.commit([put(port, { wiretap: true })], {}, META);
      await until('it was read', () => node.control.reads.get({ port }).revision === 2);
    };
    await node.control.changes.update({ port, maxConnectionSize: 9 }, context());
    expect((await store.load()).endpoints[0]?.endpoint).toMatchObject({ maxConnectionSize: 9, wiretap: true });
  });

  test('answers If-Match with the current state when the other one was first', async () => {
    const port = await freePort();
    await node.control.changes.add({ port, host: HOST }, context());
    mine.view.beforeCommit = () => store.commit([put(port, { wiretap: true })], {}, META).then(() => {});
    const failure = node.control.changes.update({ port, maxConnectionSize: 9 }, context({ expectedRevision: 1 }));
    await expect(failure).rejects.toMatchObject({ kind: 'revision-mismatch', data: { revision: 2, endpoint: { wiretap: true } } });
    await until('the change of the other one runs', () => running(port)?.runningRevision === 2);
  });

  test('gives up with 409 when the other one is always first', async () => {
    const port = await freePort();
    await node.control.changes.add({ port, host: HOST }, context());
    mine.view.beforeCommit = () => store.commit([put(port, { wiretap: true })], {}, META).then(() => {});
    await expect(node.control.changes.update({ port, maxConnectionSize: 9 }, context())).rejects.toMatchObject({ kind: 'busy' });
    await expect(node.control.changes.remove({ port }, context())).rejects.toMatchObject({ kind: 'busy' });
    expect(node.control.reads.get({ port }).endpoint).toMatchObject({ maxConnectionSize: 1000, wiretap: true });
  });

  test('asks the store before it refuses what waits for a confirmation: the other one may have confirmed it', async () => {
    const port = await freePort();
    await node.control.changes.add({ port, host: HOST }, context());
    const { revision } = await node.control.changes.update({ port, maxConnectionSize: 9 }, context({ confirmWithinMs: 60_000 }));
    await expect(node.control.changes.update({ port, wiretap: true }, context())).rejects.toMatchObject({ kind: 'busy' });
    await store.confirm(revision);
    const answer = await node.control.changes.update({ port, wiretap: true }, context());
    expect(answer).toMatchObject({ revision: revision + 1, endpoint: { maxConnectionSize: 9, wiretap: true } });
  });

  test('takes what was added elsewhere for what exists', async () => {
    const port = await freePort();
    mine.view.beforeCommit = () => store.commit([put(port, { id: 'theirs' })], {}, META).then(() => {});
    await expect(node.control.changes.add({ port, host: HOST, id: 'mine' }, context())).rejects.toMatchObject({ kind: 'exists' });
    await until('theirs runs', () => node.control.reads.status(port)[0]?.id === 'theirs' && running(port)?.state === 'running');
  });

  test('still serves while the store is away, refuses changes, and is in step when it is back', async () => {
    const port = await freePort();
    await node.control.changes.add({ port, host: HOST }, context());
    const one = await client(port);
    mine.view.isAway = true;
    await expect(node.control.changes.update({ port, newPort: await freePort() }, context())).rejects.toMatchObject({
      kind: 'unavailable',
    });
    await store.commit([put(port, { maxConnectionSize: 3 })], {}, META);
    expect(node.control.reads.health()).toMatchObject({ status: 'degraded', store: { ok: false, reason: 'the store is away' } });
    expect(node.control.reads.list()).toHaveLength(1);
    expect((await one.about()).maxConnectionSize).toBe(1000);
    mine.view.isAway = false;
    await until('it is in step', async () => (await one.about()).maxConnectionSize === 3);
    await until('it is well', () => node.control.reads.health().status === 'ok');
  });

  test('finds out what became of a change whose answer was lost', async () => {
    const [port, moved] = [await freePort(), await freePort()];
    await node.control.changes.add({ port, host: HOST, id: 'a' }, context());
    mine.view.beforeCommit = async () => {
      await store.commit([put(moved, { id: 'a' })], {}, META);
      throw new FluxError('unavailable', 'the outcome is not known', { data: { outcome: 'unknown' } });
    };
    await expect(node.control.changes.update({ id: 'a', newPort: moved }, context())).rejects.toMatchObject({ kind: 'unavailable' });
    await until('the store decided', () => running(moved)?.runningRevision === 2);
    await until('the old port is free', () => isRefused(port));
  });

  test('follows a store that was put back to an earlier state', async () => {
    const [port, gone] = [await freePort(), await freePort()];
    const old = openMemoryStore();
    await old.commit([put(port)], {}, META);
    await node.control.changes.add({ port, host: HOST }, context());
    await node.control.changes.add({ port: gone, host: HOST }, context());
    mine.store.load = () => old.load();
    await until('it follows', () => node.control.reads.list().length === 1 && node.control.reads.activePorts().join() === String(port));
    expect(node.lines.some(({ message }) => message.includes('gone back'))).toBe(true);
  });

  test('has both nodes in the same state after many changes of both', async () => {
    const ids = ['a', 'b', 'c'];
    const ports = await Promise.all(ids.map(freePort));
    // Disabled: on one machine only one of the two could listen.
    for (const [index, id] of ids.entries()) await node.control.changes.add({ port: ports[index], id, enabled: false }, context());
    other = await startTestNode({ store, isShared: true });
    const answers: ChangeAnswer[] = [];
    const writer = async (on: TestNode, n: number) => {
      for (let round = 0; round < 6; round++) {
        const change = on.control.changes.update({ id: ids[(n + round) % 3], maxConnectionSize: 100 + n * 10 + round }, context());
        await change.then(
          (answer) => answers.push(answer),
          (error: FluxError) => expect(error.kind).toBe('busy'),
        );
      }
    };
    await Promise.all([0, 1, 2, 3].map((n) => writer(n % 2 === 0 ? node : other, n)));
    const { revision, endpoints } = await store.load();
    await until('both are there', () => [node, other].every((each) => each.control.reads.revision() === revision));
    for (const each of [node, other])
      expect(each.control.reads.list()).toEqual(endpoints.sort((a, b) => a.endpoint.port - b.endpoint.port));
    const rows = (await store.history({ limit: 1000 })).filter(({ action }) => action === 'update');
    const answered = answers.filter(({ effect }) => effect !== 'none').map((answer) => answer.revision);
    expect(rows.map((row) => row.revision)).toEqual(answered.sort((a, b) => b - a));
  });
});
