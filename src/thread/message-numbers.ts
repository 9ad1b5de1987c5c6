/** Shared memory from which the threads of a process number messages. No number is given twice, whatever the clock says (issue 10). */

/**
 * The thread that numbered a message and a serial identify the message. The start counter in messages.db is the high part of every serial, so
 * that no two processes share one. At 100,000 messages a second a thread needs a year to use up the low part.
 */
const SERIALS_PER_START = 2 ** 42;

/** The last start before the counter begins anew. Messages on disk get other numbers first. */
export const START_MAX = 1024;

const START = 0;
const CONFLICTS = 1;
/** Offset of the newest stamp of a retained message: see workers/shared/messages/stamp.ts. */
export const STAMP_BYTES_AT = 8;

/** A block for a process that has no start number yet. */
export function createMessageNumbers(): SharedArrayBuffer {
  return new SharedArrayBuffer(STAMP_BYTES_AT + BigInt64Array.BYTES_PER_ELEMENT);
}

/** The number of this start, 1..START_MAX; 0: the session worker has not read it yet. */
export function readStart(memory: SharedArrayBuffer): number {
  return Atomics.load(new Int32Array(memory), START);
}

/** Kept for the life of the process: a replaced session worker is no new start. @param start 1..START_MAX */
export function writeStart(memory: SharedArrayBuffer, start: number): void {
  Atomics.store(new Int32Array(memory), START, start);
}

/** Every serial of this process is above this one. @throws Error before the start number is known */
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
