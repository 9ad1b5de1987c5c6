/** New connections at a steady rate, made in a thread of their own while endpoints change. */

import { once } from 'node:events';
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import type { TransportName } from '../kit/transport.ts';

/** A place at which the endpoint is reachable; there are two while it moves. */
export interface Target {
  transport: TransportName;
  /** over TLS */
  isSecure: boolean;
  port: number;
}

export interface StormReport {
  attempts: number;
  connected: number;
  /** connections that found the old place closed and connected at the new one */
  elsewhere: number;
  /** resets instead of refusals at a port that was being given up: connections between the last look at the accept queue and its end */
  resetAtTheEnd: number;
  /** by reason */
  failures: Record<string, number>;
  /** the first failures: reason, place, and time (milliseconds since the epoch) */
  faults: { why: string; place: Target; at: number }[];
}

export class Storm {
  readonly #worker: Worker;

  constructor(perSecond: number, targets: Target[]) {
    this.#worker = new Worker(join(import.meta.dirname, 'storm-thread.ts'), {
      workerData: { perSecond, targets },
      execArgv: ['--no-warnings'],
    });
  }

  /** Sets the places for the next attempts. */
  async aim(targets: Target[]): Promise<void> {
    const heard = once(this.#worker, 'message');
    this.#worker.postMessage({ targets });
    await heard;
  }

  async stop(): Promise<StormReport> {
    const told = once(this.#worker, 'message');
    this.#worker.postMessage('stop');
    const [report] = (await told) as [StormReport];
    return report;
  }
}
