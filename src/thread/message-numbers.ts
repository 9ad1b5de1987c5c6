/** Shared memory of a process from which its threads number messages, so that no number is ever given twice, whatever the clock says (issue 10). */

/**
 * A message is known by the thread that numbered it and its serial. Threads are told apart within a process; processes by the start
 * counter in messages.db, which is the high part of every serial. At 100,000 messages a second a thread would need a year for its part.
 */
const SERIALS_PER_START = 2 ** 42;

/** The start counter begins anew after this one; whoever does that gives the messages on disk other numbers first. */
export const START_MAX = 1024;

const START = 0;
const CONFLICTS = 1;

/** A block for a process that has no start number yet. */
export function createMessageNumbers(): SharedArrayBuffer {
  return new SharedArrayBuffer(2 * Int32Array.BYTES_PER_ELEMENT);
}

/** The number of this start, 1..START_MAX; 0: the session worker has not read it yet. */
export function readStart(memory: SharedArrayBuffer): number {
  return Atomics.load(new Int32Array(memory), START);
}

/** Kept for the life of the process: a session worker that replaces another does not count as a start. @param start 1..START_MAX */
export function writeStart(memory: SharedArrayBuffer, start: number): void {
  Atomics.store(new Int32Array(memory), START, start);
}

/** Every serial of this process is above this one. @throws Error while there is no start number */
export function serialBase(memory: SharedArrayBuffer): number {
  const start = readStart(memory);
  if (start === 0) throw new Error('Messages cannot be numbered before the session worker has begun');
  return start * SERIALS_PER_START;
}

/** Two messages had one number. */
export function countConflict(memory: SharedArrayBuffer): void {
  Atomics.add(new Int32Array(memory), CONFLICTS, 1);
}

export function readConflicts(memory: SharedArrayBuffer): number {
  return Atomics.load(new Int32Array(memory), CONFLICTS);
}
