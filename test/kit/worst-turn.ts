/**
 * How long work keeps this thread from everything else it has to do, by the processor time that it takes. A busy machine stretches even that:
 * processors share caches and cores, and helper threads of V8 that get no time leave a collection of garbage, or slow code, to this one. Such a
 * turn is long by chance; work that is done in one go is long in each attempt.
 */

import { closeSync, openSync, readSync } from 'node:fs';

const ATTEMPTS = 3;

/** Milliseconds that this thread, which must be the main one of its process, has been on a processor. Linux only. */
function openClock(): { read(): number; close(): void } {
  const file = openSync(`/proc/self/task/${process.pid}/schedstat`, 'r');
  const buffer = Buffer.alloc(64);
  return {
    read: () => Number(buffer.toString('latin1', 0, readSync(file, buffer, 0, 64, 0)).split(' ')[0]) / 1e6,
    close: () => closeSync(file),
  };
}

/** Runs `work`. @returns its result, and the longest turn of the event loop during the work, milliseconds of processor time */
export async function worstTurn<T>(work: () => Promise<T>): Promise<{ result: T; ms: number }> {
  const clock = openClock();
  let last = clock.read();
  let ms = 0;
  const look = () => {
    const now = clock.read();
    ms = Math.max(ms, now - last);
    last = now;
  };
  let isOver = false;
  const each = () => {
    look();
    if (!isOver) setImmediate(each);
  };
  setImmediate(each);
  try {
    const result = await work();
    await new Promise((resolve) => setImmediate(resolve));
    look();
    return { result, ms };
  } finally {
    isOver = true;
    await new Promise((resolve) => setImmediate(() => setImmediate(resolve)));
    clock.close();
  }
}

/**
 * Runs `work` until no turn is longer than `maxMs`, at most three times.
 * @param work returns the worst turn of each of its parts, by name
 * @returns the shortest that each part's worst turn was
 */
export async function leastTurns(maxMs: number, work: () => Promise<Record<string, number>>): Promise<Record<string, number>> {
  const least: Record<string, number> = {};
  for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
    for (const [part, ms] of Object.entries(await work())) least[part] = Math.min(least[part] ?? Number.POSITIVE_INFINITY, ms);
    if (Object.values(least).every((ms) => ms < maxMs)) break;
  }
  return least;
}
