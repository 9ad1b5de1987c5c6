/** A counter in shared memory that a thread advances while it makes progress. Main can read the counter of a thread that answers nothing. */

const BEAT_MS = 500;

/** A zeroed block. */
export function createHeartbeat(): SharedArrayBuffer {
  return new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT);
}

/** The block of this thread; null when it has none. */
let own: Int32Array | null = null;

/** Advances the counter twice a second. The timer keeps no thread alive. */
export function startHeartbeat(memory: SharedArrayBuffer): void {
  own = new Int32Array(memory);
  setInterval(beat, BEAT_MS).unref();
}

/** Reports progress. Call it between short pieces of work that keep the event loop from running. */
export function beat(): void {
  if (own !== null) Atomics.add(own, 0, 1);
}

/** The counter now. */
export function readHeartbeat(memory: SharedArrayBuffer): number {
  return Atomics.load(new Int32Array(memory), 0);
}
