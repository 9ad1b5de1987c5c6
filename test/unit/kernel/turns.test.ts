/** Work that is cut up: so much in one loop iteration, everybody in turn. */

import { expect, test } from 'vitest';
import { Turns } from '../../../src/kernel/turns/turns.ts';

/** One who has `pieces` pieces of work of `units` each. */
async function work(turns: Turns, name: string, pieces: number, units: number, done: string[]): Promise<void> {
  for (let i = 0; i < pieces; i++) {
    const later = turns.take(units);
    if (later !== null) await later;
    done.push(name);
  }
}

test('no more than fits in one loop iteration, in the order in which it came', async () => {
  const turns = new Turns(10);
  const done: string[] = [];
  const perIteration: number[] = [];
  let isOver = false;
  let before = 0;
  const count = (): void => {
    perIteration.push(done.length - before);
    before = done.length;
    if (!isOver) setImmediate(count);
  };
  setImmediate(count);
  await Promise.all(['a', 'b', 'c'].map((name) => work(turns, name, 6, 5, done)));
  isOver = true;
  // Two pieces of 5 fit; two immediates of one iteration may share what was done between them.
  expect(Math.max(...perIteration)).toBeLessThanOrEqual(4);
  expect(done).toHaveLength(18);
  // Nobody gets far ahead of the others.
  for (const name of ['a', 'b', 'c']) expect(done.slice(0, 12).filter((each) => each === name).length).toBeGreaterThanOrEqual(3);
});

test('a piece that is larger than an iteration has one for itself', async () => {
  const turns = new Turns(10);
  expect(turns.take(100)).toBeNull();
  const second = turns.take(1);
  expect(second).not.toBeNull();
  await second;
});

test('with nothing to do there is always room', async () => {
  const turns = new Turns(1);
  for (let i = 0; i < 3; i++) {
    expect(turns.take(1)).toBeNull();
    await new Promise((resolve) => setImmediate(resolve));
    await new Promise((resolve) => setImmediate(resolve));
  }
});
