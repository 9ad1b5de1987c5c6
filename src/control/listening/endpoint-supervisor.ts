/** Runs one endpoint on this node: its present listeners, those that linger for their clients, and the replacement of lost ones. */

import { steadyNow, wallNow } from '../../kernel/clock.ts';
import { Deadline } from '../../kernel/deadline.ts';
import { toWireError } from '../../kernel/errors.ts';
import type { EndpointRuntimeConfig } from '../../thread/commands.ts';
import type { WorkerExit, WorkerHandle } from '../../thread/worker-handle.ts';
import type { EndpointState } from '../contract/answers.ts';
import { withTls } from '../tls/load-tls.ts';
import { SharedEndpointMemory } from '../workers/shared-endpoint-memory.ts';
import { BoundSockets } from './bound-sockets.ts';
import { AT_ONCE, type DrainWish } from './drain/drain-order.ts';
import { type DrainStatus, Drains } from './drain/drain-progress.ts';
import { Lingering } from './lingering.ts';
import { closeUnused, openListeners } from './open-listeners.ts';
import { type AcceptOutcome, type ListenerContext, type RemoteListener, startAcceptingAll } from './remote-listener.ts';
import { RepairLoop } from './repair-loop.ts';

/** Time for one attempt to bring a listener back. */
const REPAIR_TIMEOUT_MS = 20_000;
/** Time for commands that no request waits for. */
const COMMAND_TIMEOUT_MS = 10_000;

/**
 *                     warm + activate                    stop
 *   stopped ─────────────────────────────► running ───────────► draining ──► stopped
 *      │  start                              ▲   │ last listener lost
 *      └────────► starting ──────────────────┘   ▼
 *                     └──── attempt failed ──► failed ── attempt succeeds ──► running
 *
 * `wanted` is the configuration to run. The repair loop replaces missing listeners, and is the only code that does so without a request.
 */
export class EndpointSupervisor {
  readonly id: string;
  readonly #context: ListenerContext;
  readonly #memory = new SharedEndpointMemory();
  #wanted: EndpointRuntimeConfig | null = null;
  #last: EndpointRuntimeConfig | null = null;
  /** number of threads to accept in */
  #size = 1;
  #listeners: RemoteListener[] = [];
  readonly #sockets: BoundSockets;
  readonly #lingering: Lingering;
  /** listeners that did not take their configuration; they continue until a successor accepts */
  readonly #stale = new Set<RemoteListener>();
  readonly #repair: RepairLoop;
  readonly #drains: Drains;
  readonly #reportChange: () => void;
  #lastError: string | null = null;
  #listeningSince: number | null = null;
  #restarts = 0;

