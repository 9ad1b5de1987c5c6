/** Retained messages are written and deleted on all nodes; at the end all nodes have the same, and nothing that was overwritten. */

import type { ServerPacket } from '../../../../kit/decode.ts';
import * as encode from '../../../../kit/encode.ts';
import { RawClient } from '../../../../kit/raw-client.ts';
import { sleep, until } from '../../../../kit/until.ts';
import type { ChaosNode } from '../../field.ts';
import { Steady } from '../steady.ts';
import { pick, type World } from '../world.ts';
import type { Scene } from './scene.ts';

const TOPICS = 8;
const EVERY_MS = 120;
const DELETED = 0.2;
const EQUAL_MS = 30_000;
/** A reader has everything when nothing came for this time. */
const SILENCE_MS = 400;

interface Written {
  topic: string;
  /** '' deletes */
  text: string;
  sentAt: number;
  /** Infinity: never acknowledged */
  ackedAt: number;
}

/** One message at a time. */
class Writer extends Steady {
  readonly log: Written[] = [];
  #open: Written | null = null;

  get isIdle(): boolean {
    return this.#open === null;
  }

  write(): void {
    const { client, world, log } = this;
    if (this.#open !== null || client === null) return;
    const text = world.random() < DELETED ? '' : `${this.id}:${log.length}`;
    this.#open = {
      topic: `kept/${Math.floor(world.random() * TOPICS)}`,
      text,
      sentAt: performance.now(),
      ackedAt: Number.POSITIVE_INFINITY,
    };
    log.push(this.#open);
    this.#send(client, false);
  }

  #send(client: RawClient, dup: boolean): void {
    const { topic, text } = this.#open!;
    client.send(encode.publish(this.version, topic, text, { qos: 1, id: (this.log.length % 60_000) + 1, retain: true, dup }));
  }

  protected override onConnected(client: RawClient): void {
    if (this.#open !== null) this.#send(client, true);
  }

  protected override onPacket(_client: RawClient, packet: ServerPacket): void {
    if (packet.type !== 'puback' || this.#open === null) return;
    if (packet.code >= 0x80) this.world.trace.fault('refused', `${this.#open.text || 'a deletion'}: PUBACK 0x${packet.code.toString(16)}`);
    this.#open.ackedAt = performance.now();
    this.#open = null;
  }
}

export class Retained implements Scene {
  readonly #world: World;
  readonly #writers: Writer[];
  #isOver = false;

  constructor(world: World) {
    this.#world = world;
    this.#writers = world.nodes.map((node) => new Writer(world, `writer-${node.name}`, node));
  }

  async open(): Promise<this> {
    for (const writer of this.#writers) await writer.begin();
    return this;
  }

  async run(): Promise<void> {
    while (!this.#isOver) {
      pick(this.#writers, this.#world.random).write();
      await sleep(EVERY_MS / this.#writers.length);
    }
  }

  stop(): void {
    this.#isOver = true;
  }

  async judge(): Promise<void> {
    const { trace, nodes } = this.#world;
    for (const writer of this.#writers)
      await until('all is acknowledged', () => writer.isIdle, EQUAL_MS).catch(() => trace.fault('unanswered', `a message of ${writer.id}`));
    let found: Map<string, string>[] = [];
    await until(
      'all nodes have the same',
      async () => {
        found = await Promise.all(nodes.map((node) => this.#read(node)));
        return found.every((each) => textOf(each) === textOf(found[0]!));
      },
      EQUAL_MS,
    ).catch(() => trace.fault('retained', `the nodes differ: ${found.map(textOf).join(' | ')}`));
    const log = this.#writers.flatMap((writer) => writer.log);
    trace.count('retained messages', log.length);
    for (let n = 0; n < TOPICS; n++) this.#judgeTopic(`kept/${n}`, found[0]?.get(`kept/${n}`) ?? '', log);
  }

  /** The last message must be one after which no other was sent and acknowledged. */
  #judgeTopic(topic: string, text: string, log: readonly Written[]): void {
    const { trace } = this.#world;
    const own = log.filter((each) => each.topic === topic);
    const isLast = (each: Written) => !own.some(({ sentAt, ackedAt }) => sentAt > each.ackedAt && ackedAt < Number.POSITIVE_INFINITY);
    const last = own.filter(isLast);
    if ((own.length === 0 && text === '') || last.some((each) => each.text === text)) return;
    const shown = last.map(
      (each) => `${each.text || 'a deletion'} (sent ${trace.at(each.sentAt)}, acknowledged ${trace.at(each.ackedAt)})`,
    );
    trace.fault('retained', `${topic} is ${text || 'not there'}, and should be ${shown.join(' or ')}`);
  }

  /** What a new subscriber gets. @throws Error when the connection ends */
  async #read(node: ChaosNode): Promise<Map<string, string>> {
    const client = await RawClient.open('tcp', this.#world.port, 5, node.address);
    try {
      await client.handshake({});
      const found = new Map<string, string>();
      let last = performance.now();
      client.autoAcknowledge((message) => {
        last = performance.now();
        found.set(message.topic, message.payload.toString());
      });
      client.send(encode.subscribe(5, client.id(), [{ filter: 'kept/#', qos: 1 }]));
      await client.expect('suback');
      await until('silence', () => performance.now() - last > SILENCE_MS);
      return found;
    } finally {
      client.destroy();
    }
  }

  end(): void {
    for (const writer of this.#writers) writer.end();
  }
}

const textOf = (found: Map<string, string>): string =>
  [...found]
    .sort()
    .map(([topic, text]) => `${topic}=${text}`)
    .join(' ');
