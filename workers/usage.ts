/** Heap, loop utilization and event-loop delay of this thread, for metrics. */

import { performance } from 'node:perf_hooks';
import { getHeapStatistics } from 'node:v8';
import { crossing } from '../src/metrics/crossing.ts';
import { loopDelay } from '../src/metrics/loop-delay.ts';
import type { ThreadUsage } from '../src/thread/commands.ts';
import type { HeapUse } from '../src/thread/memory-budget.ts';

/** The heap of this thread, and the size at which V8 ends the thread. */
export function heapUse(): HeapUse {
  const { used_heap_size: used, heap_size_limit: limit } = getHeapStatistics();
  return { used, limit };
}

/** Reads the resources that this thread uses. */
export class UsageMeter {
  #lastUtilization = performance.eventLoopUtilization();

  /** Reads the usage; the loop's utilization is since the last reading. */
  read(): ThreadUsage {
    // process.memoryUsage() opens a file, which fails without a free file descriptor.
    const { used_heap_size: heapUsedBytes, external_memory: externalBytes } = getHeapStatistics();
    // The share of time in which the loop was busy. Node's CPU usage covers the whole process and does not separate threads.
    const utilization = performance.eventLoopUtilization(this.#lastUtilization);
    this.#lastUtilization = performance.eventLoopUtilization();
    const { p99, max, blocks } = loopDelay.read();
    return {
      heapUsedBytes,
      externalBytes,
      cpuPercent: utilization.utilization * 100,
      eventLoopLagMsP99: p99,
      eventLoopLagMsMax: max,
      eventLoopBlocks: blocks,
      crossedMessages: crossing.messages,
      relayedMessages: crossing.toRelay,
    };
  }
}
