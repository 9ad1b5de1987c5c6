/** Repeats the repair of one endpoint until the endpoint is whole, with growing pauses between failures. */

import { Backoff } from '../../kernel/backoff.ts';
import { pause } from '../../kernel/deadline.ts';

/** An endpoint that may lack listeners. */
export interface Repairable {
  /** False when the endpoint has all its listeners, or should not run. */
  isIncomplete(): boolean;
  /**
   * One attempt to bring one listener back.
   * @param signal aborted by a change of the endpoint, which makes the result of the attempt useless
   * @returns true when the listener is back; false or a rejection: another attempt follows after a pause
   */
  repairOnce(signal: AbortSignal): Promise<boolean>;
  /** Called with the error of an attempt that is still wanted. */
  repairFailed(error: unknown): void;
}

export class RepairLoop {
  readonly #endpoint: Repairable;
  readonly #backoff = new Backoff();
  /** replaced by restart(), which ends the attempts begun before */
  #generation = new AbortController();
  #running: Promise<void> = Promise.resolve();

  constructor(endpoint: Repairable) {
    this.#endpoint = endpoint;
  }

  /** A change of the endpoint: ends the attempts under way, and forgets earlier failures. */
  restart(): void {
    this.#generation.abort();
    this.#generation = new AbortController();
    this.#backoff.reset();
  }

  /** Counts a failed start, so that the first attempt waits as after a failed attempt. */
  countFailure(): void {
    this.#backoff.failed();
  }

  /** Begins to repair, after the attempts that are under way. */
  run(): void {
    const { signal } = this.#generation;
    this.#running = this.#running.then(() => this.#untilWhole(signal));
  }

  async #untilWhole(signal: AbortSignal): Promise<void> {
    let isPausing = true;
    while (!signal.aborted && this.#endpoint.isIncomplete()) {
      if (isPausing) await pause(this.#backoff.failed(), signal);
      if (signal.aborted || !this.#endpoint.isIncomplete()) return;
      isPausing = true;
      try {
        isPausing = !(await this.#endpoint.repairOnce(signal));
      } catch (error) {
        if (!signal.aborted) this.#endpoint.repairFailed(error);
      }
    }
  }
}
