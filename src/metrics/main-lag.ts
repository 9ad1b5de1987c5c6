/** How late the event loop of the main thread is, for the metrics of the process. */

import { monitorEventLoopDelay } from 'node:perf_hooks';

/** Milliseconds between two samples. Each sample wakes the thread: often enough to see a block, seldom enough to cost nothing. */
const SAMPLE_MS = 100;
const NANOSECONDS_PER_MS = 1e6;

/** Seconds; 0 without a sample. */
export interface Lag {
  min: number;
  max: number;
  mean: number;
  stddev: number;
  p50: number;
  p90: number;
  p99: number;
}

export class MainLag {
  readonly #histogram = monitorEventLoopDelay({ resolution: SAMPLE_MS });

  constructor() {
    this.#histogram.enable();
  }

  /** Readings since the last call. */
  take(): Lag {
    const histogram = this.#histogram;
    const isEmpty = histogram.count === 0;
    // A sample is the time between two wake-ups; the excess over the interval is the lag.
    const late = (ns: number): number => (isEmpty ? 0 : Math.max(0, ns / NANOSECONDS_PER_MS - SAMPLE_MS) / 1000);
    const lag = {
      min: late(histogram.min),
      max: late(histogram.max),
      mean: late(histogram.mean),
      stddev: isEmpty ? 0 : histogram.stddev / NANOSECONDS_PER_MS / 1000,
      p50: late(histogram.percentile(50)),
      p90: late(histogram.percentile(90)),
      p99: late(histogram.percentile(99)),
    };
    histogram.reset();
    return lag;
  }
}
