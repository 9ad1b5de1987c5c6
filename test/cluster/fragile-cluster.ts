/** Three nodes whose threads can be made to fail, with the endpoints of a test, linked with one another. */

import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import type { Broker } from '../kit/broker.ts';
import { preload } from '../kit/preload.ts';
import { until } from '../kit/until.ts';
import { change, TestCluster } from './kit.ts';
import { untilLinked } from './messages-kit.ts';

/** Loads the failpoints into all threads of a node: the value of NODE_OPTIONS. */
export const FAILPOINTS_HOOK: string = preload(resolve(import.meta.dirname, '../kit/failpoint.ts'));
const NODES = 3;

export interface FragileCluster {
  readonly cluster: TestCluster;
  /** Kills the thread of a role at a node (0..2), and waits until another thread of the role runs. */
  crash(node: number, role: 'relay' | 'session' | 'endpoint'): Promise<void>;
  stop(): Promise<void>;
}

export async function startFragileCluster(options: {
  store: Record<string, unknown>;
  servers?: number;
  endpoints: readonly Record<string, unknown>[];
}): Promise<FragileCluster> {
  const failpoints = mkdtempSync(join(tmpdir(), 'fluxmq-fragile-'));
  const folderOf = (node: string) => join(failpoints, node);
  for (let n = 1; n <= NODES; n++) mkdirSync(folderOf(`node-${n}`));
  const cluster = await TestCluster.start({
    store: options.store,
    nodes: NODES,
    servers: options.servers ?? 1,
    cluster: { sync: { interval: 60_000 } },
    envOf: (name) => ({ FAILPOINTS: folderOf(name), NODE_OPTIONS: FAILPOINTS_HOOK }),
  });
  const stop = async () => {
    await cluster.stop();
    rmSync(failpoints, { recursive: true, force: true });
  };
  try {
    for (const endpoint of options.endpoints) {
      const { status, message } = await change(cluster.nodes[0]!, 'add', endpoint);
      if (status !== 200) throw new Error(message);
    }
    await cluster.untilInStep();
    await untilLinked(cluster.nodes);
  } catch (error) {
    await stop();
    throw error;
  }
  return {
    cluster,
    stop,
    crash: (index, role) => crashThread(cluster.nodes[index]!, folderOf(`node-${index + 1}`), role),
  };
}

/**
 * Kills a thread of a role at a node with failpoints in `folder`, and waits until another thread of the role runs. An endpoint worker is one
 * that serves an endpoint.
 */
export async function crashThread(node: Broker, folder: string, role: 'relay' | 'session' | 'endpoint'): Promise<void> {
  const [thread] = await threadsOf(node, role);
  writeFileSync(join(folder, thread!), 'throw');
  await until(
    `${thread} is replaced`,
    async () => {
      const names = await threadsOf(node, role);
      return names.length > 0 && !names.includes(thread!);
    },
    15_000,
    20,
  );
}

/** Names of the living threads of a role; of endpoint workers, those with an endpoint. */
async function threadsOf(node: Broker, role: string): Promise<string[]> {
  const { body } = await node.api('GET', '/api/system/resources');
  return (body as { data: { threads: { name: string; role: string; endpoints: string[] }[] } }).data.threads
    .filter((each) => each.role === role && (role !== 'endpoint' || each.endpoints.length > 0))
    .map(({ name }) => name);
}
