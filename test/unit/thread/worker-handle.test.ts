/** Main's end of a worker channel, against real threads. */

import { afterEach, expect, test } from 'vitest';
import type { WorkerBoot } from '../../../src/thread/commands.ts';
import { createHeartbeat } from '../../../src/thread/heartbeat.ts';
import { createIdentifierTable } from '../../../src/thread/identifier-table.ts';
import { createMemoryBlock } from '../../../src/thread/memory-budget.ts';
import { createMessageNumbers } from '../../../src/thread/message-numbers.ts';
import { createStoreState } from '../../../src/thread/store-state.ts';
import { type WorkerExit, WorkerHandle, workerHeapLimitMb } from '../../../src/thread/worker-handle.ts';
import { collectGarbage } from '../../kit/garbage.ts';

const URL_OF_WORKER = new URL('./raw-worker.js', import.meta.url);
let handle: WorkerHandle;
let exits: WorkerExit[] = [];
let logs: string[] = [];

function create(behaviour: string): WorkerHandle {
  exits = [];
  logs = [];
  const boot: WorkerBoot = {
    role: 'endpoint',
    peer: 9,
    node: behaviour,
    version: '0',
    dataPath: null,
    heartbeat: createHeartbeat(),
    logins: new SharedArrayBuffer(0),
    knownLogins: new SharedArrayBuffer(0),
    flapping: null,
    identifiers: createIdentifierTable(),
    numbers: createMessageNumbers(),
    storeState: createStoreState(),
    memory: createMemoryBlock(1e9),
    memorySlot: 0,
    probePrefix: 'probe-',
    hasRelay: false,
    prefersOwnMembers: false,
    willGraceMs: 0,
    relay: null,
  };
  handle = new WorkerHandle(URL_OF_WORKER, boot, {
    questions: { 'access.verify': async () => true },
    onLog: (level, message, fields) => logs.push(`${level} ${message} ${JSON.stringify(fields)}`),
    onFlapping: () => {},
    onExit: (exit) => exits.push(exit),
  });
  return handle;
}

afterEach(async () => {
  await handle.stop(50);
  await handle.ended;
});

test('waits for ready, calls, and hands errors on with their kind', async () => {
  await create('polite').start(5_000);
  expect(handle.isUsable).toBe(true);
  expect(await handle.call('clients.list', { endpoint: 'e' }, { timeoutMs: 1_000 })).toEqual(['e']);
  const publish = { namespace: 'n', topic: 't', payload: new Uint8Array(), qos: 0 as const, retain: false };
  await expect(handle.call('publish', publish, { timeoutMs: 1_000 })).rejects.toMatchObject({ kind: 'exists', message: 'no' });
});

test('waits longer for a worker that makes progress, until it makes none', async () => {
  const worker = create('silent');
  const counter = new Int32Array(worker.boot.heartbeat);
  const progress = setInterval(() => Atomics.add(counter, 0, 1), 20);
  setTimeout(() => clearInterval(progress), 700);
  const startedAt = performance.now();
  await expect(worker.start(200)).rejects.toMatchObject({ kind: 'timeout' });
  expect(performance.now() - startedAt).toBeGreaterThan(700);
});

test('refuses a worker that speaks another protocol', async () => {
  await expect(create('old').start(5_000)).rejects.toThrow('speaks thread protocol 0');
  expect(exits).toMatchObject([{ expected: true }]);
});

test('gives up on a worker that never says ready', async () => {
  await expect(create('silent').start(100)).rejects.toMatchObject({ kind: 'timeout' });
  expect(exits).toHaveLength(1);
});

test('tells of a worker that ends before it is ready', async () => {
  create('early-exit');
  await handle.start(5_000).catch(() => {});
  await handle.ended;
  expect(exits).toMatchObject([{ expected: false, code: 4 }]);
});

test('rejects calls without an answer at their deadline', async () => {
  await create('polite').start(5_000);
  await expect(handle.call('sessions.count', {}, { timeoutMs: 50 })).rejects.toMatchObject({ kind: 'timeout' });
});

test('rejects calls in flight, and later ones, when the worker ends', async () => {
  await create('polite').start(5_000);
  await expect(handle.call('thread.usage', {}, { timeoutMs: 5_000 })).rejects.toMatchObject({ kind: 'unavailable' });
  await expect(handle.call('thread.usage', {}, { timeoutMs: 5_000 })).rejects.toMatchObject({ kind: 'unavailable' });
  expect(exits).toEqual([{ expected: false, code: 5, reason: 'exit code 5' }]);
});

test('answers questions of the worker', async () => {
  await create('polite').start(5_000);
  await handle.call('sessions.count', {}, { timeoutMs: 100 }).catch(() => {});
  expect(logs[0]).toContain('"id":77,"ok":true,"result":true');
  expect(logs[0]).toContain('"worker":"endpoint-9"');
});

test('stops in order, also when the thread lingers after closed', async () => {
  await create('polite').start(5_000);
  expect(await Promise.all([handle.stop(5_000), handle.stop(5_000)])).toEqual([true, true]);
  expect(exits).toMatchObject([{ expected: true }]);
  await create('lingering').start(5_000);
  expect(await handle.stop(5_000)).toBe(true);
});

test('terminates only after the deadline, and says so', async () => {
  await create('rude').start(5_000);
  const startedAt = performance.now();
  expect(await handle.stop(150)).toBe(false);
  expect(performance.now() - startedAt).toBeGreaterThan(140);
  expect(logs.some((line) => line.includes('is terminated'))).toBe(true);
});

test('limits the heap to half of the machine, within 1 to 8 GiB', () => {
  expect([0.25, 1, 4, 64].map((gib) => workerHeapLimitMb(gib * 2 ** 30))).toEqual([256, 512, 2048, 8192]);
});

test('what waits for its end or for something else stays no longer than that', async () => {
  const worker = create('polite');
  await worker.start(5_000);
  const outcomes = await Promise.all(
    Array.from({ length: 100 }, async () => {
      // The race ends with the work, and the thread lives on.
      const outcome = { size: 1 };
      await worker.untilEnd(Promise.resolve(outcome));
      return new WeakRef(outcome);
    }),
  );
  await collectGarbage();
  expect(outcomes.filter((each) => each.deref() !== undefined)).toEqual([]);
  await expect(worker.untilEnd(Promise.reject(new Error('no')))).rejects.toThrow('no');
  const waiting = worker.untilEnd(new Promise(() => {}));
  await worker.stop(1_000);
  await waiting;
  await worker.untilEnd(new Promise(() => {}));
});
