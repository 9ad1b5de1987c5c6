/** Times of a machine that has nothing else to do, in those of this machine, which may be busy. */

import { availableParallelism, loadavg } from 'node:os';

/** A wait that is longer would meet the time limit of its test, which does not say what it waited for. */
const PATIENCE_FACTOR_MAX = 4;

/** Threads that want a processor, for each one: at least 1. */
function load(): number {
  return Math.max(1, (loadavg()[0] ?? 0) / availableParallelism());
}

/** A second of an idle machine, milliseconds. */
export function second(): number {
  return 1000 * load();
}

/** How long to wait for what must come, when it takes at most `ms` on an idle machine. For a limit that is tested itself, use second(). */
export function patience(ms: number): number {
  return ms * Math.min(load(), PATIENCE_FACTOR_MAX);
}
