/** One endpoint in one worker: its listener, its clients and their limits, from open to closed. */

import { SLOT } from '../src/metrics/counters.ts';
import { SharedLimits } from '../src/metrics/shared-limits.ts';
import { REASON } from '../src/mqtt/reason-codes.ts';
import type { EndpointMemory, EndpointRuntimeConfig } from '../src/thread/messages.ts';
import { Client, type ClientHooks } from './client/client.ts';
import { EndpointContext, type WorkerContext } from './client/context.ts';
import type { Connection, ConnectionClient, Listener, Refusal } from './connection.ts';
import { dispatch } from './handlers/dispatch.ts';
import { openTcpListener } from './listener/tcp.ts';

/** Connections over a limit that are kept until their CONNECT can be refused with its reason; more are closed at once. */
const REFUSED_AT_ONCE_MAX = 64;
/** Half seconds in which CONNECT must have come. */
const CONNECT_TICKS = 20;

export class EndpointRuntime {
  readonly context: EndpointContext;
  readonly clients = new Set<Client>();
  readonly #worker: WorkerContext;
  readonly #hooks: ClientHooks = { dispatch, onClosed: (client) => this.#onClosed(client) };
  #listener: Listener | null = null;
  #refused = 0;
  /** refusals that the log has not been told of, by reason: one line a sweep, so that a storm of connections is not a storm of lines */
  readonly #untold: Record<Refusal, number> = { connection_limit: 0, connection_rate: 0 };

  constructor(worker: WorkerContext, config: EndpointRuntimeConfig, memory: EndpointMemory) {
    this.#worker = worker;
    const namespace = worker.mesh.namespace(config.endpoint.namespace);
    this.context = new EndpointContext(config, namespace, memory.counters, new SharedLimits(memory.limits));
  }

  /** @throws FluxError `port-in-use`, `unprocessable` */
  async open(): Promise<number> {
    const { endpoint } = this.context.config;
    const makeClient = (connection: Connection) => this.#accept(connection);
    if (endpoint.useWebsocket) {
      const { openWsListener } = await import('./listener/ws.ts');
      this.#listener = await openWsListener(endpoint, () => this.context.config.endpoint.path, makeClient);
    } else this.#listener = await openTcpListener(endpoint, () => this.context.config.endpoint.childOptions, makeClient);
    return this.#listener.port;
  }

  #accept(connection: Connection): ConnectionClient | null {
    const { context } = this;
    const { maxConnectionPerSecond, maxConnectionSize } = context.config.endpoint;
    let refusal: Refusal | null = null;
    if (!context.limits.takeToken(maxConnectionPerSecond, process.hrtime.bigint() / 1000n)) refusal = 'connection_rate';
    else if (!context.limits.acquire(maxConnectionSize)) refusal = 'connection_limit';
    if (refusal !== null) {
      context.count(refusal === 'connection_rate' ? 'refusedConnectionRate' : 'refusedConnectionLimit');
      this.#untold[refusal]++;
      if (this.#refused >= REFUSED_AT_ONCE_MAX) return null;
      this.#refused++;
    }
    const client = new Client(connection, context, this.#worker, refusal, this.#hooks);
    this.clients.add(client);
    if (refusal !== null) return client;
    const { slots } = context;
    slots[SLOT.connectionsTotal]!++;
    const current = ++slots[SLOT.connectionsCurrent]!;
    if (current > slots[SLOT.connectionsMax]!) slots[SLOT.connectionsMax] = current;
    return client;
  }

  #onClosed(client: Client): void {
    this.clients.delete(client);
    if (client.refusal !== null) this.#refused--;
    else {
      this.context.slots[SLOT.connectionsCurrent]!--;
      this.context.limits.release();
    }
  }

  stopAccepting(): void {
    this.#listener?.stopAccepting();
  }

  /** Ends clients that sent no CONNECT in time, or nothing for one and a half Keep Alive [MQTT-3.1.2-24]. */
  sweep(tick: number): void {
    for (const client of this.clients) {
      const silent = tick - client.lastSeen;
      if (client.state === 'online') {
        if (client.keepAlive > 0 && silent > client.keepAlive * 3 + 1) {
          this.context.count('keepAliveTimeout');
          client.close(REASON.keepAliveTimeout, 'Keep alive timeout');
        }
      } else if (client.state === 'new' && silent > CONNECT_TICKS) {
        this.context.count('connectTimeout');
        client.endNormally();
      }
    }
    this.#tellRefusals();
  }

  #tellRefusals(): void {
    const { port, maxConnectionSize, maxConnectionPerSecond } = this.context.config.endpoint;
    const { logger } = this.#worker;
    const { connection_limit: overLimit, connection_rate: tooFast } = this.#untold;
    if (overLimit > 0) logger.warn(`Endpoint ${port}: Connection limit reached`, { refused: overLimit, maxConnectionSize });
    if (tooFast > 0) logger.warn(`Endpoint ${port}: Connection rate limit reached`, { refused: tooFast, maxConnectionPerSecond });
    this.#untold.connection_limit = this.#untold.connection_rate = 0;
  }

  /** Stops accepting and ends all clients, spread evenly over `drainMs`. @returns how many there were */
  async drain(drainMs: number, reasonCode: number): Promise<number> {
    this.stopAccepting();
    const clients = [...this.clients];
    const step = clients.length === 0 ? 0 : drainMs / clients.length;
    let due = performance.now();
    for (const client of clients) {
      due += step;
      const pause = due - performance.now();
      if (pause > 1) await new Promise((resolve) => setTimeout(resolve, pause));
      client.close(reasonCode);
    }
    await this.#untilEmpty();
    return clients.length;
  }

  /** Waits for the sockets to close; who does not read its end is cut off by the listener's deadline. */
  async #untilEmpty(): Promise<void> {
    const deadline = performance.now() + 6_000;
    while (this.clients.size > 0 && performance.now() < deadline) await new Promise((resolve) => setTimeout(resolve, 5));
    for (const client of [...this.clients]) client.connection.destroy();
  }

  close(): void {
    this.#listener?.close();
    this.#listener = null;
  }
}
