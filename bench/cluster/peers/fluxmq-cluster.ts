/** This broker with core NATS between its nodes; also a single node without a cluster, for comparison. */

import { change, TestCluster } from '../../../test/cluster/kit.ts';
import { hostOf, untilLinked } from '../../../test/cluster/messages-kit.ts';
import { startBroker } from '../../../test/kit/broker.ts';
import { freePort } from '../../../test/kit/free-port.ts';
import { fluxmq } from '../../peers/fluxmq.ts';
import type { ClusterPeer, RunningCluster } from './cluster-peer.ts';

const ENDPOINT = {
  id: 'bench',
  enableAuth: false,
  maxConnectionSize: 100_000,
  maxConnectionPerSecond: 1_000_000,
  maxQueuedMessages: 100_000,
};

export interface FluxmqCluster extends RunningCluster {
  cluster: TestCluster;
  port: number;
}

/** @param servers NATS servers @param more keys of the endpoint */
export async function startFluxmq(size: number, servers = 1, more: Record<string, unknown> = {}): Promise<FluxmqCluster> {
  const cluster = await TestCluster.start({ store: { storeType: 'LOCAL' }, nodes: size, servers, cluster: { sync: { interval: 60_000 } } });
  try {
    const port = await freePort();
    const { status, message } = await change(cluster.nodes[0]!, 'add', { ...ENDPOINT, port, ...more });
    if (status !== 200) throw new Error(message);
    await cluster.untilInStep();
    await untilLinked(cluster.nodes, 30_000);
    return {
      cluster,
      port,
      nodes: cluster.nodes.map((_, index) => ({ address: { host: hostOf(index), port }, pids: () => [cluster.nodes[index]!.pid] })),
      carriers: () => cluster.nats.servers.flatMap(({ pid }) => pid ?? []),
      stop: () => cluster.stop(),
    };
  } catch (error) {
    await cluster.stop();
    throw error;
  }
}

/** One node without NATS. */
export async function startAlone(): Promise<RunningCluster> {
  const broker = await startBroker({ endpoints: [ENDPOINT] });
  return {
    nodes: [{ address: { host: '127.0.0.1', port: broker.ports[0]! }, pids: () => [broker.pid] }],
    carriers: () => [],
    stop: async () => {
      await broker.stop();
    },
  };
}

export const fluxmqCluster: ClusterPeer = {
  name: 'fluxmq',
  version: () => fluxmq.version(),
  size: 2,
  refuses: () => null,
  start: (_dir, size) => startFluxmq(size),
};
