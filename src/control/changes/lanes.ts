/** Work on many endpoints: only a few at once, because each may start threads, and in slices, because the thread has other work. */

import { Pace } from '../../kernel/turns/pace.ts';

/** Most endpoints at once. */
const LANES = 8;

/** Runs `work` on all items, a bounded number at a time. @throws the first failure, when all runs that had begun have ended */
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
