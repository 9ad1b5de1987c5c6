/** A circuit breaker: an authenticator that fails several times in a row is left alone for a growing pause. */

import { steadyNow } from '../../../src/kernel/clock.ts';

/** Failures in a row that open the breaker. */
const FAILURES_MAX = 5;
const PAUSE_FIRST_MS = 1_000;
const PAUSE_MAX_MS = 30_000;

export class Breaker {
  readonly #now: () => number;
  #failures = 0;
  #pauses = 0;
  #openUntil = 0;
  #isProbing = false;

  /** @param now steady milliseconds */
  constructor(now: () => number = steadyNow) {
    this.#now = now;
  }

  /**
   * True when the authenticator may be asked. After a pause one question goes out; until its end all others get false. Each true is followed
   * by succeeded(), failed() or abandoned().
   */
  allows(): boolean {
    if (this.#failures < FAILURES_MAX) return true;
    if (this.#isProbing || this.#now() < this.#openUntil) return false;
    this.#isProbing = true;
    return true;
  }

  /** True during a pause. */
  get isOpen(): boolean {
    return this.#failures >= FAILURES_MAX && this.#now() < this.#openUntil;
  }

  succeeded(): void {
    this.#failures = 0;
    this.#pauses = 0;
    this.#isProbing = false;
  }

  /** Questions that were under way when the breaker opened also fail; they prolong no pause. */
  failed(): void {
    this.#isProbing = false;
    if (this.isOpen) return;
    this.#failures = Math.min(FAILURES_MAX, this.#failures + 1);
    if (this.#failures < FAILURES_MAX) return;
    this.#openUntil = this.#now() + Math.min(PAUSE_MAX_MS, PAUSE_FIRST_MS * 2 ** Math.min(this.#pauses, 10));
    this.#pauses++;
  }

  /** The question was not asked after all. */
  abandoned(): void {
    this.#isProbing = false;
  }
}
