/** Questions about the clients of this node, and messages to them, sent to all worker threads, with one merged answer. */

import { FluxError } from '../../kernel/errors.ts';
import type { CommandName, Commands } from '../../thread/commands.ts';
import type { WorkerHandle } from '../../thread/worker-handle.ts';
import type { ClientInfo, ClientLocation, ClientsAnswer } from '../contract/answers.ts';
import type { PublishRequest } from '../contract/client-requests.ts';
import type { ThreadSupervisor } from '../workers/thread-supervisor.ts';
import { byIdentifier, type ClientName, ClientPage } from './client-page.ts';

const TIMEOUT_MS = 10_000;

/** The part of the node's clients that a list has. */
export interface NamesQuery {
  endpoint?: string | undefined;
  /** clients before the first one, 0.. */
  skip: number;
  /** the list begins behind this client; null: with the first one */
  after: ClientName | null;
  /** most clients, 1.. */
  count: number;
}

/** The place of a client on its node. */
export type FoundClient = Omit<ClientLocation, 'node'>;

export class Clients {
  readonly #threads: ThreadSupervisor;
  readonly #node: string;

  constructor(threads: ThreadSupervisor, node: string) {
    this.#threads = threads;
    this.#node = node;
  }

  /** Connected clients sorted by identifier, then by namespace. @param page 1.. @param size 1.. */
  async connected({ endpoint, page, size }: { endpoint?: string; page: number; size: number }): Promise<ClientsAnswer> {
    const { names, total } = await this.names({ endpoint, skip: (page - 1) * size, after: null, count: size });
    return { data: await this.describe(names), total, page, size };
  }

  /** Names of connected clients in order, and the number of all. */
  async names({ endpoint, skip, after, count }: NamesQuery): Promise<{ names: ClientName[]; total: number }> {
    const lists = await this.#askAll('clients.list', { endpoint: endpoint ?? null });
    const sorted = new ClientPage<null>(skip, count, after);
    for (const list of lists) for (const { namespace, clientIds } of list) await sorted.add(null, namespace, clientIds);
    const names = (await sorted.take()).map(({ clientId, namespace }) => ({ clientId, namespace }));
    return { names, total: sorted.total };
  }

  /** Describes the named clients that are still connected, in order. All clients at once would keep the workers from their sockets. */
  async describe(names: readonly ClientName[]): Promise<ClientInfo[]> {
    if (names.length === 0) return [];
    const clientIds = names.map(({ clientId }) => clientId);
    const described = await this.#askAll('clients.describe', { clientIds, namespaces: names.map(({ namespace }) => namespace) });
    const infos = described.flat().map((client): ClientInfo => {
      return { ...client, connectedAt: new Date(client.connectedAt).toISOString(), node: this.#node };
    });
    return infos.sort(byIdentifier);
  }

  /** One answer for each pair of identifier and namespace that this node knows. */
  async find(ids: string[], namespace?: string): Promise<FoundClient[]> {
    const query = { ids, namespace: namespace ?? null };
    const [here, sessions] = await Promise.all([
      this.#askAll('clients.find', query),
      this.#threads.session.call('sessions.locate', query, { timeoutMs: TIMEOUT_MS }),
    ]);
    // When both the worker and the session worker know a client, the worker's answer is newer.
    const found = new Map<string, { clientId: string; namespace: string; connected: boolean; endpoint: string | null }>();
    for (const session of sessions) found.set(`${session.namespace}\0${session.clientId}`, session);
    for (const client of here.flat()) found.set(`${client.namespace}\0${client.clientId}`, { ...client, connected: true });
    return [...found.values()].map(({ clientId, namespace: at, connected, endpoint }) => {
      return { clientId, namespace: at, connected, session: true, endpoint };
    });
  }

  /** @returns connections closed */
  async disconnect(ids: string[], namespace?: string): Promise<number> {
    const answers = await this.#askAll('clients.close', { by: 'clientId', ids, namespace: namespace ?? null });
    return answers.reduce((sum, { closed }) => sum + closed, 0);
  }

  /** Disconnects the clients that are connected with a user name. @returns connections closed */
  async disconnectUser(username: string, namespace: string): Promise<number> {
    const answers = await this.#askAll('clients.close', { by: 'username', ids: [username], namespace });
    return answers.reduce((sum, { closed }) => sum + closed, 0);
  }

  /** @throws FluxError `unavailable` while the session worker is being replaced, `timeout` */
  async publish(request: PublishRequest): Promise<void> {
    await this.#threads.session.call('publish', request, { timeoutMs: TIMEOUT_MS });
  }

  /**
   * The node stops: sessions of offline clients go to these nodes.
   * @returns how many left, and how many are still here
   */
  async evacuate(nodes: string[], timeoutMs: number): Promise<{ moved: number; left: number }> {
    return this.#threads.session.call('sessions.evacuate', { nodes, timeoutMs }, { timeoutMs: timeoutMs + TIMEOUT_MS });
  }

  /** Sessions per endpoint id, from the session worker. */
  async sessionCounts(): Promise<Commands['sessions.count']['result']> {
    return this.#threads.session.call('sessions.count', {}, { timeoutMs: TIMEOUT_MS });
  }

  /** Retained messages, and refusals since the session worker started. */
  async retainedCount(): Promise<Commands['retained.count']['result']> {
    return this.#threads.session.call('retained.count', {}, { timeoutMs: TIMEOUT_MS });
  }

  /** Counts of claims that are agreed with other nodes; null: a single node. */
  async claimCounts(): Promise<Commands['claims.count']['result']> {
    return this.#threads.session.call('claims.count', {}, { timeoutMs: TIMEOUT_MS });
  }

  async #askAll<K extends CommandName>(name: K, params: Commands[K]['params']): Promise<Commands[K]['result'][]> {
    const answers = await Promise.all(this.#endpointWorkers().map((worker) => ask(worker, name, params)));
    return answers.filter((answer) => answer !== null);
  }

  #endpointWorkers(): WorkerHandle[] {
    return this.#threads.workers.filter((worker) => worker.boot.role === 'endpoint' && worker.isUsable);
  }
}

/** Returns null for a worker that ends during the call, because it has no clients any more. */
async function ask<K extends CommandName>(
  worker: WorkerHandle,
  name: K,
  params: Commands[K]['params'],
): Promise<Commands[K]['result'] | null> {
  try {
    return await worker.call(name, params, { timeoutMs: TIMEOUT_MS });
  } catch (error) {
    if (error instanceof FluxError && error.kind === 'unavailable' && !worker.isUsable) return null;
    throw error;
  }
}
