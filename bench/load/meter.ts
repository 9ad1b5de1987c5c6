/** Reads clocks at the start and the end of a measurement. */

import type { Order, RunResult } from '../scenario.ts';
import { cpuSeconds, residentBytes } from './clock.ts';

export class Meter {
  readonly #pid: number;
  readonly #rssBefore: number;
  #startedAt = 0;
  #brokerCpu = 0;
  #ownCpu: NodeJS.CpuUsage = process.cpuUsage();

  constructor(order: Order) {
    this.#pid = order.brokerPid;
    this.#rssBefore = residentBytes(order.brokerPid);
  }

  start(): void {
    this.#startedAt = performance.now();
    this.#brokerCpu = cpuSeconds(this.#pid);
    this.#ownCpu = process.cpuUsage();
  }

  stop(): RunResult {
    const seconds = (performance.now() - this.#startedAt) / 1000;
    const own = process.cpuUsage(this.#ownCpu);
    return {
      delivered: 0,
      published: 0,
      total: 0,
      seconds,
      brokerCpu: cpuSeconds(this.#pid) - this.#brokerCpu,
      loadCpu: (own.user + own.system) / 1e6,
      rss: residentBytes(this.#pid),
      rssBefore: this.#rssBefore,
      latency: null,
      lost: 0,
      duplicated: 0,
      disordered: 0,
      connections: 0,
      failure: null,
    };
  }
}
