/** One service of this node under the micro protocol of NATS: `nats micro` shows it, and each new connection restores it. */

import { type Endpoint, headers, type NatsConnection, type Service, type ServiceMsg } from 'nats';
import { isLoopbackHost } from '../../kernel/address.ts';
import { steadyNow } from '../../kernel/clock.ts';
import { Deadline } from '../../kernel/deadline.ts';
import { messageOf } from '../../kernel/errors.ts';
import type { Logger } from '../../kernel/logger.ts';
import type { Answer, BusService, Incoming, Serving } from '../bus.ts';

/** Bytes of a message reserved for headers and subject. */
const ENVELOPE_BYTES = 8192;
/** Largest payload of a server that announces no limit, bytes. */
const PAYLOAD_BYTES_MAX = 1024 * 1024;
/** Longest failure text in the headers, characters; the body has the whole text. */
const REASON_LENGTH_MAX = 1000;

/** Numbers of one operation since the start; shown by `nats micro stats` as its data. */
interface Counts {
  answered: number;
  failed: number;
  /** sum over all answered requests */
  milliseconds: number;
}

export class NatsService implements Serving {
  readonly #service: BusService;
  readonly #logger: Logger;
  readonly #running = new Set<Promise<void>>();
  readonly #counts = new Map<string, Counts>();
  #live: Service | null = null;
  #isClosed = false;

  constructor(service: BusService, logger: Logger) {
    this.#service = service;
    this.#logger = logger;
    for (const name of service.endpoints) this.#counts.set(name, { answered: 0, failed: 0, milliseconds: 0 });
  }

  /** Serves on this connection until it closes. Logs failures and does not throw. */
  async open(connection: NatsConnection): Promise<void> {
    if (this.#isClosed) return;
    const { name, version, description, metadata, prefix, endpoints } = this.#service;
    const statsHandler = async ({ subject }: Endpoint) => this.#statsOf(subject.slice(prefix.length + 1));
    let added: Service;
    try {
      added = await connection.services.add({ name, version, description, metadata: { ...metadata }, queue: name, statsHandler });
    } catch (error) {
      this.#logger.error(`Cluster: the service ${name} could not be added to NATS`, { reason: messageOf(error) });
      return;
    }
    this.#live = added;
    const group = added.addGroup(prefix);
    for (const endpoint of endpoints) {
      group.addEndpoint(endpoint, (error, message) => {
        if (error === null) this.#take(endpoint, message, connection);
      });
    }
    void added.stopped.then((reason) => this.#stopped(reason, connection));
    const { info } = connection;
    if (info !== undefined && info.auth_required !== true && !isLoopbackHost(connection.getServer()))
      this.#logger.warn(
        `Cluster: NATS accepts every client, so every client may change endpoints: the service ${name} has no login of its own`,
      );
  }

  async close(timeoutMs: number): Promise<void> {
    this.#isClosed = true;
    const deadline = new Deadline(timeoutMs);
    // The end of the subscriptions waits for the server, which may be frozen.
    if (this.#live !== null) await deadline.reaches(this.#live.stop());
    await deadline.reaches(Promise.all(this.#running));
  }

  /** The library ends all subscriptions of a service when the server refuses one. */
  #stopped(reason: Error | null, connection: NatsConnection): void {
    if (this.#isClosed || connection.isClosed()) return;
    const { name, prefix } = this.#service;
    this.#logger.error(`Cluster: the service ${name} is not served by this node`, {
      subjects: `${prefix}.*`,
      reason: reason?.message ?? '',
    });
  }

  #take(endpoint: string, message: ServiceMsg, connection: NatsConnection): void {
    const work = this.#answer(endpoint, message, (connection.info?.max_payload ?? PAYLOAD_BYTES_MAX) - ENVELOPE_BYTES);
    this.#running.add(work);
    void work.finally(() => this.#running.delete(work));
  }

  async #answer(endpoint: string, message: ServiceMsg, answerBytesMax: number): Promise<void> {
    const started = steadyNow();
    try {
      const answer = await this.#service.handle(toIncoming(endpoint, message, answerBytesMax));
      this.#count(endpoint, answer, steadyNow() - started);
      respond(message, answer);
    } catch (error) {
      this.#logger.warn(`Cluster: a request of ${this.#service.name} could not be answered`, {
        operation: endpoint,
        reason: messageOf(error),
      });
    }
  }

  #count(endpoint: string, { failure }: Answer, milliseconds: number): void {
    const counts = this.#counts.get(endpoint);
    if (counts === undefined) return;
    counts.answered++;
    counts.milliseconds += milliseconds;
    if (failure !== null) counts.failed++;
  }

  #statsOf(endpoint: string) {
    const { answered, failed, milliseconds } = this.#counts.get(endpoint) ?? { answered: 0, failed: 0, milliseconds: 0 };
    return { answered, failed, averageMs: answered === 0 ? 0 : Math.round((milliseconds / answered) * 10) / 10 };
  }
}

/** @throws NatsError when the connection has closed, or the answer exceeds the server's limit */
function respond(message: ServiceMsg, { body, headers: named, failure }: Answer): void {
  const all = headers();
  for (const [name, value] of Object.entries(named)) all.set(name, value);
  const data = Buffer.from(body);
  if (failure === null) message.respond(data, { headers: all });
  else message.respondError(failure.code, failure.message.replace(/\s+/g, ' ').slice(0, REASON_LENGTH_MAX), data, { headers: all });
}

function toIncoming(name: string, message: ServiceMsg, answerBytesMax: number): Incoming {
  const named = new Map<string, string>();
  for (const key of message.headers?.keys() ?? []) {
    const lower = key.toLowerCase();
    const values = [...(named.has(lower) ? [named.get(lower) ?? ''] : []), ...(message.headers?.values(key) ?? [])];
    named.set(lower, values.join(', '));
  }
  return { name, body: message.data, headers: named, answerBytesMax };
}
