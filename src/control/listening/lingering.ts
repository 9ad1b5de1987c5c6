/** Listeners of an endpoint that no longer accept, and stay for their clients. */

import { steadyNow } from '../../kernel/clock.ts';
import type { Deadline } from '../../kernel/deadline.ts';
import { messageOf } from '../../kernel/errors.ts';
import type { Logger } from '../../kernel/logger.ts';
import type { Drain, EndpointRuntimeConfig } from '../../thread/commands.ts';
import type { BoundSockets } from './bound-sockets.ts';
import { AT_ONCE } from './drain/drain-order.ts';
import type { RemoteListener } from './remote-listener.ts';

/** Time for a listener to stop accepting. */
const STOP_TIMEOUT_MS = 10_000;
/** A client that connected just before the end of accepting may still be sending its CONNECT. */
const LINGER_MIN_MS = 10_000;

export class Lingering {
  /** listener → steady milliseconds since when it lingers */
  readonly #since = new Map<RemoteListener, number>();
  readonly #sockets: BoundSockets;
  readonly #logger: Logger;
  readonly #onChange: () => void;

  /** @param onChange called when a listener has gone */
  constructor(sockets: BoundSockets, logger: Logger, onChange: () => void) {
    this.#sockets = sockets;
    this.#logger = logger;
    this.#onChange = onChange;
  }

  get size(): number {
    return this.#since.size;
  }

  get listeners(): RemoteListener[] {
    return [...this.#since.keys()];
  }

  /** Makes listeners linger. Resolves when none of them accepts any more. Never rejects. */
  async add(listeners: readonly RemoteListener[]): Promise<void> {
    for (const listener of listeners) this.#since.set(listener, steadyNow());
    await Promise.all(listeners.map((listener) => this.#stopAccepting(listener)));
  }

  async #stopAccepting(listener: RemoteListener): Promise<void> {
    try {
      const isShared = listener.sockets.every((socket) => this.#sockets.keeps(socket));
      await listener.stopAccepting(isShared, STOP_TIMEOUT_MS);
    } catch (error) {
      if (!listener.worker.isUsable) return;
      // It must not continue to accept beside its successor, so it is closed, which disconnects its clients.
      this.#logger.error(`Endpoint ${listener.config.endpoint.port} could not stop accepting and is closed`, {
        reason: messageOf(error),
      });
      void this.close(listener, AT_ONCE);
    }
  }

  /** Stops accepting if needed, and disconnects the clients. Never rejects. */
  async close(listener: RemoteListener, drain: Drain): Promise<void> {
    if (await listener.close(drain)) this.#since.delete(listener);
    this.#onChange();
  }

  /** Drops a listener whose worker has died. */
  forget(listener: RemoteListener): void {
    this.#since.delete(listener);
  }

  /** Gives each listener the new configuration, except for the keys of its socket. @throws FluxError when a worker does not take it */
  async update(config: EndpointRuntimeConfig, deadline: Deadline): Promise<void> {
    const updates = this.listeners.map(async (listener) => {
      try {
        await listener.update(withSocketOf(listener.config, config), deadline);
      } catch (error) {
        // The last client may go while the configuration is on its way, and the listener with it.
        if (!listener.isClosing && listener.worker.isUsable) throw error;
      }
    });
    const failure = (await Promise.allSettled(updates)).find((each) => each.status === 'rejected');
    if (failure !== undefined) throw failure.reason;
  }

  /** Closes listeners that no client needs any more. @param nowMs steady milliseconds */
  sweep(nowMs: number): void {
    for (const [listener, since] of this.#since) {
      const isUnused = listener.connections === 0 && nowMs - since >= LINGER_MIN_MS;
      if (isUnused) void this.close(listener, AT_ONCE);
    }
  }
}

/** New values for a listener whose socket does not change. */
function withSocketOf(old: EndpointRuntimeConfig, config: EndpointRuntimeConfig): EndpointRuntimeConfig {
  const { host, port, useWebsocket, namespace, sslConfig, exclusivePool } = old.endpoint;
  return { ...config, tls: old.tls, endpoint: { ...config.endpoint, host, port, useWebsocket, namespace, sslConfig, exclusivePool } };
}
