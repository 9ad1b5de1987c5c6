/** Reads clocks at the start and the end of a measurement. */

import { NO_RESULT, type Order, type RunResult } from '../scenario.ts';
import { cpuSeconds, residentBytes } from './clock.ts';
import { countSyscalls } from './syscalls.ts';

export class Meter {
  readonly #pid: number;
  readonly #tracer: string | null;
  #calls: { stop(): Promise<number | null> } | null = null;
  readonly #rssBefore: number;
  #startedAt = 0;
  #brokerCpu = 0;
  #ownCpu: NodeJS.CpuUsage = process.cpuUsage();

  constructor(order: Order) {
    this.#pid = order.brokerPid;
    this.#tracer = order.tracer;
    this.#rssBefore = residentBytes(order.brokerPid);
  }

  async start(): Promise<void> {
    if (this.#tracer !== null) this.#calls = await countSyscalls(this.#tracer, this.#pid);
    this.#startedAt = performance.now();
    this.#brokerCpu = cpuSeconds(this.#pid);
    this.#ownCpu = process.cpuUsage();
  }

  /** Reads the clocks first, because the number of system calls arrives later. */
  async stop(): Promise<RunResult> {
    const seconds = (performance.now() - this.#startedAt) / 1000;
    const own = process.cpuUsage(this.#ownCpu);
    const result: RunResult = {
      ...NO_RESULT,
      seconds,
      brokerCpu: cpuSeconds(this.#pid) - this.#brokerCpu,
      loadCpu: (own.user + own.system) / 1e6,
      rss: residentBytes(this.#pid),
      rssBefore: this.#rssBefore,
    };
    if (this.#calls !== null) result.syscalls = await this.#calls.stop();
    return result;
  }
}
