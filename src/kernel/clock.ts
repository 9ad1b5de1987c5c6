/** The two clocks of a process: a steady one for every span of time, and the wall clock for what people read and what outlives the process. */

/** Milliseconds added to the system's monotonic clock, so that moments long before the start of the machine are still above 0. */
const ORIGIN_MS = 2 ** 40;
/** Readings from which the offset of a thread is taken: the closest pair counts, because a thread may be interrupted between two reads. */
const READINGS = 8;

const OFFSET_MS = offsetOfThread();

/**
 * Milliseconds, with fractions, of a clock that never goes back, that no setting of the wall clock moves, and that all threads of this
 * process share: a value may be sent to another thread and compared there. Its origin means nothing outside of the process.
 */
export function steadyNow(): number {
  return performance.now() + OFFSET_MS;
}

/** Microseconds of the clock behind steadyNow(), with an origin of their own. */
export function steadyMicros(): bigint {
  return process.hrtime.bigint() / 1000n;
}

/**
 * Milliseconds since the epoch, as the machine's clock says. It may be wrong and may jump either way at any moment: for display, for
 * comparison with dates that others have written (certificates), and over a restart. No span inside of the process is measured by it.
 */
export function wallNow(): number {
  return Date.now();
}

/** performance.now() begins at the start of its thread: this is what leads from there to a clock of the process. */
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
