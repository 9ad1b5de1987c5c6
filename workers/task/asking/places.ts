/** A bounded number of questions under way; a bounded number of further ones waits for a place. */

interface Waiting {
  readonly settle: (isTaken: boolean) => void;
}

export class Places {
  readonly #max: number;
  readonly #waitingMax: number;
  /** in the order of their arrival */
  readonly #waiting = new Set<Waiting>();
  #taken = 0;

  /** @param max places, 1.. @param waitingMax questions that may wait, 0.. */
  constructor(max: number, waitingMax: number) {
    this.#max = max;
    this.#waitingMax = waitingMax;
  }

  /** Waits for a place, which leave() returns. False: too many wait already, or the signal came first. */
  take(signal: AbortSignal): Promise<boolean> | boolean {
    if (this.#taken < this.#max) {
      this.#taken++;
      return true;
    }
    if (this.#waiting.size >= this.#waitingMax || signal.aborted) return false;
    return new Promise((settle) => {
      const waiting: Waiting = { settle };
      this.#waiting.add(waiting);
      signal.addEventListener('abort', () => this.#waiting.delete(waiting) && settle(false), { once: true });
    });
  }

  /** Returns a place: the one that has waited longest gets it. */
  leave(): void {
    const [next] = this.#waiting;
    if (next === undefined) {
      this.#taken--;
      return;
    }
    this.#waiting.delete(next);
    next.settle(true);
  }
}
