/** A counter in shared memory that a thread moves as long as its event loop runs: it can be read also while the thread answers nothing. */

const BEAT_MS = 500;

/** A zeroed block. */
export function createHeartbeat(): SharedArrayBuffer {
  return new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT);
}

/** Moves the counter twice a second; keeps no thread alive. */
export function startHeartbeat(memory: SharedArrayBuffer): void {
  const count = new Int32Array(memory);
  setInterval(() => Atomics.add(count, 0, 1), BEAT_MS).unref();
}

/** The counter now. */
export function readHeartbeat(memory: SharedArrayBuffer): number {
  return Atomics.load(new Int32Array(memory), 0);
}
