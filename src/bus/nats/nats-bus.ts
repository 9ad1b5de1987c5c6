/** The bus over NATS: one connection that reconnects for ever, and restores its subscriptions and services each time. */

import { Events, type Msg, type NatsConnection, type Subscription } from 'nats';
import { FluxError, messageOf } from '../../kernel/errors.ts';
import type { Logger } from '../../kernel/logger.ts';
import { type Bus, type BusService, type BusState, NOBODY, type Serving } from '../bus.ts';
import type { BusSettings } from '../settings.ts';
import { NatsLink } from './nats-link.ts';
import { NatsService } from './nats-service.ts';

/** Largest body, bytes: a body of the bus is at most one change, and NATS has the same default. */
const BODY_BYTES_MAX = 1024 * 1024;

interface Subscribed {
  subject: string;
  handle: (message: Msg) => void;
  live: Subscription | null;
}

/** @param name shown in the server's list of connections */
export function openNatsBus(settings: BusSettings, name: string, logger: Logger): Bus {
  return new NatsBus(settings, name, logger);
}

class NatsBus implements Bus {
  readonly #logger: Logger;
  readonly #subscribed = new Set<Subscribed>();
  readonly #services: NatsService[] = [];
  readonly #listeners: ((state: BusState) => void)[] = [];
  readonly #link: NatsLink;

  constructor(settings: BusSettings, name: string, logger: Logger) {
    this.#logger = logger;
    this.#link = new NatsLink(settings, name, {
      onConnected: (connection) => this.#resume(connection),
      onState: (state) => this.#moved(state),
    });
  }

  get state(): BusState {
    return this.#link.state;
  }

  onState(listener: (state: BusState) => void): void {
    this.#listeners.push(listener);
    listener(this.state);
  }

  /** Subscriptions and services to restore on the next connection. */
  async #resume(connection: NatsConnection): Promise<void> {
    for (const each of this.#subscribed) this.#open(connection, each);
    for (const service of this.#services) await service.open(connection);
    void this.#watch(connection);
  }

  async #watch(connection: NatsConnection): Promise<void> {
    for await (const { type, data } of connection.status()) {
      if (type === Events.Error) this.#logger.warn('Cluster: NATS reports an error', { error: String(data) });
    }
  }

  #moved(state: BusState): void {
    if (state.connected) this.#logger.info('Cluster: connected to NATS', { server: state.server });
    else {
      this.#logger.warn('Cluster: no connection to NATS', { reason: state.reason });
      for (const each of this.#subscribed) each.live = null;
    }
    for (const listener of this.#listeners) listener(state);
  }

  #open(connection: NatsConnection, subscribed: Subscribed): void {
    subscribed.live = connection.subscribe(subscribed.subject, {
      callback: (error, message) => {
        if (error === null) subscribed.handle(message);
        else this.#logger.warn('Cluster: a subscription failed', { subject: subscribed.subject, error: error.message });
      },
    });
  }

  #subscribe(subject: string, handle: (message: Msg) => void): () => void {
    const subscribed: Subscribed = { subject, handle, live: null };
    this.#subscribed.add(subscribed);
    if (this.#link.connection !== null) this.#open(this.#link.connection, subscribed);
    return () => {
      this.#subscribed.delete(subscribed);
      subscribed.live?.unsubscribe();
    };
  }

  publish(subject: string, body: unknown): boolean {
    if (this.#link.connection === null) return false;
    try {
      this.#link.connection.publish(subject, encode(body));
      return true;
    } catch (error) {
      this.#logger.warn('Cluster: a notice could not be sent', { subject, error: messageOf(error) });
      return false;
    }
  }

  subscribe(subject: string, handler: (body: unknown, subject: string) => void): () => void {
    return this.#subscribe(subject, (message) => handler(decode(message.data), message.subject));
  }

  answer(subject: string, handler: (body: unknown) => Promise<unknown>): () => void {
    return this.#subscribe(subject, (message) => {
      void handler(decode(message.data))
        .then((body) => message.respond(encode(body)))
        // The connection or the requester may have gone, or the answer may be too large for NATS.
        .catch((error: unknown) => this.#logger.error('Cluster: a request was not answered', { subject, error: messageOf(error) }));
    });
  }

  async request(subject: string, body: unknown, timeoutMs: number): Promise<unknown> {
    const { state } = this;
    const { connection } = this.#link;
    if (connection === null) throw new FluxError('unavailable', `no connection to NATS${state.connected ? '' : `: ${state.reason}`}`);
    try {
      const answer = await connection.request(subject, encode(body), { timeout: Math.max(1, timeoutMs) });
      return decode(answer.data);
    } catch (error) {
      const code = (error as { code?: string }).code;
      // nats.js calls the end of its connection a timeout too.
      if (connection.isClosed())
        throw new FluxError('unavailable', `request on ${subject}: the connection to NATS was lost`, { cause: error });
      if (code === 'TIMEOUT') throw new FluxError('timeout', `no answer on ${subject} within ${timeoutMs} ms`, { cause: error });
      if (code === '503') throw new FluxError('unavailable', `request on ${subject}: ${NOBODY}`, { data: NOBODY, cause: error });
      throw new FluxError('unavailable', `request on ${subject}: ${messageOf(error)}`, { cause: error });
    }
  }

  serve(service: BusService): Serving {
    const served = new NatsService(service, this.#logger);
    this.#services.push(served);
    if (this.#link.connection !== null) void served.open(this.#link.connection);
    return served;
  }

  close(): Promise<void> {
    return this.#link.close();
  }
}

function encode(body: unknown): Uint8Array {
  return body === undefined ? new Uint8Array() : Buffer.from(JSON.stringify(body));
}

/** Returns undefined for an empty body, a body that is too large, and a body that is not JSON: any client may publish anything. */
function decode(data: Uint8Array): unknown {
  if (data.length === 0 || data.length > BODY_BYTES_MAX) return undefined;
  try {
    return JSON.parse(Buffer.from(data).toString('utf8'));
  } catch {
    return undefined;
  }
}
