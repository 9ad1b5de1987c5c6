/** Work in steps: a generator that yields wherever its caller may stop for a while. */

import type { Pace } from './pace.ts';

export type Steps<T> = Generator<void, T>;

/** Runs all steps without a stop. @returns the result of the work */
export function toEnd<T>(steps: Steps<T>): T {
  for (;;) {
    const step = steps.next();
    if (step.done === true) return step.value;
  }
}

/** Runs the steps in slices of the pace, those of the first slice at once. @param mayContinue asked after each pause; false: the rest is not done */
export async function atPace(steps: Steps<void>, pace: Pace, mayContinue: () => boolean): Promise<void> {
  while (steps.next().done !== true) {
    if (!pace.isOver) continue;
    await pace.next();
    if (!mayContinue()) return;
  }
}
