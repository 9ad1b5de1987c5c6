/** The enhanced authentication of a client that is under way (MQTT 5 section 4.12). */

import { steadyNow } from '../../../../src/kernel/clock.ts';
import type { ScramMethod } from '../../../../src/kernel/logins/scram.ts';

/** One authentication, from the client's first message to the judgement of its proof. */
export interface Exchange {
  readonly method: ScramMethod;
  /** judges the next message of the client; null: the server's own answer is under way */
  next: ((data: Buffer | null) => void) | null;
}

/** Holds at most one authentication, and the time that the client has to answer. */
export class ExchangeSlot {
  #current: Exchange | null = null;
  #timer: NodeJS.Timeout | null = null;
  /** steady milliseconds at which the client last answered; 0: never */
  answeredAt = 0;

  get current(): Exchange | null {
    return this.#current;
  }

  /** True while the server waits for the client. */
  get isAwaited(): boolean {
    return this.#timer !== null;
  }

  begin(method: ScramMethod): Exchange {
    this.#current = { method, next: null };
    return this.#current;
  }

  /** Waits for the client. @param late called when it does not answer within `ms` */
  await(next: Exchange['next'], ms: number, late: () => void): void {
    if (this.#current !== null) this.#current.next = next;
    this.#timer = setTimeout(late, ms);
  }

  /** The client has answered: the wait is over. @returns what judges the answer; null: no answer was due */
  take(): Exchange['next'] {
    const next = this.#current?.next ?? null;
    if (this.#current !== null) this.#current.next = null;
    this.#stopTimer();
    this.answeredAt = steadyNow();
    return next;
  }

  end(): void {
    this.#current = null;
    this.#stopTimer();
  }

  #stopTimer(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
  }
}
