/** Slices of work with whatever else there is in between. */

import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { Pace } from '../../../src/kernel/turns/pace.ts';

// The clock is ours: a machine that stands still for a moment would end a slice too.
beforeEach(() => void vi.useFakeTimers({ toFake: ['performance'] }));
afterEach(() => void vi.useRealTimers());

test('a slice ends in time, and what waits for the loop comes between two', async () => {
  const pace = new Pace(5);
  let ticks = 0;
  let isDone = false;
  const tick = (): void => {
    ticks++;
    if (!isDone) setImmediate(tick);
  };
  setImmediate(tick);
  for (let slice = 0; slice < 3; slice++) {
    expect(pace.isOver).toBe(false);
    vi.advanceTimersByTime(4);
    expect(pace.isOver).toBe(false);
    vi.advanceTimersByTime(1);
    expect(pace.isOver).toBe(true);
    const before = ticks;
    await pace.next();
    expect(ticks).toBeGreaterThan(before);
  }
  isDone = true;
});
