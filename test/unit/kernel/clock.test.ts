/** The steady clock: shared by the threads of a process, moved by nobody. */

import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import { afterEach, expect, test, vi } from 'vitest';
import { steadyNow, wallNow } from '../../../src/kernel/clock.ts';

afterEach(() => void vi.restoreAllMocks());

test('advances steadily when the wall clock jumps back and forth', () => {
  const before = steadyNow();
  for (const wall of [0, 946_684_800_000, 4e12]) {
    vi.spyOn(Date, 'now').mockReturnValue(wall);
    expect(wallNow()).toBe(wall);
    const now = steadyNow();
    expect(now).toBeGreaterThanOrEqual(before);
    expect(now - before).toBeLessThan(5_000);
  }
});

test('a moment of many years ago is still above 0: 0 stands for none', () => {
  expect(steadyNow() - 30 * 365 * 86_400_000).toBeGreaterThan(0);
});

test('a thread that began later reads the same time', async () => {
  await new Promise((resolve) => setTimeout(resolve, 50));
  const code = `
    const { parentPort, workerData } = require('node:worker_threads');
    import(workerData).then(({ steadyNow }) => parentPort.postMessage({ now: steadyNow(), sinceStart: performance.now() }));`;
  const worker = new Worker(code, {
    eval: true,
    workerData: join(import.meta.dirname, '../../../src/kernel/clock.ts'),
    execArgv: ['--experimental-strip-types', '--no-warnings'],
  });
  const before = steadyNow();
  const { now } = await new Promise<{ now: number }>((resolve, reject) => {
    worker.once('message', resolve);
    worker.once('error', reject);
  });
  const after = steadyNow();
  await worker.terminate();
  // The offset of a thread is taken between two readings: it is exact to less than a millisecond.
  expect(now).toBeGreaterThan(before - 1);
  expect(now).toBeLessThan(after + 1);
});
