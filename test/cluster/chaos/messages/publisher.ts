/** Publishes numbered messages at a pace, and each again on the next connection until it is acknowledged. */

import type { ServerPacket } from '../../../kit/decode.ts';
import * as encode from '../../../kit/encode.ts';
import type { RawClient } from '../../../kit/raw-client.ts';
import { until } from '../../../kit/until.ts';
import type { ChaosNode } from '../field.ts';
import { Steady } from './steady.ts';
import type { Counted, Sent, World } from './world.ts';

const WINDOW = 10;
const TICK_MS = 20;
const IDS = 60_000;
/** After the end of all harm. */
const ACKNOWLEDGED_MS = 40_000;

interface Unfinished {
  number: number;
  isReleased: boolean;
}

export class Publisher extends Steady implements Counted {
  readonly name: string;
  readonly folder: string;
  readonly qos: 0 | 1 | 2;
  readonly log: Sent[] = [];
  readonly #topic: string;
  /** by packet identifier, in the order of sending */
  readonly #open = new Map<number, Unfinished>();
  #lastId = 0;
  #pace: NodeJS.Timeout | null = null;

  /** @param folder first level of the topic */
  constructor(world: World, folder: string, node: ChaosNode, qos: 0 | 1 | 2, version: 4 | 5 = 5) {
    const name = `${folder}-q${qos}-${node.name}`;
    super(world, `pub-${name}`, node, version);
    this.name = name;
    this.folder = folder;
    this.qos = qos;
    this.#topic = `${folder}/${name}`;
    world.publishers.set(name, this);
  }

  get sent(): number {
    return this.log.length;
  }

  get acknowledged(): number {
    return this.log.reduce((sum, { ackedAt }) => sum + (ackedAt > 0 ? 1 : 0), 0);
  }

  /** @param perSecond messages, at most; fewer when acknowledgements are late */
  start(perSecond: number): this {
    let due = 0;
    let last = performance.now();
    this.#pace = setInterval(() => {
      const now = performance.now();
      // What could not be sent while the node was away is not made up for.
      due = Math.min(due + ((now - last) * perSecond) / 1000, WINDOW);
      last = now;
      const { client } = this;
      for (; due >= 1 && client !== null && this.#open.size < WINDOW; due--) this.#sendNext(client);
    }, TICK_MS);
    return this;
  }

  #sendNext(client: RawClient): void {
    const number = this.log.push({ sentAt: performance.now(), ackedAt: 0, isDoubtful: false }) - 1;
    if (this.qos === 0) {
      client.send(encode.publish(this.version, this.#topic, this.#text(number), { qos: 0 }));
      return;
    }
    do this.#lastId = (this.#lastId % IDS) + 1;
    while (this.#open.has(this.#lastId));
    this.#open.set(this.#lastId, { number, isReleased: false });
    this.#send(client, this.#lastId, number, false);
  }

  #send(client: RawClient, id: number, number: number, dup: boolean): void {
    client.send(encode.publish(this.version, this.#topic, this.#text(number), { qos: this.qos, id, dup }));
  }

  #text(number: number): string {
    return `${this.name}:${number}`;
  }

  protected override onEnd(): void {
    for (const { number, isReleased } of this.#open.values()) if (!isReleased) this.log[number]!.isDoubtful = true;
  }

  protected override onConnected(client: RawClient): void {
    for (const [id, { number, isReleased }] of this.#open) {
      if (isReleased) client.send(encode.pubrel(id));
      else this.#send(client, id, number, true);
    }
  }

  protected override onPacket(client: RawClient, packet: ServerPacket): void {
    if (packet.type !== 'puback' && packet.type !== 'pubrec' && packet.type !== 'pubcomp') return;
    const open = this.#open.get(packet.id);
    if (open === undefined) return;
    const code = packet.code ?? 0;
    if (code >= 0x80 && packet.type !== 'pubcomp') {
      this.world.trace.fault('refused', `${this.#text(open.number)} at ${this.node.name}: ${packet.type} 0x${code.toString(16)}`);
      this.#open.delete(packet.id);
      return;
    }
    const entry = this.log[open.number]!;
    if (entry.ackedAt === 0) entry.ackedAt = performance.now();
    if (packet.type === 'pubrec') {
      open.isReleased = true;
      client.send(encode.pubrel(packet.id));
    } else this.#open.delete(packet.id);
  }

  /** Sends nothing new, and waits until everything is acknowledged. */
  async stop(): Promise<void> {
    if (this.#pace !== null) clearInterval(this.#pace);
    try {
      await until(`${this.name} is acknowledged`, () => this.#open.size === 0, ACKNOWLEDGED_MS);
    } catch {
      const numbers = [...this.#open.values()].map(({ number }) => number);
      this.world.trace.fault('unanswered', `${numbers.length} of ${this.name}, the first ${this.#text(numbers[0]!)}`);
    }
  }
}
