/** Converts times of an idle machine to times of this machine, which may be busy. */

import { availableParallelism, loadavg } from 'node:os';

/** A longer wait would meet the time limit of its test, whose error does not name the awaited event. */
const PATIENCE_FACTOR_MAX = 4;

/** Runnable threads per processor, at least 1. */
function load(): number {
  return Math.max(1, (loadavg()[0] ?? 0) / availableParallelism());
}

/** A second of an idle machine, milliseconds. */
export function second(): number {
  return 1000 * load();
}

/** Time to wait for an event that takes at most `ms` on an idle machine. For a limit that is tested itself, use second(). */
export function patience(ms: number): number {
  return ms * Math.min(load(), PATIENCE_FACTOR_MAX);
}
