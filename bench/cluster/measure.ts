/** Runs the load generator against nodes of a cluster, with the CPU time of each node and of NATS apart. */

import { median } from '../report/summary.ts';
import { generate } from '../runner.ts';
import type { Load, RunResult } from '../scenario.ts';
import { FLOW } from '../scenarios.ts';
import type { RunningCluster } from './peers/cluster-peer.ts';

/** Threads of fluxmq compile their code in this time. */
const WARM_UP_S = 2;

export interface Costs {
  /** µs of CPU for each message or connection */
  nodes: number[];
  carriers: number;
  latency: { p50: number; p99: number } | null;
  perSecond: number;
}

/** @param from, to nodes of publishers and subscribers @throws Error when messages were lost, or the run failed */
export async function runLoad(
  { nodes, carriers }: RunningCluster,
  load: Partial<Load>,
  [from, to]: readonly [number, number],
  seconds: number,
): Promise<RunResult> {
  const parties: Record<string, number[]> = { carriers: carriers() };
  for (const [index, node] of nodes.entries()) parties[`node${index}`] = node.pids();
  const publishers = nodes[from]!.address;
  const order = {
    load: { ...FLOW, ...load },
    port: publishers.port,
    brokerPid: nodes[from]!.pids()[0]!,
    warmup: WARM_UP_S,
    duration: seconds,
  };
  const result = await generate({ ...order, tracer: null, at: { publishers, subscribers: nodes[to]!.address }, parties });
  if (result.failure !== null) throw new Error(result.failure);
  const faults = [`${result.lost} lost`, `${result.duplicated} twice`, `${result.disordered} out of order`].filter(
    (text) => !text.startsWith('0 '),
  );
  if (faults.length > 0) throw new Error(faults.join(', '));
  return result;
}

/** Medians over the runs. */
export function costsOf(runs: readonly RunResult[], nodes: number): Costs {
  const each = (party: string) => median(runs.map(({ partyCpu, delivered }) => ((partyCpu[party] ?? 0) / Math.max(1, delivered)) * 1e6));
  const latencies = runs.flatMap(({ latency }) => latency ?? []);
  return {
    nodes: Array.from({ length: nodes }, (_, index) => each(`node${index}`)),
    carriers: each('carriers'),
    latency: latencies.length === 0 ? null : { p50: median(latencies.map(({ p50 }) => p50)), p99: median(latencies.map(({ p99 }) => p99)) },
    perSecond: median(runs.map(({ delivered, seconds }) => delivered / seconds)),
  };
}

export const sumOf = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0);
