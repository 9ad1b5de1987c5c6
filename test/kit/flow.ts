/** Numbered messages under load: publishers with a window, a subscriber whose session roams, and a check for lost and repeated messages. */

import type { Broker } from './broker.ts';
import type { Publish } from './decode.ts';
import type { QoS } from './encode.ts';
import * as encode from './encode.ts';
import type { RawClient } from './raw-client.ts';
import { until } from './until.ts';

/** Publishes `name:0`, `name:1`, … as fast as its window allows. */
export class Pump {
  readonly name: string;
  /** messages published so far */
  sent = 0;
  readonly #client: RawClient;
  readonly #topic: () => string;
  readonly #qos: 1 | 2;
  readonly #window: number;
  readonly #padding: string;
  readonly #open = new Set<number>();
  #isRunning = false;
  #limit = Number.POSITIVE_INFINITY;
  #pace: NodeJS.Timeout | null = null;

  constructor(client: RawClient, name: string, topic: string | (() => string), qos: 1 | 2, window = 20, padding = 0) {
    this.name = name;
    this.#client = client;
    this.#topic = typeof topic === 'string' ? () => topic : topic;
    this.#qos = qos;
    this.#window = window;
    this.#padding = ' '.repeat(padding);
    client.tap = (packet) => {
      if (packet.type === 'pubrec') client.send(encode.pubrel(packet.id));
      else if (packet.type === 'puback' || packet.type === 'pubcomp') {
        this.#open.delete(packet.id);
        this.#fill();
      } else client.inbox.push(packet);
    };
  }

  /** @param limit messages after which the pump stops by itself */
  start(limit = Number.POSITIVE_INFINITY): this {
    this.#limit = limit;
    this.#isRunning = true;
    this.#fill();
    return this;
  }

