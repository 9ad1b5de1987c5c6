/** Heads that are older than one read before are refused: a server that was held up may still believe that it leads, and answer from the past. */

import { steadyNow } from '../../kernel/clock.ts';
import { FluxError } from '../../kernel/errors.ts';

/** An older state that stays so long is the new truth: somebody has put a backup in the bucket's place, or has emptied it. */
const ACCEPTED_AFTER_MS = 10_000;

export class Freshness {
  /** the store's life that the newest head belongs to; '' for an empty store */
  #life = '';
  /** the bucket's number of the newest head */
  #sequence = 0;
  /** steady milliseconds */
  #olderSince: number | null = null;

  /**
   * Takes note of a head as it was read.
   * @param life made with the first revision; '' for an empty store
   * @throws FluxError `unavailable` when it is older than another one of the same life, or empty, and has not been for long
   */
  check(life: string, sequence: number, now: number = steadyNow()): void {
    const isOlder = sequence < this.#sequence && (life === this.#life || life === '');
    if (isOlder) {
      this.#olderSince ??= now;
      if (now - this.#olderSince < ACCEPTED_AFTER_MS) {
        throw new FluxError(
          'unavailable',
          'JetStream answers with an older state of the bucket than before: one of its servers was cut off',
        );
      }
    }
    this.#olderSince = null;
    this.#life = life;
    this.#sequence = sequence;
  }
}
