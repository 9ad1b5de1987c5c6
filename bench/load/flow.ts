/** Messages from publishers to subscribers: connects both, keeps the window full or the schedule, and checks what arrives. */

import type { Address, Load, Order } from '../scenario.ts';
import { micros } from './clock.ts';
import { Latencies } from './latency.ts';
import { Link, type PacketSink } from './link.ts';
import { subscribe } from './packets.ts';
import { Publisher } from './publisher.ts';

const SUBSCRIBE_FILTERS = 500;
const OPEN_AT_ONCE = 50;
const SCATTERED_TOPICS = 20_000;

export class Flow implements PacketSink {
  readonly #load: Load;
  readonly #publishersAt: Address | number;
  readonly #subscribersAt: Address | number;
  readonly latencies = new Latencies();
  publishers: Publisher[] = [];
  #subscribers: Link[] = [];
  /** last sequence number of each publisher at each subscriber */
  #last: Uint32Array = new Uint32Array(0);
  /** each subscriber gets every message of a publisher: a gap is a loss */
  readonly #isComplete: boolean;
  delivered = 0;
  published = 0;
  gaps = 0;
  duplicated = 0;
  disordered = 0;
  failure: string | null = null;
  isSending = false;
  #subacks = 0;
  #ready: Publisher[] = [];
  #acking: Link[] = [];
  #isScheduled = false;
  #sampled: Link | null = null;
  readonly #byLink = new Map<Link, Publisher>();

  constructor({ load, port, at }: Order) {
    this.#load = load;
    this.#publishersAt = at?.publishers ?? port;
    this.#subscribersAt = at?.subscribers ?? port;
    this.#isComplete = load.pattern !== 'shared' && load.pattern !== 'scattered';
  }

  get connections(): number {
    return this.#subscribers.length + this.publishers.length;
  }

  /** Connects and subscribes all clients. @throws Error */
  async open(): Promise<void> {
    const load = this.#load;
    this.#last = new Uint32Array(load.publishers * load.subscribers);
    this.#subscribers = await this.#links(load.subscribers, 'sub');
    const wanted = this.#subscribers.map((_, index) => this.#filters(index));
    let requests = 0;
    for (const [index, link] of this.#subscribers.entries()) {
      const filters = wanted[index]!;
      for (let at = 0; at < filters.length; at += SUBSCRIBE_FILTERS) {
        link.send(subscribe(load, at / SUBSCRIBE_FILTERS + 1, filters.slice(at, at + SUBSCRIBE_FILTERS)));
        requests++;
        const deadline = performance.now() + 60_000;
        // The preparations must not overload a broker.
        while (requests - this.#subacks > 20 && performance.now() < deadline) await new Promise((resolve) => setImmediate(resolve));
      }
    }
    const deadline = performance.now() + 30_000;
    while (this.#subacks < requests) {
      if (performance.now() > deadline) throw new Error(`${requests - this.#subacks} SUBSCRIBE without SUBACK`);
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    const links = await this.#links(load.publishers, 'pub');
    const receivers = load.pattern === 'fanout' ? load.subscribers : load.pattern === 'scattered' ? 2 : 1;
    this.publishers = links.map((link, index) => new Publisher(load, index, link, this.#topics(index), receivers));
    for (const publisher of this.publishers) this.#byLink.set(publisher.link, publisher);
  }

  async #links(count: number, kind: 'sub' | 'pub'): Promise<Link[]> {
    const links: Link[] = [];
    while (links.length < count) {
      const some: Promise<Link>[] = [];
      for (let i = 0; i < OPEN_AT_ONCE && links.length + some.length < count; i++) {
        const index = links.length + some.length;
        const link = new Link(this.#load, kind === 'sub' ? this.#subscribersAt : this.#publishersAt, index, `bench-${kind}-${index}`);
        link.listen(this);
        some.push(link.opened());
      }
      links.push(...(await Promise.all(some)));
    }
    return links;
  }

  #topics(publisher: number): string[] {
    const { pattern, publishers } = this.#load;
    if (pattern === 'pairs') return [`bench/pair/${pad(publisher)}`];
    if (pattern !== 'scattered') return [`bench/all/${pad(pattern === 'fanout' ? 0 : publisher)}`];
    const each = SCATTERED_TOPICS / publishers;
    return Array.from({ length: each }, (_, i) => `bench/${pad(publisher * each + i)}/value`);
  }

  #filters(subscriber: number): string[] {
    const { pattern, subscribers, filters } = this.#load;
    if (pattern === 'pairs') return [`bench/pair/${pad(subscriber)}`];
    if (pattern === 'fanout') return [`bench/all/${pad(0)}`];
    if (pattern === 'fanin') return ['bench/all/+'];
    if (pattern === 'shared') return ['$share/group/bench/all/+'];
    const mine: string[] = [];
    const exact = Math.floor(filters * 0.8);
    for (let i = subscriber; i < exact; i += subscribers) mine.push(`bench/${pad(i)}/value`);
    // Wildcards belong to the next subscriber, so that no client has two subscriptions that match the same topic.
    for (let i = (subscriber + 1) % subscribers; i < filters - exact; i += subscribers) mine.push(`bench/${pad(i)}/+`);
    return mine;
  }

  onEnd(link: Link, reason: string): void {
    this.failure ??= `connection ${link.index}: ${reason}`;
  }

  onPacket(link: Link, first: number, buf: Buffer, body: number, end: number): void {
    const type = first & 0xf0;
    if (type === 0x30) this.#onPublish(link, first, buf, body, end);
    else if (type === 0x40 || type === 0x70) this.#onDone(link);
    else if (type === 0x50) this.#ack(link, 0x62, buf, body);
    else if (type === 0x60) this.#ack(link, 0x70, buf, body);
    else if (type === 0x90) {
      this.#subacks++;
      if (buf[end - 1]! > 2) this.failure ??= `SUBSCRIBE refused with ${buf[end - 1]}`;
    } else if (type === 0xe0) this.failure ??= `DISCONNECT with ${buf[body] ?? 0}`;
  }

  #onPublish(link: Link, first: number, buf: Buffer, body: number, end: number): void {
    let at = end - this.#load.payload;
    const from = (buf[at]! << 8) | buf[at + 1]!;
    at += 4;
    const sequence = ((buf[at]! << 24) | (buf[at + 1]! << 16) | (buf[at + 2]! << 8) | buf[at + 3]!) >>> 0;
    const publisher = this.publishers[from]!;
    const slot = from * this.#load.subscribers + link.index;
    const last = this.#last[slot]!;
    if (sequence === last + 1 || (sequence > last && !this.#isComplete)) this.#last[slot] = sequence;
    else this.#unexpected(slot, sequence, last);
    this.delivered++;
    publisher.delivered++;
    // In the open loop every message is sampled, otherwise one per read, which is enough and cheaper.
    if (this.#load.rate > 0 || this.#sampled !== link) {
      this.#sampled = link;
      const sentAt = ((buf[at + 4]! << 24) | (buf[at + 5]! << 16) | (buf[at + 6]! << 8) | buf[at + 7]!) >>> 0;
      this.latencies.add((micros() - sentAt) >>> 0);
    }
    if ((first & 6) !== 0) {
      const idAt = body + 2 + ((buf[body]! << 8) | buf[body + 1]!);
      this.#ack(link, (first & 6) === 2 ? 0x40 : 0x50, buf, idAt);
    }
    if (!publisher.isQueued) this.#queue(publisher);
  }

  #unexpected(slot: number, sequence: number, last: number): void {
    if (sequence === last) this.duplicated++;
    else if (sequence < last) this.disordered++;
    else {
      this.gaps += sequence - last - 1;
      this.#last[slot] = sequence;
    }
  }

  #onDone(link: Link): void {
    const publisher = this.#byLink.get(link);
    if (publisher === undefined) return;
    publisher.acknowledged++;
    if (!publisher.isQueued) this.#queue(publisher);
  }

  #ack(link: Link, first: number, buf: Buffer, idAt: number): void {
    if (link.ack(first, buf[idAt]!, buf[idAt + 1]!)) this.#acking.push(link);
    this.#schedule();
  }

