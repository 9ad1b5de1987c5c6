/** Failures that repeat: counted at once, logged in one line later. */

/** How often something happened since the last log line about it, and the last time in words. */
export class Unlogged {
  #count = 0;
  #last = '';

  note(last: string): void {
    this.#count++;
    this.#last = last;
  }

  /** The events since the last call, which the caller now logs; null when there were none. */
  take(): { count: number; last: string } | null {
    if (this.#count === 0) return null;
    const noted = { count: this.#count, last: this.#last };
    this.#count = 0;
    return noted;
  }
}