  /** As start(), with at most `perSecond` messages a second. */
  startPaced(perSecond: number): this {
    const begin = performance.now();
    this.#pace = setInterval(() => {
      this.#limit = Math.floor(((performance.now() - begin) * perSecond) / 1000);
      this.#fill();
    }, 2);
    return this.start(0);
  }

  #fill(): void {
    if (!this.#isRunning) return;
    const packets: Buffer[] = [];
    while (this.#open.size < this.#window && this.sent < this.#limit) {
      const id = this.#client.id();
      this.#open.add(id);
      const payload = `${this.name}:${this.sent++}:${Date.now()}:${this.#padding}`;
      packets.push(encode.publish(this.#client.version, this.#topic(), payload, { qos: this.#qos, id }));
    }
    if (packets.length > 0) this.#client.send(...packets);
  }

  /** Messages that are not acknowledged yet. */
  get open(): number {
    return this.#open.size;
  }

  /** Stops and waits until all messages are acknowledged. @throws Error when that takes over 20 s, or the connection has ended */
  async stop(): Promise<void> {
    this.#isRunning = false;
    if (this.#pace !== null) clearInterval(this.#pace);
    await until(
      `everything of ${this.name} acknowledged`,
      () => {
        if (this.#client.isClosed) throw new Error(`the connection of ${this.name} was closed`);
        return this.#open.size === 0;
      },
      20_000,
    );
  }

  /** Waits until the pump has sent its limit and all messages are acknowledged. */
  async done(timeoutMs = 30_000): Promise<void> {
    await until(`${this.name} has sent all`, () => this.sent >= this.#limit && this.#open.size === 0, timeoutMs);
  }
}

/** The messages that one subscriber received, by publisher, in the order of arrival. */
export class Ledger {
  readonly #numbers = new Map<string, number[]>();
  readonly #seen = new Map<string, Set<number>>();
  /** messages that were repeated without DUP, or came out of order */
  readonly faults: string[] = [];
  readonly #qos: QoS;
  count = 0;

  /** @param qos 1: a repeat is legal with DUP; 0 and 2: never */
  constructor(qos: QoS) {
    this.#qos = qos;
  }

  take(message: Publish): void {
    const [name = '', text = ''] = message.payload.toString().split(':');
    const number = Number(text);
    let numbers = this.#numbers.get(name);
    let seen = this.#seen.get(name);
    if (numbers === undefined || seen === undefined) {
      numbers = [];
      seen = new Set();
      this.#numbers.set(name, numbers);
      this.#seen.set(name, seen);
    }
    if (seen.has(number)) {
      if (this.#qos !== 1 || !message.dup) this.faults.push(`${name}:${number} came again${message.dup ? ' with DUP' : ''}`);
      return;
    }
    const last = numbers.at(-1) ?? -1;
    if (number < last) this.faults.push(`${name}:${number} came after ${last}`);
    seen.add(number);
    numbers.push(number);
    this.count++;
  }

  /** Numbers in `0 .. sent-1` that did not arrive. */
  missing(name: string, sent: number): number[] {
    const seen = this.#seen.get(name) ?? new Set();
    const missing = [];
    for (let number = 0; number < sent; number++) if (!seen.has(number)) missing.push(number);
    return missing;
  }

  has(name: string, number: number): boolean {
    return this.#seen.get(name)?.has(number) ?? false;
  }

  /** Waits until all messages have arrived. @throws Error that lists missing, repeated and misordered messages */
  async complete(pumps: readonly { readonly name: string; readonly sent: number }[], timeoutMs = 10_000): Promise<void> {
    const gaps = (): string[] =>
      pumps.flatMap((pump) => {
        const missing = this.missing(pump.name, pump.sent);
        return missing.length === 0
          ? []
          : [`${missing.length} of ${pump.sent} of ${pump.name} missing: ${missing.slice(0, 10).join(', ')}`];
      });
    await until(
      'every message',
      () => {
        const found = gaps();
        if (found.length > 0) throw new Error(found.join('; '));
        return true;
      },
      timeoutMs,
    );
    if (this.faults.length > 0) throw new Error(`${this.faults.length} faults: ${this.faults.slice(0, 10).join('; ')}`);
  }
}

/** The client side of a session's deliveries: remembers across connections what exactly-once delivery at QoS 2 requires. */
export class Inbox {
  readonly ledger: Ledger;
  /** QoS 2 identifiers between PUBLISH and PUBREL [MQTT-4.3.3-10] */
  readonly #received = new Set<number>();
  readonly #onMessage: (message: Publish) => void;

  /** @param onMessage called with each new message */
  constructor(ledger: Ledger, onMessage: (message: Publish) => void = () => undefined) {
    this.ledger = ledger;
    this.#onMessage = onMessage;
  }

  /** Handles and acknowledges the packets of this connection from now on. */
  attach(client: RawClient): void {
    const handle: NonNullable<RawClient['tap']> = (packet) => {
      if (packet.type === 'publish') this.#take(client, packet);
      else if (packet.type === 'pubrel') {
        this.#received.delete(packet.id);
        client.send(encode.pubcomp(packet.id));
      } else client.inbox.push(packet);
    };
    client.tap = handle;
    for (const packet of client.inbox.splice(0)) handle(packet);
  }

  /** Ignores further packets of a connection, as a client does that has connected anew. */
  static letGo(client: RawClient): void {
    client.tap = () => undefined;
  }

  #take(client: RawClient, message: Publish): void {
    if (message.qos === 1) client.send(encode.puback(message.id));
    if (message.qos !== 2) {
      this.ledger.take(message);
      this.#onMessage(message);
      return;
    }
    client.send(encode.pubrec(message.id));
    if (this.#received.has(message.id)) return;
    this.#received.add(message.id);
    this.ledger.take(message);
    this.#onMessage(message);
  }
}

/** Messages dropped so far, by reason, over all endpoints and offline sessions. */
export async function droppedByReason(broker: Broker): Promise<Record<string, number>> {
  const { body } = await broker.api('GET', '/api/endpoints/metrics');
  const { data } = body as { data: unknown };
  const rows = (Array.isArray(data) ? data : Object.values(data as object).flat()) as {
    metrics?: { messages?: { droppedByReason?: Record<string, number> } };
  }[];
  const sum: Record<string, number> = {};
  for (const row of rows) {
    for (const [reason, count] of Object.entries(row.metrics?.messages?.droppedByReason ?? {})) sum[reason] = (sum[reason] ?? 0) + count;
  }
  return sum;
}
