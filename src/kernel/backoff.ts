/** Pauses between attempts after a failure: no pause first, then doubling up to 30 seconds. */

import { steadyNow } from './clock.ts';

const FIRST_PAUSE_MS = 100;
const PAUSE_MS_MAX = 30_000;
/** After this long without a failure (ms), the next failure counts as the first. */
const STABLE_MS = 60_000;

/** The pauses between attempts of one kind. */
export class Backoff {
  #failures = 0;
  #lastFailureAt = Number.NEGATIVE_INFINITY;

  /**
   * Counts a failure.
   * @param now milliseconds of a steady clock
   * @returns milliseconds to wait before the next attempt: 0, 100, 200, 400 … 30000
   */
  failed(now: number = steadyNow()): number {
    if (now - this.#lastFailureAt > PAUSE_MS_MAX + STABLE_MS) this.#failures = 0;
    this.#lastFailureAt = now;
    this.#failures++;
    if (this.#failures === 1) return 0;
    return Math.min(PAUSE_MS_MAX, FIRST_PAUSE_MS * 2 ** Math.min(this.#failures - 2, 20));
  }

  /** The next failure counts as the first again. */
  reset(): void {
    this.#failures = 0;
  }
}
