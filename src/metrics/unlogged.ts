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

/** Causes that are told apart between two log lines; the events of further ones are counted together. */
const CAUSES_MAX = 10;
const OTHER_CAUSES = 'others';

/** Events by cause, so that a frequent cause does not hide another one. */
export class UnloggedCauses {
  readonly #causes = new Map<string, Unlogged>();

  note(cause: string, last: string): void {
    const name = this.#causes.has(cause) || this.#causes.size < CAUSES_MAX ? cause : OTHER_CAUSES;
    let unlogged = this.#causes.get(name);
    if (unlogged === undefined) {
      unlogged = new Unlogged();
      this.#causes.set(name, unlogged);
    }
    unlogged.note(last);
  }

  /** The events since the last call, which the caller now logs. */
  take(): { cause: string; count: number; last: string }[] {
    const noted = [...this.#causes].map(([cause, unlogged]) => ({ cause, ...(unlogged.take() ?? { count: 0, last: '' }) }));
    this.#causes.clear();
    return noted;
  }
}
