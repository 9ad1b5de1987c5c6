/** A cluster of several brokers, with its NATS servers, for the tests of the cluster. */

import { type Broker, startBroker } from '../kit/broker.ts';
import type { DatabaseServer } from '../kit/databases/server.ts';
import { type NatsServers, startNats } from '../kit/nats.ts';
import { until } from '../kit/until.ts';

export interface NodeState {
  name: string;
  state: string;
  revision: number;
  lag: number;
  self: boolean;
  twin: boolean;
  failed: string[];
  status: string;
}

/** `store` of the configuration of each node. */
export function storeOf(database: DatabaseServer | null, name: string): Record<string, unknown> {
  if (database === null) return { storeType: 'LOCAL' };
  const { username, password } = database;
  return { storeType: 'POSTGRESQL', datasource: { url: database.url(name), username, password } };
}

export class TestCluster {
  readonly nats: NatsServers;
  readonly nodes: Broker[] = [];
  readonly #store: Record<string, unknown>;
  readonly #settings: Record<string, unknown>;
  readonly #envOf: (name: string) => Record<string, string>;

  private constructor(
    nats: NatsServers,
    store: Record<string, unknown>,
    settings: Record<string, unknown>,
    envOf: (name: string) => Record<string, string>,
  ) {
    this.#envOf = envOf;
    this.nats = nats;
    this.#store = store;
    this.#settings = settings;
  }

  /** `config`: text for the NATS servers' configuration; `cluster`: this section of each node; `envOf`: the environment of a node. */
  static async start(options: {
    store: Record<string, unknown>;
    nodes: number;
    servers?: number;
    config?: string;
    cluster?: Record<string, unknown>;
    envOf?: (name: string) => Record<string, string>;
  }): Promise<TestCluster> {
    const nats = await startNats({ size: options.servers ?? 1, ...(options.config === undefined ? {} : { config: options.config }) });
    const cluster = new TestCluster(nats, options.store, options.cluster ?? {}, options.envOf ?? (() => ({})));
    try {
      for (let n = 1; n <= options.nodes; n++) await cluster.add(`node-${n}`);
      await cluster.untilUp(options.nodes);
      return cluster;
    } catch (error) {
      await cluster.stop();
      throw error;
    }
  }

  /** Starts one more node. */
  async add(name: string, cluster: Record<string, unknown> = {}): Promise<Broker> {
    const node = await startBroker({
      endpoints: [],
      env: this.#envOf(name),
      config: {
        // Each on an address of its own: they all listen on the same ports.
        node: { name, bindAddress: `127.0.0.${10 + this.nodes.length}` },
        store: this.#store,
        cluster: { addresses: this.nats.urls, sync: { interval: 1000 }, ...this.#settings, ...cluster },
      },
    });
    this.nodes.push(node);
    return node;
  }

  /** Restarts a killed node in its folder. */
  async again(index: number): Promise<Broker> {
    const node = await startBroker({ dir: this.nodes[index]!.dir, env: this.#envOf(`node-${index + 1}`) });
    this.nodes[index] = node;
    return node;
  }

  /** Until every node sees so many that are up. */
  async untilUp(count: number, nodes = this.nodes): Promise<void> {
    for (const node of nodes) {
      await until(
        `${count} nodes are up`,
        async () => (await statesOf(node)).filter(({ state }) => state === 'up').length === count,
        15_000,
        50,
      );
    }
  }

  /** Until every node (of these) knows the newest revision and runs it. */
  async untilInStep(nodes = this.nodes, timeoutMs = 15_000): Promise<void> {
    await until(
      'all nodes run the same',
      async () => {
        const lists = await Promise.all(nodes.map((node) => configurationOf(node)));
        const [first] = lists;
        if (lists.some((list) => list !== first)) throw new Error(lists.join('\n'));
        for (const node of nodes) {
          const { data } = (await node.api('GET', '/api/endpoints/status')).body as { data: { state: string; lastError: string | null }[] };
          const bad = data.filter(({ state }) => state !== 'running' && state !== 'stopped');
          if (bad.length > 0) throw new Error(JSON.stringify(bad));
        }
        return true;
      },
      timeoutMs,
      50,
    );
  }

  async stop(): Promise<void> {
    await Promise.all(this.nodes.map((node) => node.kill('SIGKILL').catch(() => null)));
    await Promise.all(this.nodes.map((node) => node.stop().catch(() => null)));
    await this.nats.stop();
  }
}

export async function statesOf(node: Broker): Promise<NodeState[]> {
  return ((await node.api('GET', '/api/cluster/nodes')).body as { data: NodeState[] }).data;
}

/** Endpoints with their revisions, as one text. */
export async function configurationOf(node: Broker): Promise<string> {
  const { headers, body } = await node.api('GET', '/api/endpoints/list');
  return `${headers.get('etag')} ${JSON.stringify((body as { data: { endpoints: unknown; activePorts: number[] } }).data)}`;
}

export interface Outcome {
  node: string;
  state: string;
  reason: string | null;
}

/** Makes a change. @returns its answer, with the state of each node by name */
export async function change(
  node: Broker,
  what: string,
  body: Record<string, unknown>,
  query = '',
): Promise<{ status: number; revision: number; nodes: Record<string, string>; outcomes: Outcome[]; message: string }> {
  const answer = await node.api('POST', `/api/endpoints/${what}${query}`, body);
  const { data, message } = answer.body as { data: { revision: number; nodes: Outcome[] } | null; message: string };
  const outcomes = data?.nodes ?? [];
  return {
    status: answer.status,
    revision: data?.revision ?? 0,
    nodes: Object.fromEntries(outcomes.map((outcome) => [outcome.node, outcome.state])),
    outcomes,
    message,
  };
}
