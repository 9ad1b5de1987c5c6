/** Failures that repeat: counted at once, logged in one line later. */

/** How often something happened since the last log line about it, and the last time in words. */
export class Unlogged {
  #count = 0;
  #last = '';

  note(last: string): void {
    this.#count++;
    this.#last = last;
  }

  /** What the log does not have yet, and counts as logged from now on; null: nothing. */
  take(): { count: number; last: string } | null {
    if (this.#count === 0) return null;
    const told = { count: this.#count, last: this.#last };
    this.#count = 0;
    return told;
  }
}
