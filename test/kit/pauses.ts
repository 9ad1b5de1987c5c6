/**
 * Loaded into every thread of a broker under test when `KIT_PAUSES` is set. Each thread stalls at random, as on a busy machine. Events from
 * two channels that nearly always arrive in one order then also arrive in the other.
 */

import { isMainThread } from 'node:worker_threads';

/** Longest pause, milliseconds: below every deadline, but long enough for other threads to overtake. */
const LONGEST_MS = Number(process.env['KIT_PAUSES']);
/** A thread runs this many times as long as it stalls. */
const RUNS = 3;

function pause(): void {
  const ms = Math.random() ** 2 * LONGEST_MS;
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);
  setTimeout(pause, 2 * Math.random() * ms * RUNS).unref();
}

// The main thread of a command line is spared, because pauses would only slow it down.
if (LONGEST_MS > 0 && (!isMainThread || process.argv.includes('start'))) setTimeout(pause, LONGEST_MS).unref();
