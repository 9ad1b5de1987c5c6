/** Listeners of an endpoint that no longer accept, and stay for the clients that they have. */

import { steadyNow } from '../../kernel/clock.ts';
import type { Deadline } from '../../kernel/deadline.ts';
import { messageOf } from '../../kernel/errors.ts';
import type { Logger } from '../../kernel/logger.ts';
import type { Drain, EndpointRuntimeConfig } from '../../thread/messages.ts';
import { AT_ONCE } from './drain.ts';
import type { Listener } from './listener.ts';
import type { ListeningSockets } from './listening-sockets.ts';

/** For a listener to end accepting. */
const STOP_TIMEOUT_MS = 10_000;
/** A client that connected just before the end of accepting may still be sending its CONNECT. */
const LINGER_MIN_MS = 10_000;

export class Lingering {
  /** since when each lingers, steady milliseconds */
  readonly #since = new Map<Listener, number>();
  readonly #sockets: ListeningSockets;
  readonly #logger: Logger;
  readonly #tell: () => void;

  /** @param onChange told when one has gone */
  constructor(sockets: ListeningSockets, logger: Logger, onChange: () => void) {
    this.#sockets = sockets;
    this.#logger = logger;
    this.#tell = onChange;
  }

  get size(): number {
    return this.#since.size;
  }

  get listeners(): Listener[] {
    return [...this.#since.keys()];
  }

  /** From now on these linger; resolves when none of them accepts any more. Never rejects. */
  async add(listeners: readonly Listener[]): Promise<void> {
    for (const listener of listeners) this.#since.set(listener, steadyNow());
    await Promise.all(listeners.map((listener) => this.#stopAccepting(listener)));
  }

  async #stopAccepting(listener: Listener): Promise<void> {
    try {
      const isShared = listener.sockets.every((socket) => this.#sockets.keeps(socket));
      await listener.stopAccepting(isShared, STOP_TIMEOUT_MS);
    } catch (error) {
      if (!listener.worker.isUsable) return;
      // It must not go on accepting beside its successor: its clients are disconnected rather than that.
      this.#logger.error(`Endpoint ${listener.config.endpoint.port} could not stop accepting and is closed`, {
        reason: messageOf(error),
      });
      void this.close(listener, AT_ONCE);
    }
  }

  /** Ends accepting, if it had not, and disconnects the clients. Never rejects. */
  async close(listener: Listener, drain: Drain): Promise<void> {
    if (await listener.close(drain)) this.#since.delete(listener);
    this.#tell();
  }

  /** Its worker has died. */
  forget(listener: Listener): void {
    this.#since.delete(listener);
  }

  /** Gives each the new configuration, but for what belongs to its socket. @throws FluxError when a worker does not take it */
  async update(config: EndpointRuntimeConfig, deadline: Deadline): Promise<void> {
    const updates = this.listeners.map(async (listener) => {
      try {
        await listener.update(withSocketOf(listener.config, config), deadline);
      } catch (error) {
        // Its last client may go, and with it the listener, while the configuration is on its way.
        if (!listener.isClosing && listener.worker.isUsable) throw error;
      }
    });
    const failure = (await Promise.allSettled(updates)).find((each) => each.status === 'rejected');
    if (failure !== undefined) throw failure.reason;
  }

  /** Closes those that no client needs any more. @param nowMs steady milliseconds */
  sweep(nowMs: number): void {
    for (const [listener, since] of this.#since) {
      const isUnused = listener.connections === 0 && nowMs - since >= LINGER_MIN_MS;
      if (isUnused) void this.close(listener, AT_ONCE);
    }
  }
}

/** New values for a listener whose socket stays what it is. */
function withSocketOf(old: EndpointRuntimeConfig, config: EndpointRuntimeConfig): EndpointRuntimeConfig {
  const { host, port, useWebsocket, namespace, sslConfig, exclusivePool } = old.endpoint;
  return { ...config, tls: old.tls, endpoint: { ...config.endpoint, host, port, useWebsocket, namespace, sslConfig, exclusivePool } };
}
