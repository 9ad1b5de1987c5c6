/** Reads links and metrics of nodes, for tests of messages between nodes. */

import type { Broker } from '../kit/broker.ts';
import { until } from '../kit/until.ts';

export interface Crossing {
  ok: boolean;
  reason: string | null;
  isolated: boolean;
  unacknowledged: number;
  nodes: { name: string; linked: boolean; waiting: number; delivered: number; lost: Record<string, number> }[];
}

/** The address of a node of TestCluster. */
export const hostOf = (node: number): string => `127.0.0.${10 + node}`;

export async function crossingAt(node: Broker): Promise<Crossing> {
  const { body } = await node.api('GET', '/api/cluster/status');
  return (body as { data: { messages: Crossing } }).data.messages;
}

/** Until messages cross between all of these. */
export async function untilLinked(nodes: readonly Broker[], timeoutMs = 15_000): Promise<void> {
  for (const node of nodes) {
    await until(
      'the node is linked with all others',
      async () => {
        const crossing = await crossingAt(node);
        if (crossing.nodes.filter(({ linked }) => linked).length === nodes.length - 1) return true;
        throw new Error(JSON.stringify(crossing));
      },
      timeoutMs,
      50,
    );
  }
}

/** The sum of a metric over all its labels. */
export async function sumOf(node: Broker, metric: string): Promise<number> {
  const text = String((await node.api('GET', '/api/endpoints/metrics?format=prometheus')).body);
  let sum = 0;
  for (const line of text.split('\n'))
    if (line.startsWith(`${metric}{`) || line.startsWith(`${metric} `)) sum += Number(line.slice(line.lastIndexOf(' ')));
  return sum;
}
