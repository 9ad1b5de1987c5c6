/** Commits that wait for one another: which are written together, and how long each may take. */

import { expect, test } from 'vitest';
import { steadyNow } from '../../../src/kernel/clock.ts';
import { CommitQueue, type CommitRequest } from '../../../src/storage/sql/commit-queue.ts';

const request = (count: number): CommitRequest => ({
  changes: Array.from({ length: count }, (_, n) => ({ kind: 'remove', id: `e${n}` })),
  expected: {},
  meta: { action: 'remove', actor: 'a', source: 'http', node: 'n', requestId: 'r', reason: null },
  options: {},
});

/** A queue whose writes are noted: how many changes each commit has, and the time that is left for them. */
function noted() {
  const writes: { sizes: number[]; leftMs: number }[] = [];
  let revision = 0;
  const write = async (requests: CommitRequest[], end: number) => {
    writes.push({ sizes: requests.map(({ changes }) => changes.length), leftMs: end - steadyNow() });
    await new Promise((resolve) => setTimeout(resolve, 5));
    return requests.map(() => ++revision);
  };
  return { writes, queue: new CommitQueue({ write, timeMs: 2_000, leastMs: 100 }) };
}

test('writes together what waits, in order', async () => {
  const { writes, queue } = noted();
  const revisions = await Promise.all([1, 2, 3, 1].map((count) => queue.add(request(count))));
  expect([revisions, writes.map(({ sizes }) => sizes)]).toEqual([
    [1, 2, 3, 4],
    [[1], [2, 3, 1]],
  ]);
  for (const { leftMs } of writes) expect(leftMs).toBeLessThanOrEqual(2_000);
});

test('gives a large commit more time, and writes it alone, in its turn', async () => {
  const { writes, queue } = noted();
  await Promise.all([1, 2, 1_000, 3, 10_000, 500].map((count) => queue.add(request(count))));
  expect(writes.map(({ sizes }) => sizes)).toEqual([[1], [2], [1_000], [3], [10_000], [500]]);
  const left = writes.map(({ leftMs }) => leftMs);
  expect(left[2]).toBeGreaterThan(11_000);
  expect(left[3]).toBeLessThanOrEqual(2_000);
  // never longer than a request waits for its answer
  expect(left[4]).toBeLessThanOrEqual(30_000);
  expect(left[5]).toBeGreaterThan(6_000);
});

test('says of a commit that it did not get to in time that nothing was written', async () => {
  const write = async (requests: CommitRequest[]) => {
    await new Promise((resolve) => setTimeout(resolve, 30));
    return requests.map((_, index) => index + 1);
  };
  const queue = new CommitQueue({ write, timeMs: 20, leastMs: 1 });
  const [first, second] = await Promise.allSettled([queue.add(request(1)), queue.add(request(1))]);
  expect(first).toMatchObject({ status: 'fulfilled', value: 1 });
  expect(second).toMatchObject({ reason: { kind: 'unavailable', data: { reason: 'busy', outcome: 'nothing-written' } } });
});
