/** Callbacks that wait until this worker has handled everything that its peers had posted at a moment. */

import { Fifo } from '../../../src/kernel/fifo.ts';
import type { PeerLink } from './peer-link.ts';

interface Waiter {
  /** peer → number of its frames that must be handled */
  readonly marks: Map<PeerLink, number>;
  readonly then: () => void;
}

export class CatchUp {
  /** In the order of the calls, so that an earlier waiter has the lower marks. Bounded by the questions of connected clients. */
  readonly #waiters = new Fifo<Waiter>();

  /** Calls `then` when everything that these peers have posted so far is handled; at once when nothing is left. */
  wait(links: Iterable<PeerLink>, then: () => void): void {
    const marks = new Map<PeerLink, number>();
    for (const link of links) {
      link.pull();
      if (link.worked < link.taken) marks.set(link, link.taken);
    }
    this.#waiters.push({ marks, then });
    this.check();
  }

  /** Calls the waiters whose marks are reached: a peer's frames have been handled, or a peer has gone. */
  check(): void {
    for (let next = this.#waiters.peek(); next !== undefined && isMet(next); next = this.#waiters.peek()) {
      this.#waiters.shift();
      next.then();
    }
  }
}

function isMet({ marks }: Waiter): boolean {
  for (const [link, mark] of marks) if (link.worked < mark) return false;
  return true;
}
