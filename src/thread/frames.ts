/** The table of calls that wait for their `result` frame, for both ends of a channel: bounded in number, each call with a deadline. */

import { FluxError, fromWireError } from '../kernel/errors.ts';
import type { ThreadFrame } from './commands.ts';

interface Waiting {
  name: string;
  resolve(value: unknown): void;
  reject(error: Error): void;
  timer: NodeJS.Timeout;
}

/** Result frames, the answers to commands and questions. */
export type ResultFrame = Extract<ThreadFrame, { kind: 'result' }>;

/** Calls in flight over one channel. */
export class PendingCalls {
  readonly #waiting = new Map<number, Waiting>();
  readonly #maximum: number;
  #nextId = 1;
  #closed: Error | null = null;

  /** @param maximum calls in flight at once; the next one is refused with `unavailable` */
  constructor(maximum: number) {
    this.#maximum = maximum;
  }

  get size(): number {
    return this.#waiting.size;
  }

  /**
   * Registers a call and sends it.
   * @param timeoutMs 1..2147483647
   * @throws FluxError `unavailable` (too many in flight, or the other side has ended), `timeout`, or what the other side answered
   */
  begin(name: string, timeoutMs: number, send: (id: number) => void): Promise<unknown> {
    if (this.#closed !== null) return Promise.reject(this.#closed);
    if (this.#waiting.size >= this.#maximum) {
      return Promise.reject(new FluxError('unavailable', `too many calls in flight (${this.#maximum}) for ${name}`));
    }
    const id = this.#nextId++;
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        this.#waiting.delete(id);
        reject(new FluxError('timeout', `no answer to ${name} within ${timeoutMs} ms`));
      }, timeoutMs);
      this.#waiting.set(id, { name, resolve, reject, timer });
      try {
        send(id);
      } catch (error) {
        this.#forget(id);
        reject(error);
      }
    });
  }

  /** Settles the call that `frame` answers. An answer after the deadline is dropped. */
  settle(frame: ResultFrame): void {
    const waiting = this.#forget(frame.id);
    if (waiting === undefined) return;
    if (frame.ok) waiting.resolve(frame.result);
    else waiting.reject(fromWireError(frame.error));
  }

  /** Rejects everything in flight and every later call: the other side has ended. */
  close(error: Error): void {
    this.#closed ??= error;
    for (const id of [...this.#waiting.keys()]) this.#forget(id)?.reject(error);
  }

  #forget(id: number): Waiting | undefined {
    const waiting = this.#waiting.get(id);
    if (waiting === undefined) return undefined;
    clearTimeout(waiting.timer);
    this.#waiting.delete(id);
    return waiting;
  }
}
