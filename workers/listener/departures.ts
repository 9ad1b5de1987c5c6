/**
 * Connections that have ended: closed, and told to their clients, in slices. When a network goes, thousands of clients go with it, and
 * each may have a will.
 */

import { Pace } from '../../src/kernel/pace.ts';
import { loopDelay } from '../../src/metrics/loop-delay.ts';

/** A connection that has ended by itself, or has failed. */
export interface Departing {
  /** Closes it, and tells its client. Called once. */
  closeEnded(): void;
}

/** Closed between two looks at the clock. */
const AT_ONCE = 16;
let ended: Departing[] = [];

/** Has it closed in the check phase, after the output of this loop iteration has gone. */
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
