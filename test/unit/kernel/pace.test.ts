/** Slices of work with whatever else there is in between. */

import { expect, test } from 'vitest';
import { Pace } from '../../../src/kernel/pace.ts';

test('a slice ends in time, and what waits for the loop comes between two', async () => {
  const pace = new Pace(5);
  let ticks = 0;
  let isDone = false;
  const tick = (): void => {
    ticks++;
    if (!isDone) setImmediate(tick);
  };
  setImmediate(tick);
  expect(pace.isOver).toBe(false);
  let slices = 1;
  const endsAt = performance.now() + 50;
  while (performance.now() < endsAt) {
    if (!pace.isOver) continue;
    const before = ticks;
    await pace.next();
    expect(ticks).toBeGreaterThan(before);
    expect(pace.isOver).toBe(false);
    slices++;
  }
  isDone = true;
  expect(slices).toBeGreaterThan(2);
});
