/** The repair loop of an endpoint: repeats after failures, stops when the endpoint is whole, and ends its attempts at a change. */

import { expect, test } from 'vitest';
import { RepairLoop } from '../../../../src/control/listening/repair-loop.ts';

/** A promise that the test settles. */
function awaited<T>() {
  let resolve = (_value: T): void => {};
  let reject = (_error: Error): void => {};
  const promise = new Promise<T>((yes, no) => {
    resolve = yes;
    reject = no;
  });
  return { promise, resolve, reject };
}

/** An endpoint whose attempts have the given results: true, false, or an error. */
function endpointWith(results: (boolean | Error)[]) {
  const errors: unknown[] = [];
  let attempts = 0;
  let missing = results.filter((result) => result === true).length;
  const whole = awaited<number>();
  const loop = new RepairLoop({
    isIncomplete: () => missing > 0,
    async repairOnce() {
      const result = results[attempts++];
      if (result instanceof Error) throw result;
      if (result === true && --missing === 0) whole.resolve(attempts);
      return result === true;
    },
    repairFailed: (error) => errors.push(error),
  });
  return { loop, errors, whole: whole.promise };
}

test('attempts repeat until every listener is back, and each error is reported', async () => {
  const refused = new Error('the port is taken');
  const { loop, errors, whole } = endpointWith([refused, false, true, true]);
  loop.run();
  expect(await whole).toBe(4);
  expect(errors).toEqual([refused]);
});

test('a change of the endpoint ends the attempt under way, whose error is not reported', async () => {
  const began = awaited<AbortSignal>();
  const first = awaited<boolean>();
  const errors: unknown[] = [];
  let attempts = 0;
  const loop = new RepairLoop({
    isIncomplete: () => attempts < 2,
    repairOnce(signal) {
      if (++attempts > 1) return Promise.resolve(true);
      began.resolve(signal);
      return first.promise;
    },
    repairFailed: (error) => errors.push(error),
  });
  loop.run();
  const signal = await began.promise;
  loop.restart();
  expect(signal.aborted).toBe(true);
  loop.run();
  first.reject(new Error('outdated'));
  await expect.poll(() => attempts).toBe(2);
  expect(errors).toEqual([]);
});
