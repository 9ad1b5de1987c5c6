/** The two clocks of a process: a steady one for every span of time, and the wall clock for what people read and what outlives the process. */

/** Milliseconds added to the system's monotonic clock. Moments long before the start of the machine stay above 0 because of them. */
const ORIGIN_MS = 2 ** 40;
/** Readings that decide the offset of a thread. The closest pair counts, because the system may interrupt a thread between two reads. */
const READINGS = 8;

const OFFSET_MS = offsetOfThread();

/**
 * Milliseconds, with fractions, of a clock that never goes back and that no setting of the wall clock moves. All threads of the process
 * share the clock: a thread may send a value to another thread, which compares it. The origin means nothing outside of the process.
 */
export function steadyNow(): number {
  return performance.now() + OFFSET_MS;
}

/** Microseconds of the clock behind steadyNow(), with another origin. */
export function steadyMicros(): bigint {
  return process.hrtime.bigint() / 1000n;
}

/**
 * Milliseconds since the epoch by the machine's clock, which may be wrong and may jump either way at any moment. Use it for display, for
 * comparison with dates of other machines (certificates), and over a restart. Never measure a span inside of the process by it.
 */
export function wallNow(): number {
  return Date.now();
}

/** The offset from performance.now(), which begins with its thread, to a clock of the process. */
function offsetOfThread(): number {
  let best = 0;
  let bestGap = Number.POSITIVE_INFINITY;
  for (let reading = 0; reading < READINGS; reading++) {
    const before = performance.now();
    const shared = Number(process.hrtime.bigint()) / 1e6;
    const after = performance.now();
    if (after - before >= bestGap) continue;
    bestGap = after - before;
    best = shared - (before + after) / 2;
  }
  return best + ORIGIN_MS;
}
