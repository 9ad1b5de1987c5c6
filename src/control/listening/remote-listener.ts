/** One endpoint in one worker thread: opened, updated, kept for its last clients, and closed without losing its counts. */

import type { Endpoint } from '../../endpoint/endpoint.ts';
import { foreignProblem } from '../../endpoint/secrets/foreign.ts';
import { offerSockets } from '../../internals/socket-passing.ts';
import type { Deadline } from '../../kernel/deadline.ts';
import { FluxError, toWireError } from '../../kernel/errors.ts';
import type { Logger } from '../../kernel/logger.ts';
import { AddressTable, createAddressPlaces } from '../../metrics/address-table.ts';
import type { EndpointCounters } from '../../metrics/collect.ts';
import { createCounters, SLOT } from '../../metrics/counters.ts';
import type { Drain, EndpointRuntimeConfig, SocketOffer } from '../../thread/commands.ts';
import type { WorkerHandle } from '../../thread/worker-handle.ts';
import { explainBind, probePort } from '../probe/port-probe.ts';
import type { SharedEndpointMemory } from '../workers/shared-endpoint-memory.ts';
import type { SharedPool } from '../workers/shared-pool.ts';
import type { ThreadSupervisor } from '../workers/thread-supervisor.ts';
import type { BoundSocket } from './bound-sockets.ts';
import { AT_ONCE } from './drain/drain-order.ts';

/** The node's parts that a listener needs. */
export interface ListenerContext {
  threads: ThreadSupervisor;
  pool: SharedPool;
  counters: EndpointCounters;
  memory: SharedEndpointMemory;
  logger: Logger;
}

/** Time after the drain for the hand-over of sessions. */
const CLOSE_EXTRA_MS = 15_000;
const STOP_WORKER_MS = 10_000;

export class RemoteListener {
  readonly worker: WorkerHandle;
  /** the configuration that the worker runs now */
  config: EndpointRuntimeConfig;
  readonly #context: ListenerContext;
  readonly #counters: SharedArrayBuffer;
  readonly #places = createAddressPlaces();
  readonly #slots: Float64Array;
  /** the sockets that the listener accepts from */
  readonly #sockets = new Set<BoundSocket>();
  /** no listener of this node had the port when this listener was opened */
  isFirst = false;
  #closing: { ms: number; done: Promise<boolean> } | null = null;

  private constructor(worker: WorkerHandle, config: EndpointRuntimeConfig, context: ListenerContext) {
    this.worker = worker;
    this.config = config;
    this.#context = context;
    this.#counters = createCounters();
    this.#slots = new Float64Array(this.#counters);
  }

  /**
   * Takes a worker and opens the endpoint in it. The listener accepts nobody before startAccepting(), because its change may not happen.
   * @param sockets at least one
   * @throws FluxError `unprocessable`, `timeout`, `unavailable`; nothing is left behind
   */
  static async open(
    config: EndpointRuntimeConfig,
    sockets: readonly BoundSocket[],
    context: ListenerContext,
    deadline: Deadline,
  ): Promise<RemoteListener> {
    const { id, exclusivePool } = config.endpoint;
    ensureUnderstood(config.endpoint);
    const worker = exclusivePool ? await context.threads.acquire(deadline) : await context.pool.acquire(id, deadline);
    const listener = new RemoteListener(worker, config, context);
    context.counters.attach(listener.#counters);
    try {
      const { limits, addresses } = context.memory;
      const memory = { limits, addresses, places: listener.#places, counters: listener.#counters };
      await listener.#pass(sockets, (offer) =>
        worker.call('endpoint.open', { config, memory, sockets: offer }, { timeoutMs: deadline.leftMs }),
      );
      return listener;
    } catch (error) {
      // A worker that answers too late may have opened the endpoint; this close undoes that.
      void listener.close(AT_ONCE);
      throw error;
    }
  }

  /** Begins to accept; resolves when it does. @throws FluxError `port-in-use`, `unprocessable`, `timeout`, `unavailable` */
  async startAccepting(timeoutMs: number): Promise<void> {
    const { id, host, port } = this.config.endpoint;
    try {
      await this.worker.call('endpoint.start-accepting', { endpoint: id }, { timeoutMs });
    } catch (error) {
      throw error instanceof FluxError ? await explainBind(host, port, error) : error;
    }
  }

  /** True during the close and afterwards. */
  get isClosing(): boolean {
    return this.#closing !== null;
  }

  /** Number of connected clients. */
  get connections(): number {
    return this.#slots[SLOT.connectionsCurrent]!;
  }

  /** Clients that connected before the last rebind on the present socket. */
  get formerConnections(): number {
    return this.#slots[SLOT.formerCurrent]!;
  }

  /** Sets a configuration. @param isRebind turns the present clients into former ones @throws FluxError when the worker does not take it */
  async update(config: EndpointRuntimeConfig, deadline: Deadline, isRebind = false): Promise<void> {
    await this.worker.call('endpoint.update', { config, isRebind }, { timeoutMs: deadline.leftMs });
    this.config = config;
  }

  /** The sockets that the listener accepts from. */
  get sockets(): BoundSocket[] {
    return [...this.#sockets];
  }

  /** Accepts from these sockets, too. @throws FluxError when the worker does not take them */
  async takeSockets(sockets: readonly BoundSocket[], timeoutMs: number): Promise<void> {
    const { id } = this.config.endpoint;
    await this.#pass(sockets, (offer) => this.worker.call('endpoint.accept-from', { endpoint: id, sockets: offer }, { timeoutMs }));
  }

  /** Leaves these sockets to other listeners. @throws FluxError when the worker does not answer */
  async leaveSockets(sockets: readonly BoundSocket[], timeoutMs: number): Promise<void> {
    const keys = sockets.map(({ key }) => key);
    await this.worker.call('endpoint.drop', { endpoint: this.config.endpoint.id, keys }, { timeoutMs });
    this.#letGo(sockets);
  }

  /**
   * Stops accepting; clients stay.
   * @param isShared true when other listeners accept from its sockets, so that connections in the accept queues are not lost
   * @throws FluxError when the worker does not answer
   */
  async stopAccepting(isShared: boolean, timeoutMs: number): Promise<void> {
    await this.worker.call('endpoint.stop-accepting', { endpoint: this.config.endpoint.id, isShared }, { timeoutMs });
    this.#letGo(this.#sockets);
  }

  async #pass(sockets: readonly BoundSocket[], call: (offer: SocketOffer) => Promise<unknown>): Promise<void> {
    const offer = offerSockets(sockets.map(({ handle }) => handle));
    for (const socket of sockets) {
      this.#sockets.add(socket);
      socket.holders.add(this);
    }
    try {
      await call({ path: offer.path, keys: sockets.map(({ key }) => key) });
    } finally {
      offer.end();
    }
  }

  #letGo(sockets: Iterable<BoundSocket>): void {
    for (const socket of [...sockets]) {
      this.#sockets.delete(socket);
      socket.holders.delete(this);
    }
  }

