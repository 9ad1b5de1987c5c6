/** Work on many endpoints: a few side by side, because each may start threads, and in turns with whatever else the thread has to do. */

import { Pace } from '../../kernel/turns/pace.ts';

/** Endpoints that are worked on at once. */
const LANES = 8;

/** Runs `work` on all items, a bounded number at a time. The first failure is thrown when all that had begun have ended. */
export async function sideBySide<T>(items: readonly T[], work: (item: T) => Promise<void>): Promise<void> {
  const pace = new Pace();
  let next = 0;
  const lane = async () => {
    while (next < items.length) {
      await work(items[next++]!);
      if (pace.isOver) await pace.next();
    }
  };
  const ended = await Promise.allSettled(Array.from({ length: Math.min(LANES, items.length) }, lane));
  const failure = ended.find((each) => each.status === 'rejected');
  if (failure !== undefined) throw failure.reason;
}