  /** @param onChange called when the reported state may have changed */
  constructor(id: string, context: Omit<ListenerContext, 'memory'>, onChange: (supervisor: EndpointSupervisor) => void) {
    this.id = id;
    this.#reportChange = () => onChange(this);
    this.#drains = new Drains(this.#reportChange);
    context.counters.watchPeak(() => this.#memory.peak);
    this.#context = { ...context, memory: this.#memory };
    this.#sockets = new BoundSockets(context.logger);
    this.#lingering = new Lingering(this.#sockets, context.logger, this.#reportChange);
    this.#repair = new RepairLoop({
      isIncomplete: () => this.#isIncomplete(),
      repairOnce: (signal) => this.#repairOnce(signal),
      repairFailed: (error) => this.#failed(error),
    });
  }

  get state(): EndpointState {
    if (this.#wanted === null) return this.#lingering.size > 0 ? 'draining' : 'stopped';
    if (this.#listeners.length > 0) return 'running';
    return this.#lastError === null ? 'starting' : 'failed';
  }

  get wanted(): EndpointRuntimeConfig | null {
    return this.#wanted;
  }

  /** The wanted configuration, or the last one before the stop; null before the first start. */
  get last(): EndpointRuntimeConfig | null {
    return this.#wanted ?? this.#last;
  }

  get lastError(): string | null {
    return this.#lastError;
  }

  /** Milliseconds since the epoch; null when the endpoint does not listen. */
  get listeningSince(): number | null {
    return this.#listeners.length > 0 ? this.#listeningSince : null;
  }

  /** Number of workers that died, or ended without being asked. */
  get restarts(): number {
    return this.#restarts;
  }

  get #all(): RemoteListener[] {
    return [...this.#listeners, ...this.#lingering.listeners];
  }

  /** Connected clients, including those of lingering listeners. */
  get connections(): number {
    return this.#all.reduce((sum, listener) => sum + listener.connections, 0);
  }

  /** Number of threads that accept. */
  get workerCount(): number {
    return this.#listeners.length;
  }

  /** Threads that hold clients of the endpoint. */
  get workers(): WorkerHandle[] {
    return [...new Set(this.#all.map((listener) => listener.worker))];
  }

  /** False when the endpoint has a listener in this thread that shares the thread with other endpoints. */
  isAlone(worker: WorkerHandle): boolean {
    return this.#all.every((listener) => listener.worker !== worker || listener.config.endpoint.exclusivePool);
  }

  /** Ports that the endpoint accepts on: one, except during a change. */
  get ports(): number[] {
    return [...new Set(this.#listeners.map((listener) => listener.config.endpoint.port))];
  }

  /** True while the endpoint accepts on this port. */
  listensOn(port: number): boolean {
    return this.#listeners.some((listener) => listener.config.endpoint.port === port);
  }

  /** True while the endpoint has a socket of this port, even when no worker accepts from it at the moment. */
  holds(port: number): boolean {
    return this.#sockets.has(port);
  }

  /**
   * Starts an endpoint that does not listen. A failure becomes the state `failed`, and is retried. Resolves after the first attempt.
   * @throws FluxError of that attempt when the endpoint listens with another configuration by now, which stays
   */
  async start(config: EndpointRuntimeConfig, size: number, deadline: Deadline): Promise<void> {
    try {
      const ready = await withTls(config);
      await this.activate(ready, await this.startAccepting(await this.warm(ready, size, 'all', deadline)));
    } catch (error) {
      if (this.#listeners.length > 0) throw error;
      this.#newGeneration();
      this.#wanted = config;
      this.#size = size;
      this.#failed(error);
      this.#repair.countFailure();
      this.#repair.run();
    }
  }

  /**
   * Opens `count` listeners beside the present ones. They accept nobody before startAccepting(), because their change may still be refused.
   * @param which `all`: they replace the present listeners; `more`: they join them
   * @param leaving ports that other endpoints of this node are about to release
   * @throws FluxError `port-in-use`, `unprocessable`, `timeout`; none of the listeners stays open then
   */
  warm(
    config: EndpointRuntimeConfig,
    count: number,
    which: 'all' | 'more',
    deadline: Deadline,
    leaving?: ReadonlySet<number>,
  ): Promise<RemoteListener[]> {
    const kept = which === 'all' ? [] : this.#listeners.filter((listener) => !this.#stale.has(listener));
    return openListeners({ sockets: this.#sockets, listeners: this.#context }, config, count, kept, deadline, leaving);
  }

  /** Closes warm listeners, because their change did not happen. */
  async discard(listeners: RemoteListener[], deadline: Deadline): Promise<void> {
    await closeUnused(this.#sockets, listeners, deadline);
  }

  /**
   * Makes warm listeners accept beside the present ones, and closes those that cannot. activate() or resize() follows after all other
   * endpoints of the change have got this far, because a port may pass from one endpoint to another.
   */
  async startAccepting(warm: readonly RemoteListener[]): Promise<AcceptOutcome> {
    // A repair may have opened the port first.
    for (const listener of warm) if (this.listensOn(listener.config.endpoint.port)) listener.isFirst = false;
    const outcome = await startAcceptingAll(warm, COMMAND_TIMEOUT_MS);
    // A worker that starts to accept too late does so only for a moment, because this close follows. Nothing here waits for the close.
    for (const listener of this.#stillAlive(outcome.refused)) void listener.close(AT_ONCE);
    if (outcome.refused.length > 0) this.#sockets.closeUnused();
    return outcome;
  }

  /**
   * Makes the accepting listeners the endpoint's own. The previous listeners stop accepting, and keep their clients until drain(). Resolves
   * when the previous listeners no longer accept. The repair loop replaces listeners that did not begin.
   */
  async activate(config: EndpointRuntimeConfig, { count, accepting, failure }: AcceptOutcome): Promise<void> {
    this.#newGeneration();
    const isBack = this.#wanted === null;
    const old = this.#listeners;
    this.#wanted = config;
    this.#size = count;
    this.#listeners = this.#stillAlive(accepting);
    this.#listeningSince = wallNow();
    this.#lastError = null;
    if (this.#listeners.length === 0 && failure !== null) this.#failed(failure);
    else {
      const { host, port } = config.endpoint;
      const workers = `${accepting.length} worker${accepting.length === 1 ? '' : 's'}`;
      this.#context.logger.info(`Endpoint ${port} listens on ${host}:${port}`, { endpoint: this.id, revision: config.revision, workers });
      this.#reportChange();
    }
    this.#sockets.keepOnly(config.endpoint);
    await this.#lingering.add(old);
    if (isBack) await this.cancelDrain();
    this.#repair.run();
  }

  /** Adds accepting listeners to the present ones, or retires surplus listeners one by one. */
  async resize(config: EndpointRuntimeConfig, size: number, { accepting }: AcceptOutcome): Promise<void> {
    this.#wanted = config;
    this.#size = size;
    const added = this.#stillAlive(accepting);
    this.#listeners.push(...added);
    await this.#sockets.settle(this.#listeners, added);
    const surplus = this.#listeners.splice(size);
    for (const listener of surplus) {
      this.#stale.delete(listener);
      await this.#sockets.handOver(listener.sockets, this.#listeners);
      await this.#lingering.add([listener]);
    }
    this.#repair.run();
  }

  /**
   * Gives every listener the new configuration; lingering listeners keep the keys of their socket. A worker that does not take it is
   * replaced.
   * @param isRebind turns the present clients into former ones
   * @throws FluxError of the first worker that failed; `wanted` is the new configuration all the same
   */
  async update(config: EndpointRuntimeConfig, deadline: Deadline, isRebind = false): Promise<void> {
    this.#wanted = config;
    this.#reportChange();
    const current = this.#listeners.map(async (listener) => {
      try {
        await listener.update(config, deadline, isRebind);
      } catch (error) {
        if (listener.worker.isUsable) this.#replace(listener, error);
        throw error;
      }
    });
    const failure = (await Promise.allSettled([...current, this.#lingering.update(config, deadline)])).find(
      (each) => each.status === 'rejected',
    );
    if (failure !== undefined) throw failure.reason;
  }

  /**
   * Stops accepting and disconnects all clients. Resolves when nothing accepts any more.
   * @returns `drained` settles when the last client is gone, or the drain is cancelled
   */
  async stop(wish: DrainWish): Promise<{ drained: Promise<void> }> {
    this.#newGeneration();
    this.#last = this.last;
    this.#wanted = null;
    this.#lastError = null;
    const all = this.#all;
    this.#listeners = [];
    this.#sockets.keepOnly(null);
    await this.#lingering.add(all);
    this.#reportChange();
    return { drained: this.drain(wish) };
  }

  /**
   * Disconnects all clients that this change and earlier ones have left behind: those of listeners that no longer accept, and those from
   * before the last rebind on the same sockets. Replaces a drain under way.
   * @returns settles when the last of these clients is gone, or the drain is cancelled or replaced
   */
  async drain(wish: DrainWish): Promise<void> {
    await this.#drains.begin(wish, this.#lingering, this.#listeners);
  }

  /** Lets the clients that a drain has not disconnected yet stay. @returns false when no drain was under way */
  cancelDrain(): Promise<boolean> {
    return this.#drains.cancel(COMMAND_TIMEOUT_MS);
  }

  /** Progress of the drain; null when no drain is under way. */
  get draining(): DrainStatus | null {
    return this.#drains.status;
  }

  /** A worker has died: releases its connections, and replaces it. */
  lost(worker: WorkerHandle, exit: WorkerExit): void {
    const gone = this.#all.filter((listener) => listener.worker === worker);
    if (gone.length === 0) return;
    const wasActive = this.#listeners.some((listener) => listener.worker === worker);
    this.#listeners = this.#listeners.filter((listener) => listener.worker !== worker);
    for (const listener of gone) {
      this.#lingering.forget(listener);
      this.#stale.delete(listener);
      this.#reclaim(listener, exit.reason);
    }
    this.#reportChange();
    if (!wasActive || this.#wanted === null) return;
    this.#countRestart();
    // New connections wait in the accept queue of these sockets, for another worker or for the new one.
    void this.#sockets.handOver(this.#sockets.of(this.#wanted.endpoint), this.#listeners);
    this.#repair.run();
  }

  /** Closes lingering listeners that no client needs any more; to be called each second. @param nowMs steady milliseconds */
  sweep(nowMs: number = steadyNow()): void {
    this.#lingering.sweep(nowMs);
    if (this.draining !== null) this.#reportChange();
  }

  /** True when nothing of the endpoint runs. */
  get isIdle(): boolean {
    return this.#wanted === null && this.#listeners.length === 0 && this.#lingering.size === 0;
  }

  #newGeneration(): void {
    this.#repair.restart();
    this.#stale.clear();
  }

  /** The listeners whose worker has not died since their opening. */
  #stillAlive(listeners: RemoteListener[]): RemoteListener[] {
    for (const listener of listeners) {
      if (listener.worker.isUsable) continue;
      this.#reclaim(listener, 'it ended before the endpoint used it');
      this.#countRestart();
    }
    return listeners.filter((listener) => listener.worker.isUsable);
  }

  /** Releases the connections and the memory of a dead worker's clients. */
  #reclaim(listener: RemoteListener, reason: string): void {
    const { connections, heldBytes } = listener.reclaim();
    this.#memory.release(connections, heldBytes);
    const message = `Endpoint ${listener.config.endpoint.port} lost its worker ${listener.worker.name}`;
    this.#context.logger.error(message, { endpoint: this.id, reason, connections });
  }

  #countRestart(): void {
    this.#restarts++;
    this.#context.threads.countRestart();
  }

  #replace(listener: RemoteListener, error: unknown): void {
    const message = `Endpoint ${listener.config.endpoint.port}: ${listener.worker.name} did not take its configuration and is replaced`;
    this.#context.logger.error(message, { endpoint: this.id, reason: toWireError(error).message });
    this.#stale.add(listener);
    this.#repair.run();
  }

  #isIncomplete(): boolean {
    return this.#wanted !== null && this.#listeners.length - this.#stale.size < this.#size;
  }

  /** Opens one listener and makes it accept. */
  async #repairOnce(signal: AbortSignal): Promise<boolean> {
    const incomplete = this.#wanted;
    if (incomplete === null) return true;
    const config = await withTls(incomplete);
    if (this.#wanted === incomplete) this.#wanted = config;
    const [listener] = await this.warm(config, 1, 'more', new Deadline(REPAIR_TIMEOUT_MS));
    if (listener === undefined) return false;
    if (signal.aborted) return closeOutdated(listener);
    const { accepting, failure } = await this.startAccepting([listener]);
    if (failure !== null) throw failure;
    if (signal.aborted) return closeOutdated(listener);
    if (this.#stillAlive(accepting).length === 0) return false;
    await this.#join(listener, config);
    return true;
  }

  async #join(listener: RemoteListener, openedWith: EndpointRuntimeConfig): Promise<void> {
    this.#listeners.push(listener);
    await this.#sockets.settle(this.#listeners, [listener]);
    if (this.#listeners.length === 1) this.#listeningSince = wallNow();
    this.#lastError = null;
    const { host, port } = openedWith.endpoint;
    this.#context.logger.info(`Endpoint ${port} listens on ${host}:${port} again`, { endpoint: this.id, worker: listener.worker.name });
    this.#reportChange();
    const [stale] = this.#stale;
    if (stale !== undefined) {
      this.#stale.delete(stale);
      this.#listeners = this.#listeners.filter((each) => each !== stale);
      await this.#sockets.handOver(stale.sockets, this.#listeners);
      await this.#lingering.add([stale]);
    }
    // The configuration may have changed while the worker was starting.
    const config = this.#wanted;
    if (config !== null && config !== openedWith) await listener.update(config, new Deadline(COMMAND_TIMEOUT_MS));
  }

  #failed(error: unknown): void {
    const before = this.#lastError;
    this.#lastError = toWireError(error).message;
    const port = this.#wanted?.endpoint.port ?? 0;
    // The attempts repeat; the log reports each reason once.
    if (this.#lastError !== before)
      this.#context.logger.error(`Endpoint ${port} cannot listen: ${this.#lastError}; another attempt follows`, { endpoint: this.id });
    this.#reportChange();
  }
}

/** Closes a listener whose configuration a change has outdated before the listener was used. Its successor is there already. */
async function closeOutdated(listener: RemoteListener): Promise<true> {
  await listener.close(AT_ONCE);
  return true;
}