  /**
   * Stops accepting, disconnects the clients, and releases the worker. Never rejects. A second call replaces a drain under way, and waits
   * for a close at once.
   * @returns false when the drain was cancelled or replaced: the listener is still open, and does not accept
   */
  close(drain: Drain): Promise<boolean> {
    if (this.#closing !== null && this.#closing.ms === 0) return this.#closing.done;
    const closing = { ms: drain.ms, done: this.#close(drain) };
    this.#closing = closing;
    void closing.done.then((isClosed) => {
      if (!isClosed && this.#closing === closing) this.#closing = null;
    });
    return closing.done;
  }

  /** Disconnects the clients from before the last rebind on the socket. Never rejects. */
  async drainFormer(drain: Drain): Promise<void> {
    try {
      await this.worker.call('endpoint.drain-former', { endpoint: this.config.endpoint.id, drain }, { timeoutMs: timeoutOf(drain) });
    } catch (error) {
      this.#warn('was not drained in order', error);
    }
  }

  /** Ends a drain under way; the remaining clients stay. Never rejects. */
  async cancelDrain(timeoutMs: number): Promise<void> {
    try {
      await this.worker.call('endpoint.cancel-drain', { endpoint: this.config.endpoint.id }, { timeoutMs });
    } catch (error) {
      this.#warn('is still being drained', error);
    }
  }

  async #close(drain: Drain): Promise<boolean> {
    const { id, exclusivePool } = this.config.endpoint;
    const { counters, threads, pool } = this.#context;
    // A close stops accepting first, and a cancelled close does not undo that.
    this.#letGo(this.#sockets);
    try {
      const { done } = await this.worker.call('endpoint.close', { endpoint: id, drain }, { timeoutMs: timeoutOf(drain) });
      if (!done) return false;
    } catch (error) {
      this.#warn('was not closed in order', error);
    }
    counters.detach(this.#counters);
    if (exclusivePool) await threads.release(this.worker, STOP_WORKER_MS);
    else await pool.release(id, this.worker, STOP_WORKER_MS);
    return true;
  }

  #warn(what: string, error: unknown): void {
    if (!this.worker.isUsable) return;
    this.#context.logger.warn(`Endpoint ${this.config.endpoint.port} ${what}`, { reason: toWireError(error).message });
  }

  /** The worker has died: the sums keep its counts. @returns the connections that died with it, and their memory in bytes */
  reclaim(): { connections: number; heldBytes: number } {
    const lost = { connections: this.connections, heldBytes: this.#slots[SLOT.heldBytes]! };
    this.#letGo(this.#sockets);
    this.#context.counters.detach(this.#counters);
    new AddressTable(this.#context.memory.addresses, null).releaseAll(this.#places);
    return lost;
  }
}

/** Result of the attempt to accept: the number of listeners, those that accept, those that do not, and the first error or null. */
export interface AcceptOutcome {
  count: number;
  accepting: RemoteListener[];
  refused: RemoteListener[];
  failure: unknown;
}

/** Makes the listeners of one endpoint accept. */
export async function startAcceptingAll(warm: readonly RemoteListener[], timeoutMs: number): Promise<AcceptOutcome> {
  const first = warm.find(({ isFirst }) => isFirst)?.config.endpoint;
  // A bound socket that does not listen does not hold the port: another program may have taken it since the bind.
  const isFree = first === undefined ? Promise.resolve() : probePort(first.host, first.port);
  const attempts = await Promise.allSettled(warm.map((listener) => isFree.then(() => listener.startAccepting(timeoutMs))));
  const accepting = warm.filter((_, index) => attempts[index]?.status === 'fulfilled');
  const refused = warm.filter((listener) => !accepting.includes(listener));
  const failure = attempts.find((each) => each.status === 'rejected')?.reason ?? null;
  return { count: warm.length, accepting, refused, failure };
}

/** @throws FluxError `unprocessable` when a newer version has written keys that this version cannot run */
export function ensureUnderstood(endpoint: Endpoint): void {
  const problem = foreignProblem(endpoint);
  if (problem !== null) throw new FluxError('unprocessable', problem, { issues: [{ path: 'authType', message: problem }] });
}

/** Timers are at most 2^31 - 1 milliseconds. */
function timeoutOf({ ms }: Drain): number {
  return Math.min(2_147_483_647, ms + CLOSE_EXTRA_MS);
}
