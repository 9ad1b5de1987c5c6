/**
 * Loaded into every thread of a broker under test when `KIT_PAUSES` is set: each thread stands still now and then, as on a machine that
 * has other things to do. What two channels bring to a thread in one order almost always, it then finds in the other one.
 */

import { isMainThread } from 'node:worker_threads';

/** Longest pause, milliseconds: nobody's deadline, and long enough for other threads to come and go. */
const LONGEST_MS = Number(process.env['KIT_PAUSES']);
/** A thread runs this many times as long as it stands still. */
const RUNS = 3;

function pause(): void {
  const ms = Math.random() ** 2 * LONGEST_MS;
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);
  setTimeout(pause, 2 * Math.random() * ms * RUNS).unref();
}

// Main is left alone where a command line is started: it would only be slow.
if (LONGEST_MS > 0 && (!isMainThread || process.argv.includes('start'))) setTimeout(pause, LONGEST_MS).unref();
