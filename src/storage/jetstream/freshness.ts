/**
 * Refuses a head that is older than an earlier one: a server that was held up may still consider itself the leader and answer with old
 * state.
 */

import { steadyNow } from '../../kernel/clock.ts';
import { FluxError } from '../../kernel/errors.ts';

/** An older state that persists this long is accepted: the bucket was restored from a backup, or emptied. */
const ACCEPTED_AFTER_MS = 10_000;

export class Freshness {
  /** the store's life that the newest head belongs to; '' for an empty store */
  #life = '';
  /** the bucket's sequence of the newest head */
  #sequence = 0;
  /** steady milliseconds of the first older head in a row; null: the last head was not older */
  #olderSince: number | null = null;

  /**
   * Checks a head that was just read, and remembers it.
   * @param life created with the first revision; '' for an empty store
   * @throws FluxError `unavailable` when the head is older than an earlier one of the same life, or empty, for less than 10 s
   */
  check(life: string, sequence: number, now: number = steadyNow()): void {
    const isOlder = sequence < this.#sequence && (life === this.#life || life === '');
    if (isOlder) {
      this.#olderSince ??= now;
      if (now - this.#olderSince < ACCEPTED_AFTER_MS) {
        throw new FluxError(
          'unavailable',
          'JetStream answers with an older state of the bucket than before: one of its servers was isolated',
        );
      }
    }
    this.#olderSince = null;
    this.#life = life;
    this.#sequence = sequence;
  }
}
