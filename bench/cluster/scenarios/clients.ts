/** What a CONNECT and a SUBSCRIBE cost when there are other nodes, and whether SUBACK keeps its promise. */

import { RawClient } from '../../../test/kit/raw-client.ts';
import type { RunResult } from '../../scenario.ts';
import type { ClusterContext, ClusterScenario } from '../contract.ts';
import { digits } from '../figures.ts';
import { costsOf, runLoad, sumOf } from '../measure.ts';
import type { ClusterPeer, RunningCluster } from '../peers/cluster-peer.ts';
import { startAlone } from '../peers/fluxmq-cluster.ts';

const STORM = { kind: 'storm', connections: 500 } as const;
/** fluxmq and nats-server run as three here, others as two */
const SIZE = 3;
const ROUNDS = 400;
const COMES_MS = 1_000;
const at = (sorted: readonly number[], share: number): number =>
  sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0;

const sizeOf = (peer: ClusterPeer): number => (peer.name === 'fluxmq' ? SIZE : peer.size);
const aloneOf = (peer: ClusterPeer, dir: string): Promise<RunningCluster> => (peer.name === 'fluxmq' ? startAlone() : peer.start(dir, 1));

async function connects(context: ClusterContext, peer: ClusterPeer): Promise<void> {
  const alone = await aloneOf(peer, context.dir);
  let cluster: RunningCluster | null = null;
  try {
    cluster = await peer.start(context.dir, sizeOf(peer));
    const runs: Record<'alone' | 'cluster', RunResult[]> = { alone: [], cluster: [] };
    for (let n = 0; n < context.options.repetitions; n++) {
      runs.alone.push(await runLoad(alone, STORM, [0, 0], context.options.duration));
      runs.cluster.push(await runLoad(cluster, STORM, [0, 0], context.options.duration));
    }
    const [one, all] = [costsOf(runs.alone, 1), costsOf(runs.cluster, cluster.nodes.length)];
    const add = { broker: peer.name, most: null } as const;
    const p50 = (costs: typeof one) => `p50 ${digits((costs.latency?.p50 ?? 0) / 1000)} ms`;
    context.add({ ...add, what: 'one node alone', value: sumOf(one.nodes), unit: 'µs', note: p50(one) });
    const note = `${all.nodes.map(digits).join(' + ')} µs${all.carriers > 0 ? `, NATS ${digits(all.carriers)} µs` : ''}; ${p50(all)}`;
    context.add({ ...add, what: `all ${all.nodes.length} nodes`, value: sumOf(all.nodes), unit: 'µs', note });
    const value = sumOf(all.nodes) / sumOf(one.nodes);
    context.add({ ...add, what: 'all nodes : one alone', value, unit: 'x', note: '', most: peer.name === 'fluxmq' ? 2.5 : null });
  } finally {
    await cluster?.stop();
    await alone.stop();
  }
}

/** Rounds of SUBSCRIBE at one node, and a publish at another one at once after the SUBACK. */
async function subscribes(context: ClusterContext, peer: ClusterPeer): Promise<void> {
  const cluster = await peer.start(context.dir, sizeOf(peer));
  try {
    const [here, there] = await Promise.all(
      [0, 1].map(async (index) => {
        const { host, port } = cluster.nodes[index]!.address;
        const client = await RawClient.open('tcp', port, 4, host);
        await client.handshake({ clientId: `bench-${index}`, keepAlive: 0 });
        return client;
      }),
    );
    const times: number[] = [];
    let missed = 0;
    for (let round = 0; round < ROUNDS; round++) {
      const began = performance.now();
      await here!.subscribe(`round/${round}`, 0);
      times.push(performance.now() - began);
      await there!.publish(`round/${round}`, `${round}`, { qos: 0 });
      await here!.take(COMES_MS).catch(() => missed++);
    }
    const sorted = times.toSorted((one, other) => one - other);
    const own = peer.name === 'fluxmq';
    const add = { broker: peer.name, note: `${cluster.nodes.length} nodes` } as const;
    context.add({ ...add, what: 'SUBSCRIBE to SUBACK, p50', value: at(sorted, 0.5), unit: 'ms', most: null });
    context.add({ ...add, what: 'SUBSCRIBE to SUBACK, p99', value: at(sorted, 0.99), unit: 'ms', most: own ? 10 : null });
    const note = `of ${ROUNDS} publishes on another node right after the SUBACK`;
    context.add({ ...add, what: 'missed', value: missed, unit: '', most: own ? 0 : null, note });
    for (const client of [here!, there!]) client.destroy();
  } finally {
    await cluster.stop();
  }
}

const forAll = (work: (context: ClusterContext, peer: ClusterPeer) => Promise<void>) => async (context: ClusterContext) => {
  for (const peer of context.peers) await context.attempt(peer, () => work(context, peer));
};

export const CLIENTS: readonly ClusterScenario[] = [
  { name: 'cluster-connect', title: 'connect storm at one node, 200 at a time', run: forAll(connects) },
  { name: 'cluster-subscribe', title: 'SUBSCRIBE at one node, then a publish at another one', run: forAll(subscribes) },
];
