/** A counter in shared memory that a thread moves as long as it makes progress: it can be read also while the thread answers nothing. */

const BEAT_MS = 500;

/** A zeroed block. */
export function createHeartbeat(): SharedArrayBuffer {
  return new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT);
}

/** This thread's own; null: it has none. */
let own: Int32Array | null = null;

/** Moves the counter twice a second; keeps no thread alive. */
export function startHeartbeat(memory: SharedArrayBuffer): void {
  own = new Int32Array(memory);
  setInterval(beat, BEAT_MS).unref();
}

/** The thread makes progress: to be called between pieces of work that keep its event loop from running, each of them short. */
export function beat(): void {
  if (own !== null) Atomics.add(own, 0, 1);
}

/** The counter now. */
export function readHeartbeat(memory: SharedArrayBuffer): number {
  return Atomics.load(new Int32Array(memory), 0);
}
