/** One endpoint in one worker thread: opened, updated, kept for its last clients, and closed without losing its counts. */

import { FluxError, toWireError } from '../../kernel/errors.ts';
import type { Logger } from '../../kernel/logger.ts';
import type { EndpointCounters } from '../../metrics/collect.ts';
import { createCounters, SLOT } from '../../metrics/counters.ts';
import type { EndpointRuntimeConfig } from '../../thread/messages.ts';
import type { WorkerHandle } from '../../thread/worker-handle.ts';
import type { Deadline } from '../deadline.ts';
import { portInUse } from '../probe/port-probe.ts';
import type { SharedPool } from '../workers/shared-pool.ts';
import type { Supervisor } from '../workers/supervisor.ts';

/** What a listener stands on. */
export interface ListenerContext {
  supervisor: Supervisor;
  pool: SharedPool;
  counters: EndpointCounters;
  /** shared over all listeners of the endpoint */
  limits: SharedArrayBuffer;
  logger: Logger;
}

/** DISCONNECT reason: the endpoint was removed, disabled or changed by an administrator [MQTT-3.14.2-1]. */
export const ADMINISTRATIVE_ACTION = 0x98;
/** DISCONNECT reason: the node stops. */
export const SERVER_SHUTTING_DOWN = 0x8b;

/** Beyond drainMs, for the hand-over of sessions. */
const CLOSE_EXTRA_MS = 15_000;
const STOP_WORKER_MS = 10_000;

export class Listener {
  readonly worker: WorkerHandle;
  /** what the worker runs now */
  config: EndpointRuntimeConfig;
  readonly #context: ListenerContext;
  readonly #counters: SharedArrayBuffer;
  readonly #slots: Float64Array;
  #closing: Promise<void> | null = null;

  private constructor(worker: WorkerHandle, config: EndpointRuntimeConfig, context: ListenerContext) {
    this.worker = worker;
    this.config = config;
    this.#context = context;
    this.#counters = createCounters();
    this.#slots = new Float64Array(this.#counters);
  }

  /**
   * Takes a worker and opens the endpoint in it; accepting when it resolves.
   * @throws FluxError `port-in-use`, `unprocessable`, `timeout`, `unavailable`; nothing is left behind
   */
  static async open(config: EndpointRuntimeConfig, context: ListenerContext, deadline: Deadline): Promise<Listener> {
    const { id, exclusivePool, port } = config.endpoint;
    const worker = exclusivePool ? await context.supervisor.acquire(deadline) : await context.pool.acquire(id, deadline);
    const listener = new Listener(worker, config, context);
    context.counters.attach(listener.#counters);
    try {
      const memory = { limits: context.limits, counters: listener.#counters };
      await worker.call('endpoint.open', { config, memory }, { timeoutMs: deadline.leftMs });
      return listener;
    } catch (error) {
      // A worker that answers too late may have opened it nevertheless: closing it here undoes that.
      void listener.close(0, ADMINISTRATIVE_ACTION);
      if (error instanceof FluxError && error.kind === 'port-in-use') throw await portInUse(port, error);
      throw error;
    }
  }

  /** Clients connected through it. */
  get connections(): number {
    return this.#slots[SLOT.connectionsCurrent]!;
  }

  /** Gives it a new configuration. @throws FluxError when the worker does not take it */
  async update(config: EndpointRuntimeConfig, deadline: Deadline): Promise<void> {
    await this.worker.call('endpoint.update', { config }, { timeoutMs: deadline.leftMs });
    this.config = config;
  }

  /** Ends accepting; clients stay. @throws FluxError when the worker does not answer */
  async stopAccepting(timeoutMs: number): Promise<void> {
    await this.worker.call('endpoint.stop-accepting', { endpoint: this.config.endpoint.id }, { timeoutMs });
  }

  /**
   * Ends accepting, disconnects the clients over `drainMs`, and gives the worker back. Never rejects. Once begun, a second call
   * waits for the first.
   */
  close(drainMs: number, reasonCode: number): Promise<void> {
    this.#closing ??= this.#close(drainMs, reasonCode);
    return this.#closing;
  }

  async #close(drainMs: number, reasonCode: number): Promise<void> {
    const { id, exclusivePool, port } = this.config.endpoint;
    const { counters, supervisor, pool, logger } = this.#context;
    try {
      await this.worker.call('endpoint.close', { endpoint: id, drainMs, reasonCode }, { timeoutMs: drainMs + CLOSE_EXTRA_MS });
    } catch (error) {
      if (this.worker.isUsable) logger.warn(`Endpoint ${port} was not closed in order`, { reason: toWireError(error).message });
    }
    counters.detach(this.#counters);
    if (exclusivePool) await supervisor.release(this.worker, STOP_WORKER_MS);
    else await pool.release(id, this.worker, STOP_WORKER_MS);
  }

  /** Its worker has died: the sums keep what it counted. @returns the connections that died with it */
  bury(): number {
    const lost = this.connections;
    this.#context.counters.detach(this.#counters);
    return lost;
  }
}
