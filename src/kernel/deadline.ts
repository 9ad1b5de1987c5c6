/** Time limits: one deadline is made for a request and handed down to every wait below it. */

import { steadyNow } from './clock.ts';
import { FluxError } from './errors.ts';

/** A moment by which something must have happened. */
export class Deadline {
  readonly #at: number;

  /** @param ms milliseconds from now, 0.. */
  constructor(ms: number) {
    this.#at = steadyNow() + ms;
  }

  /** Milliseconds left, at least 1, so that it fits as a timer. */
  get leftMs(): number {
    return Math.max(1, Math.ceil(this.#at - steadyNow()));
  }

  /** @throws FluxError `timeout` when the moment has passed */
  check(what: string): void {
    if (steadyNow() >= this.#at) throw new FluxError('timeout', `${what} took too long; nothing was changed`);
  }

  /** Waits for `promise` until the deadline; false when the deadline came first. Rethrows the failure of the promise. */
  async reaches(promise: Promise<unknown>): Promise<boolean> {
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<false>((resolve) => {
      timer = setTimeout(resolve, this.leftMs, false);
    });
    try {
      return await Promise.race([promise.then(() => true), late]);
    } finally {
      clearTimeout(timer);
    }
  }
}

/**
 * The outcome of `work`, when it comes within `ms`. A later result or failure is ignored.
 * @throws the error that `late` makes, after `ms`
 */
export async function within<T>(ms: number, work: Promise<T>, late: () => Error): Promise<T> {
  if (await new Deadline(ms).reaches(work)) return work;
  throw late();
}

/** Waits `ms`. Ends early, without an error, when `signal` is aborted. */
export function pause(ms: number, signal?: AbortSignal): Promise<void> {
  if (signal?.aborted === true) return Promise.resolve();
  return new Promise((resolve) => {
    const done = () => {
      clearTimeout(timer);
      signal?.removeEventListener('abort', done);
      resolve();
    };
    const timer = setTimeout(done, ms);
    signal?.addEventListener('abort', done);
  });
}
