/** Questions about clients and messages, sent to all worker threads, with one merged answer. */

import { FluxError } from '../../kernel/errors.ts';
import type { CommandName, Commands, WireClient } from '../../thread/commands.ts';
import type { WorkerHandle } from '../../thread/worker-handle.ts';
import type { ClientInfo, ClientLocation, ClientsAnswer } from '../contract/answers.ts';
import type { ClientRequests, PublishRequest } from '../contract/client-requests.ts';
import type { ThreadSupervisor } from '../workers/thread-supervisor.ts';
import { byIdentifier, ClientPage } from './client-page.ts';

const TIMEOUT_MS = 10_000;

export class Clients implements ClientRequests {
  readonly #threads: ThreadSupervisor;
  readonly #node: string;

  constructor(threads: ThreadSupervisor, node: string) {
    this.#threads = threads;
    this.#node = node;
  }

  /** Connected clients sorted by identifier, then by namespace. @param page 1.. @param size 1.. */
  async connected(query: { endpoint?: string; page: number; size: number }): Promise<ClientsAnswer> {
    const workers = this.#endpointWorkers();
    const lists = await Promise.all(workers.map((worker) => ask(worker, 'clients.list', { endpoint: query.endpoint ?? null })));
    const sorted = new ClientPage<WorkerHandle>(query.page, query.size);
    for (const [at, list] of lists.entries())
      for (const { namespace, clientIds } of list ?? []) await sorted.add(workers[at]!, namespace, clientIds);
    const page = await sorted.take();
    // Only the clients of the page are described: describing all clients would keep the workers from their sockets.
    const described = await Promise.all(
      workers.map((worker) => {
        const mine = page.filter((client) => client.worker === worker);
        if (mine.length === 0) return [];
        const clientIds = mine.map(({ clientId }) => clientId);
        return ask(worker, 'clients.describe', { clientIds, namespaces: mine.map(({ namespace }) => namespace) });
      }),
    );
    const data = described.flatMap((clients) => clients ?? []).sort(byIdentifier);
    return { data: data.map(toInfo), total: sorted.total, page: query.page, size: query.size };
  }

  /** One answer for each known pair of identifier and namespace, and one for each identifier that nobody knows. */
  async locate(ids: string[], namespace?: string): Promise<ClientLocation[]> {
    const query = { ids, namespace: namespace ?? null };
    const [here, sessions] = await Promise.all([
      this.#askAll('clients.find', query),
      this.#threads.session.call('sessions.locate', query, { timeoutMs: TIMEOUT_MS }),
    ]);
    // When both the worker and the session worker know a client, the worker's answer is newer.
    const found = new Map<string, { clientId: string; namespace: string; connected: boolean; endpoint: string | null }>();
    for (const session of sessions) found.set(`${session.namespace}\0${session.clientId}`, session);
    for (const client of here.flat()) found.set(`${client.namespace}\0${client.clientId}`, { ...client, connected: true });
    const known = [...found.values()].map(({ clientId, namespace: at, connected, endpoint }) => ({
      clientId,
      namespace: at,
      connected,
      session: true,
      node: this.#node,
      endpoint,
    }));
    const names = new Set(known.map(({ clientId }) => clientId));
    const unknown = ids.filter((id) => !names.has(id));
    const nowhere = { namespace: namespace ?? 'default', connected: false, session: false, node: this.#node, endpoint: null };
    return [...known, ...unknown.map((clientId) => ({ clientId, ...nowhere }))];
  }

  /** @returns connections closed */
  async disconnect(ids: string[], namespace?: string): Promise<number> {
    const answers = await this.#askAll('clients.close', { ids, namespace: namespace ?? null });
    return answers.reduce((sum, { closed }) => sum + closed, 0);
  }

  /** @throws FluxError `unavailable` while the session worker is being replaced, `timeout` */
  async publish(request: PublishRequest): Promise<void> {
    await this.#threads.session.call('publish', request, { timeoutMs: TIMEOUT_MS });
  }

  /** Sessions per endpoint id, from the session worker. */
  async sessionCounts(): Promise<Commands['sessions.count']['result']> {
    return this.#threads.session.call('sessions.count', {}, { timeoutMs: TIMEOUT_MS });
  }

  /** Retained messages, and refusals since the session worker started. */
  async retainedCount(): Promise<Commands['retained.count']['result']> {
    return this.#threads.session.call('retained.count', {}, { timeoutMs: TIMEOUT_MS });
  }

  /** What became of client identifiers that several nodes had; null: the node is alone. */
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

function toInfo(client: WireClient): ClientInfo {
  return { ...client, connectedAt: new Date(client.connectedAt).toISOString() };
}
