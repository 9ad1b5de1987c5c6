/** How late the event loop of the main thread is, for the metrics of the process. */

import { monitorEventLoopDelay } from 'node:perf_hooks';

/** Each sample wakes the thread: often enough to see what holds it up, seldom enough to cost nothing. Milliseconds. */
const SAMPLE_MS = 100;
const NANOSECONDS_PER_MS = 1e6;

/** Seconds; 0 where there is no sample. */
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

  /** Since the reading before. */
  take(): Lag {
    const histogram = this.#histogram;
    const isEmpty = histogram.count === 0;
    // The samples are the times between two looks; what is over the time that was asked for is the lag.
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