  #queue(publisher: Publisher): void {
    if (!publisher.isReady || this.#load.rate > 0) return;
    publisher.isQueued = true;
    this.#ready.push(publisher);
    this.#schedule();
  }

  #schedule(): void {
    if (this.#isScheduled) return;
    this.#isScheduled = true;
    setImmediate(this.#turn);
  }

  /** Writes once per socket, after all sockets of one poll have been read. */
  readonly #turn = (): void => {
    this.#isScheduled = false;
    this.#sampled = null;
    const acking = this.#acking;
    this.#acking = [];
    for (const link of acking) link.flush();
    const ready = this.#ready;
    this.#ready = [];
    for (const publisher of ready) {
      publisher.isQueued = false;
      if (this.isSending) this.published += publisher.sendWindow();
    }
  };

  /** Starts to publish. */
  start(): void {
    this.isSending = true;
    if (this.#load.rate > 0) this.#startSchedule();
    else for (const publisher of this.publishers) this.published += publisher.sendWindow();
  }

  /** Message n is due at n / rate. Its timestamp is the due time, not the time of sending. */
  #startSchedule(): void {
    const startedAt = performance.now();
    const step = 1000 / this.#load.rate;
    let next = 0;
    const tick = (): void => {
      if (!this.isSending) return;
      const now = performance.now();
      for (;;) {
        const due = startedAt + next * step;
        if (due > now) break;
        const publisher = this.publishers[next % this.publishers.length]!;
        if (publisher.send(1, (due * 1000) >>> 0) === 0) break;
        this.published++;
        next++;
      }
      setTimeout(tick, 1);
    };
    tick();
  }

  /** Number of expected messages that have not arrived. */
  get missing(): number {
    let missing = 0;
    for (const publisher of this.publishers) missing += publisher.sent * publisher.receivers - publisher.delivered;
    return missing;
  }

  close(): void {
    for (const link of this.#subscribers) link.close();
    for (const publisher of this.publishers) publisher.link.close();
  }
}

function pad(value: number): string {
  return String(value).padStart(6, '0');
}
