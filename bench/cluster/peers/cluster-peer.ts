/** A broker that runs as a cluster of two or three nodes, as the benchmark sees it. */

import { readdirSync, readFileSync } from 'node:fs';
import type { Address } from '../../scenario.ts';

export interface ClusterNode {
  /** where clients connect */
  address: Address;
  /** its processes, read anew because a broker may start some later */
  pids(): number[];
}

export interface RunningCluster {
  nodes: ClusterNode[];
  /** servers between the nodes that are no brokers: NATS; none otherwise */
  carriers: () => number[];
  stop(): Promise<void>;
}

export interface ClusterPeer {
  name: string;
  /** the version that would run; null: not installed */
  version(): string | null;
  /** nodes of the cluster of a scenario that asks for two; nats-server's JetStream needs three */
  size: number;
  /** reason why it cannot run a load; null: it can */
  refuses(load: { qos: number }): string | null;
  /** @throws Error when a node does not come up */
  start(dir: string, size: number): Promise<RunningCluster>;
}

/** The process and everything that it has started. */
export function familyOf(root: number): number[] {
  const parents = new Map<number, number>();
  for (const name of readdirSync('/proc')) {
    if (!/^\d+$/.test(name)) continue;
    try {
      const stat = readFileSync(`/proc/${name}/stat`, 'latin1');
      parents.set(Number(name), Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1]));
    } catch {
      // It has ended since the folder was read.
    }
  }
  const family = [root];
  for (let at = 0; at < family.length; at++) for (const [pid, parent] of parents) if (parent === family[at]) family.push(pid);
  return family.filter((pid) => parents.has(pid));
}
