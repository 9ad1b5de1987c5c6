/**
 * Closes ended connections and notifies their clients, in slices. A network failure ends thousands of connections at once, each perhaps
 * with a will: without the slices the event loop would block.
 */

import { Pace } from '../../../src/kernel/turns/pace.ts';
import { loopDelay } from '../../../src/metrics/loop-delay.ts';

/** A connection that the peer or the network has ended. */
export interface Departing {
  /** Closes the connection and notifies its client. Called once. */
  closeEnded(): void;
}

/** Connections closed between two readings of the clock. */
const AT_ONCE = 16;
let ended: Departing[] = [];

/** Closes the connection in the check phase, after the output of this loop iteration has gone out. */
export function departLater(connection: Departing): void {
  loopDelay.touch();
  if (ended.push(connection) === 1) setImmediate(closeSlice);
}

function closeSlice(): void {
  const pace = new Pace();
  let at = 0;
  try {
    while (at < ended.length && (at % AT_ONCE !== 0 || !pace.isOver)) ended[at++]!.closeEnded();
  } finally {
    ended = ended.slice(at);
    if (ended.length > 0) setImmediate(closeSlice);
  }
}
