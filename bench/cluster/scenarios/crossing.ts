/** Messages from one node to another beside local delivery on the first node: CPU time, and latency. */

import type { Load, RunResult } from '../../scenario.ts';
import type { ClusterContext, ClusterScenario } from '../contract.ts';
import { digits, type Figure } from '../figures.ts';
import { type Costs, costsOf, runLoad, sumOf } from '../measure.ts';
import type { ClusterPeer, RunningCluster } from '../peers/cluster-peer.ts';

const HERE = [0, 0] as const;
const THERE = [0, 1] as const;

type Judge = (local: Costs, cross: Costs) => Pick<Figure, 'what' | 'value' | 'unit' | 'most' | 'note'>[];

/** Local delivery and crossing in turns, in one cluster. */
async function inTurns(cluster: RunningCluster, load: Partial<Load>, { options }: ClusterContext): Promise<{ local: Costs; cross: Costs }> {
  const runs: { local: RunResult[]; cross: RunResult[] } = { local: [], cross: [] };
  for (let n = 0; n < options.repetitions; n++) {
    runs.local.push(await runLoad(cluster, load, HERE, options.duration));
    runs.cross.push(await runLoad(cluster, load, THERE, options.duration));
  }
  const size = cluster.nodes.length;
  return { local: costsOf(runs.local, size), cross: costsOf(runs.cross, size) };
}

function crossing(name: string, title: string, load: Partial<Load>, judge: Judge): ClusterScenario {
  const ofPeer = async (context: ClusterContext, peer: ClusterPeer): Promise<void> => {
    const reason = peer.refuses({ qos: load.qos ?? 0 });
    if (reason !== null) throw new Error(reason);
    const cluster = await peer.start(context.dir, peer.size);
    try {
      const { local, cross } = await inTurns(cluster, load, context);
      for (const figure of judge(local, cross))
        context.add({ broker: peer.name, ...figure, most: peer.name === 'fluxmq' ? figure.most : null });
    } finally {
      await cluster.stop();
    }
  };
  return {
    name,
    title,
    run: async (context) => {
      for (const peer of context.peers) await context.attempt(peer, () => ofPeer(context, peer));
    },
  };
}

/** Node by node. */
const parts = ({ nodes, carriers }: Costs): string =>
  `${nodes.map(digits).join(' + ')} µs${carriers > 0 ? `, NATS ${digits(carriers)} µs` : ''}`;

const saturated: (most: { ratio: number | null; beyond: number | null }) => Judge =
  ({ ratio, beyond }) =>
  (local, cross) => {
    const [here, there] = [sumOf(local.nodes), sumOf(cross.nodes)];
    return [
      { what: 'local, all nodes', value: here, unit: 'µs', most: null, note: `${digits(local.perSecond)} messages/s` },
      { what: 'crossing, all nodes', value: there, unit: 'µs', most: null, note: `${parts(cross)}; ${digits(cross.perSecond)} messages/s` },
      { what: 'crossing beyond local', value: there - here, unit: 'µs', most: beyond, note: '' },
      { what: 'crossing : local', value: there / here, unit: 'x', most: ratio, note: '' },
      ...(cross.carriers > 0 ? [{ what: 'NATS, crossing', value: cross.carriers, unit: 'µs', most: 0.4, note: '' } as const] : []),
    ];
  };

const paced: Judge = (local, cross) => {
  const all = sumOf(cross.nodes) + cross.carriers;
  const late = (at: 'p50' | 'p99') => ((cross.latency?.[at] ?? 0) - (local.latency?.[at] ?? 0)) / 1000;
  const shown = ({ latency }: Costs) => `p50 ${digits((latency?.p50 ?? 0) / 1000)} ms, p99 ${digits((latency?.p99 ?? 0) / 1000)} ms`;
  return [
    { what: 'local, all nodes', value: sumOf(local.nodes), unit: 'µs', most: null, note: `${parts(local)}; ${shown(local)}` },
    { what: 'crossing, all parties', value: all, unit: 'µs', most: 60, note: `${parts(cross)}; ${shown(cross)}` },
    { what: 'crossing : local, all parties', value: all / (sumOf(local.nodes) + local.carriers), unit: 'x', most: null, note: '' },
    { what: 'p50 beyond local', value: late('p50'), unit: 'ms', most: 1.2, note: '' },
    { what: 'p99 beyond local', value: late('p99'), unit: 'ms', most: 5, note: '' },
  ];
};

export const CROSSING: readonly ClusterScenario[] = [
  crossing(
    'cluster-qos0',
    'from one node to another, 50 pairs, QoS 0, 64 B, window 200',
    { qos: 0, window: 200 },
    saturated({ ratio: null, beyond: 0.7 }),
  ),
  crossing(
    'cluster-qos1',
    'from one node to another, 50 pairs, QoS 1, 64 B, window 200',
    { qos: 1, window: 200 },
    saturated({ ratio: 2.5, beyond: 1 }),
  ),
  crossing('cluster-rate', 'from one node to another, 50 pairs, QoS 0, 64 B, 10,000 messages/s', { rate: 10_000 }, paced),
  crossing('cluster-qos1-rate', 'from one node to another, 50 pairs, QoS 1, 64 B, 5,000 messages/s', { qos: 1, rate: 5_000 }, paced),
];
