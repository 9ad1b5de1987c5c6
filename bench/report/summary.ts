/** The runs of one scenario and broker as medians and spreads. */

import type { Run } from '../runner.ts';
import type { Load } from '../scenario.ts';

export interface Spread {
  median: number;
  min: number;
  max: number;
}

export interface Summary {
  runs: number;
  /** delivered messages (connections, for a storm) per CPU second of the broker */
  perCpuSecond: Spread | null;
  /** delivered messages per second */
  rate: Spread | null;
  /** CPUs that the broker and the load generator used */
  brokerCpu: number;
  loadCpu: number;
  /** microseconds, medians of the runs */
  latency: { p50: number; p99: number; p999: number } | null;
  /** bytes */
  rss: number;
  /** bytes per connection; for idle only */
  rssPerConnection: number | null;
  syscalls: number | null;
  /** worst of all runs: the longest block of an event loop from start to end, milliseconds, and the number of blocks over 50 ms */
  block: { ms: number; times: number } | null;
  /** share of the delivered messages that passed from one thread to another; null = one thread, or not reported */
  crossing: number | null;
  lost: number;
  duplicated: number;
  disordered: number;
  /** true when a scenario should saturate the broker, but the load generator used more CPU */
  isLoadBound: boolean;
  failures: string[];
}

export function summarise(runs: readonly Run[], load: Load, syscalls: number | null): Summary {
  const isIdle = load.kind === 'idle';
  const good = runs.filter((run) => run.failure === null);
  const latencies = good.flatMap((run) => (run.latency === null ? [] : [run.latency]));
  const told = good.flatMap((run) => (run.inside === null ? [] : { ...run.inside, total: run.total }));
  const crossed = sum(told.map((each) => each.crossed));
  const brokerCpu = median(good.map((run) => run.brokerCpu / run.seconds));
  const loadCpu = median(good.map((run) => run.loadCpu / run.seconds));
  return {
    runs: good.length,
    perCpuSecond: isIdle ? null : spread(good.filter((run) => run.brokerCpu > 0).map((run) => run.delivered / run.brokerCpu)),
    rate: isIdle ? null : spread(good.map((run) => run.delivered / run.seconds)),
    brokerCpu,
    loadCpu,
    latency:
      latencies.length === 0
        ? null
        : {
            p50: median(latencies.map((latency) => latency.p50)),
            p99: median(latencies.map((latency) => latency.p99)),
            p999: median(latencies.map((latency) => latency.p999)),
          },
    rss: median(good.map((run) => run.rss)),
    rssPerConnection: isIdle ? median(good.map((run) => (run.rss - run.rssBefore) / run.connections)) : null,
    syscalls,
    block: told.length === 0 ? null : { ms: Math.max(...told.map(({ blockMs }) => blockMs)), times: sum(told.map(({ blocks }) => blocks)) },
    crossing: crossed === 0 ? null : crossed / sum(told.map(({ total }) => total)),
    lost: sum(runs.map((run) => run.lost)),
    duplicated: sum(runs.map((run) => run.duplicated)),
    disordered: sum(runs.map((run) => run.disordered)),
    isLoadBound: !isIdle && load.rate === 0 && loadCpu > brokerCpu,
    failures: runs.flatMap((run) => (run.failure === null ? [] : [run.failure])),
  };
}

function spread(values: readonly number[]): Spread | null {
  return values.length === 0 ? null : { median: median(values), min: Math.min(...values), max: Math.max(...values) };
}

export function median(values: readonly number[]): number {
  if (values.length === 0) return 0;
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}
