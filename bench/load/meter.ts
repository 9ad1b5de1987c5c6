/** Reads clocks at the start and the end of a measurement. */

import { NO_RESULT, type Order, type RunResult } from '../scenario.ts';
import { cpuSeconds, residentBytes } from './clock.ts';
import { countSyscalls } from './syscalls.ts';

export class Meter {
  readonly #pid: number;
  readonly #parties: Record<string, number[]>;
  readonly #tracer: string | null;
  #calls: { stop(): Promise<number | null> } | null = null;
  readonly #rssBefore: number;
  #startedAt = 0;
  #before: Record<string, number> = {};
  #ownCpu: NodeJS.CpuUsage = process.cpuUsage();

  constructor(order: Order) {
    this.#pid = order.brokerPid;
    this.#parties = order.parties ?? {};
    this.#tracer = order.tracer;
    this.#rssBefore = residentBytes(order.brokerPid);
  }

  async start(): Promise<void> {
    if (this.#tracer !== null) this.#calls = await countSyscalls(this.#tracer, this.#pid);
    this.#startedAt = performance.now();
    this.#before = this.#cpu();
    this.#ownCpu = process.cpuUsage();
  }

  /** Reads the clocks first, because the number of system calls arrives later. */
  async stop(): Promise<RunResult> {
    const seconds = (performance.now() - this.#startedAt) / 1000;
    const own = process.cpuUsage(this.#ownCpu);
    const partyCpu = Object.fromEntries(Object.entries(this.#cpu()).map(([name, now]) => [name, now - this.#before[name]!]));
    const result: RunResult = {
      ...NO_RESULT,
      seconds,
      brokerCpu: Object.values(partyCpu).reduce((sum, each) => sum + each, 0),
      partyCpu: Object.keys(this.#parties).length === 0 ? {} : partyCpu,
      loadCpu: (own.user + own.system) / 1e6,
      rss: residentBytes(this.#pid),
      rssBefore: this.#rssBefore,
    };
    if (this.#calls !== null) result.syscalls = await this.#calls.stop();
    return result;
  }

  /** CPU seconds since the start of each party; of the broker when there is one. */
  #cpu(): Record<string, number> {
    const parties = Object.keys(this.#parties).length === 0 ? { broker: [this.#pid] } : this.#parties;
    return Object.fromEntries(Object.entries(parties).map(([name, pids]) => [name, pids.reduce((sum, pid) => sum + cpuSeconds(pid), 0)]));
  }
}
