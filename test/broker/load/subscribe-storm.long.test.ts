/** Clients that come back and subscribe thousands of filters at once do not keep the messages of others waiting. */

import { expect, test } from 'vitest';
import * as encode from '../../kit/encode.ts';
import { connected, useBroker } from '../../kit/lanes.ts';
import type { RawClient } from '../../kit/raw-client.ts';
import { sleep, uid, until } from '../../kit/until.ts';
import { WIDE } from './places.ts';

const FILTERS = 10_000;
/** Between two messages, milliseconds. */
const PACE_MS = 5;
/** Longest time of a message (ms). A broker that handles the whole storm first takes as long as the storm. */
const WORST_MS = 2_000;
/** Limit of the median (ms). */
const USUAL_MS = 250;

const held = useBroker(() => ({ endpoints: [{ ...WIDE, serverOptions: { workerGroupSize: 1 } }, WIDE] }));

/** A fifth has wildcards; none matches what is published. */
function filters(prefix: string, count: number): { filter: string }[] {
  return Array.from({ length: count }, (_, i) => ({ filter: `${prefix}/${i}/${i % 5 === 0 ? '+' : 'value'}` }));
}

/** Publishes all the time, and remembers how long each message took; a message that is late counts as what it has waited. */
class Stream {
  readonly #sentAt: number[] = [];
  readonly #took: number[] = [];
  #isOver = false;

  async run(publisher: RawClient, subscriber: RawClient, topic: string): Promise<void> {
    subscriber.tap = (packet) => {
      if (packet.type !== 'publish') return;
      const number = Number(packet.payload);
      this.#took[number] = performance.now() - this.#sentAt[number]!;
    };
    while (!this.#isOver) {
      publisher.send(encode.publish(5, topic, String(this.#sentAt.length)));
      this.#sentAt.push(performance.now());
      await sleep(PACE_MS);
    }
    await until('the last message', () => this.#took.length === this.#sentAt.length, 10_000);
  }

  get sent(): number {
    return this.#sentAt.length;
  }

  /** Ends it, and tells the times of the messages from number `from` on, the shortest first. */
  end(from: number): number[] {
    this.#isOver = true;
    return this.#took.slice(from).sort((a, b) => a - b);
  }
}

for (const [workers, endpoint] of [
  [1, 0],
  [3, 1],
] as const) {
  for (const [clients, perPacket] of [
    [10, 100],
    [1, FILTERS],
  ] as const) {
    test(`${FILTERS} new filters by ${clients} clients, ${perPacket} a packet, ${workers} workers`, async () => {
      const port = held.broker.ports[endpoint]!;
      const topic = uid('live/');
      const prefix = uid('storm/');
      const subscriber = await connected('tcp', port, 5);
      await subscriber.subscribe(topic, 0);
      const publisher = await connected('tcp', port, 5);
      const storm = await Promise.all(Array.from({ length: clients }, () => connected('tcp', port, 5)));
      const stream = new Stream();
      const running = stream.run(publisher, subscriber, topic);
      await until('a steady stream', () => stream.sent >= 100, 10_000);
      const from = stream.sent;
      const acknowledged = storm.map(() => 0);
      const packets = FILTERS / clients / perPacket;
      for (const [n, client] of storm.entries()) {
        client.tap = (packet) => {
          if (packet.type === 'suback') acknowledged[n]!++;
        };
        const mine = filters(`${prefix}/${n}`, FILTERS / clients);
        for (let i = 0; i < packets; i++) client.send(encode.subscribe(5, i + 1, mine.slice(i * perPacket, (i + 1) * perPacket)));
      }
      await until('every SUBACK', () => acknowledged.every((count) => count === packets), 20_000, 5);
      // Messages sent while the last filters were added must have come, too.
      await sleep(4 * PACE_MS);
      const times = stream.end(from);
      await running;
      expect(times.length).toBeGreaterThan(0);
      expect(times.at(-1)).toBeLessThan(WORST_MS);
      expect(times[times.length >> 1]).toBeLessThan(USUAL_MS);
      for (const client of [...storm, subscriber, publisher]) client.destroy();
    });
  }
}
