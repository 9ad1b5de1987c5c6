/** Asks one authenticator within its limits: deadline, questions under way, circuit breaker. */

import type { AskTerms } from '../../../src/endpoint/endpoint.ts';
import { messageOf } from '../../../src/kernel/errors.ts';
import type { AskResult, AskWho } from '../../../src/thread/access/ask.ts';
import { Breaker } from './breaker.ts';
import type { Asker } from './contract.ts';
import { Places } from './places.ts';

/** Questions of one authenticator that may wait for a place. */
const WAITING_MAX = 1_024;

export class GuardedAsker {
  readonly #open: () => Promise<Asker>;
  readonly #timeoutMs: number;
  readonly #places: Places;
  readonly #breaker: Breaker;
  #asker: Promise<Asker> | null = null;

  /** @param open opens the authenticator at its first question, and again after a failure to open it */
  constructor(open: () => Promise<Asker>, { timeout, maxRequests }: AskTerms, breaker = new Breaker()) {
    this.#open = open;
    this.#timeoutMs = timeout;
    this.#places = new Places(maxRequests, WAITING_MAX);
    this.#breaker = breaker;
  }

  /** Never rejects, and answers at the deadline at the latest. */
  async ask(who: AskWho): Promise<AskResult> {
    if (!this.#breaker.allows()) return { result: 'paused' };
    const deadline = new AbortController();
    const timer = setTimeout(() => deadline.abort(), this.#timeoutMs);
    try {
      if (!(await this.#places.take(deadline.signal))) {
        this.#breaker.abandoned();
        return { result: 'refused' };
      }
      try {
        return await this.#askInPlace(who, deadline.signal);
      } finally {
        this.#places.leave();
      }
    } finally {
      clearTimeout(timer);
    }
  }

  async #askInPlace(who: AskWho, signal: AbortSignal): Promise<AskResult> {
    // It may have failed while the question waited.
    if (this.#breaker.isOpen) return { result: 'paused' };
    try {
      const verdict = await before(signal, this.#askNow(who, signal));
      this.#breaker.succeeded();
      return verdict;
    } catch (error) {
      this.#breaker.failed();
      return { result: 'failed', reason: signal.aborted ? `no answer within ${this.#timeoutMs} ms` : messageOf(error) };
    }
  }

  async #askNow(who: AskWho, signal: AbortSignal): Promise<AskResult> {
    this.#asker ??= this.#open();
    const opening = this.#asker;
    let asker: Asker;
    try {
      asker = await opening;
    } catch (error) {
      if (this.#asker === opening) this.#asker = null;
      throw error;
    }
    return asker.ask(who, signal);
  }

  async close(): Promise<void> {
    const asker = this.#asker;
    this.#asker = null;
    await asker?.then(
      (open) => open.close(),
      () => {},
    );
  }
}

/** The result of `work`, unless the signal comes first. */
function before<T>(signal: AbortSignal, work: Promise<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    const late = () => reject(new Error('too late'));
    signal.addEventListener('abort', late, { once: true });
    work.then(resolve, reject).finally(() => signal.removeEventListener('abort', late));
  });
}
