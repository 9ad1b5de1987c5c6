/** CPU, heap and event-loop lag of this thread, for metrics. */

import { monitorEventLoopDelay, performance } from 'node:perf_hooks';
import type { ThreadUsage } from '../src/thread/messages.ts';

const NANOSECONDS_PER_MS = 1e6;

/** Measures from its creation; each reading covers the time since the one before. */
export class UsageMeter {
  readonly #delay = monitorEventLoopDelay({ resolution: 10 });
  #lastUtilization = performance.eventLoopUtilization();

  constructor() {
    this.#delay.enable();
  }

  read(): ThreadUsage {
    const memory = process.memoryUsage();
    // The share of the time in which the loop was busy: what a thread has of CPU is not told apart by the system call Node offers.
    const utilization = performance.eventLoopUtilization(this.#lastUtilization);
    this.#lastUtilization = performance.eventLoopUtilization();
    const usage = {
      heapUsedBytes: memory.heapUsed,
      externalBytes: memory.external,
      cpuPercent: utilization.utilization * 100,
      eventLoopLagMsP99: this.#delay.percentile(99) / NANOSECONDS_PER_MS,
      eventLoopLagMsMax: this.#delay.max / NANOSECONDS_PER_MS,
    };
    this.#delay.reset();
    return usage;
  }

  close(): void {
    this.#delay.disable();
  }
}
