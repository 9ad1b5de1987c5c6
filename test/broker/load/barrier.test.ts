/** After SUBACK a publish anywhere reaches the subscriber; retained messages that change during the SUBSCRIBE are neither missed nor older than what came (docs/internals/peers.md, Interest and Retained). */

import { expect, test } from 'vitest';
import * as encode from '../../kit/encode.ts';
import { type Lane, useSharedLanes } from '../../kit/lanes.ts';
import type { RawClient } from '../../kit/raw-client.ts';
import { sleep, uid, until } from '../../kit/until.ts';
import { loadSeconds } from './places.ts';

const SECONDS = loadSeconds(3);
const kit = useSharedLanes();
/** Three workers each. */
const PLACES: Lane[] = (['tcp3', 'ws3'] as const).map((endpoint) => ({ name: endpoint, version: 5, endpoint }));

function client(n: number): Promise<RawClient> {
  return kit.client(PLACES[n % 2]!);
}

test(
  'SUBACK barrier: thousands of rounds with exact, wildcard and shared filters',
  async () => {
    const end = performance.now() + SECONDS * 1000;
    let rounds = 0;
    // A machine that has much else to do takes longer for as much.
    const isOver = (): boolean => performance.now() > end && rounds > SECONDS * 100;
    const run = async (lane: number): Promise<void> => {
      const subscribers = [];
      const publishers = [];
      for (let n = 0; n < 4; n++) {
        subscribers.push(await client(lane + n));
        publishers.push(await client(lane + n + 1));
      }
      while (!isOver()) {
        const topic = uid(`s/${lane}/`);
        const kind = Math.floor(Math.random() * 3);
        const filter = kind === 0 ? topic : kind === 1 ? `${topic.slice(0, topic.lastIndexOf('/'))}/+` : `$share/g/${topic}`;
        const subscriber = subscribers[Math.floor(Math.random() * 4)]!;
        const publisher = publishers[Math.floor(Math.random() * 4)]!;
        await subscriber.subscribe(filter, 1);
        publisher.send(encode.publish(5, topic, topic));
        const [message] = await subscriber.publishes(1, 3000);
        expect(message!.payload.toString()).toBe(topic);
        await subscriber.unsubscribe(filter);
        rounds++;
      }
    };
    await Promise.all([0, 1, 2, 3].map(run));
    expect(rounds).toBeGreaterThan(SECONDS * 100);
  },
  SECONDS * 1000 + 30_000,
);

test(
  'retained messages that are updated all the time: the first is not older than the last acknowledged, the others follow without a gap',
  async () => {
    const end = performance.now() + SECONDS * 1000;
    let joins = 0;
    const isOver = (): boolean => performance.now() > end && joins > SECONDS * 10;
    let areReadersGone = false;
    const topics = Array.from({ length: 3 }, () => uid('kept/'));
    const acknowledged = topics.map(() => -1);
    const writers = topics.map(async (topic, index) => {
      const publisher = await client(index);
      for (let number = 0; !areReadersGone; number++) {
        // Bursts, so that messages are on the way side by side.
        const burst = Array.from({ length: 1 + Math.floor(Math.random() * 4) }, (_, at) =>
          encode.publish(5, topic, String(number + at), { qos: 0, retain: true }),
        );
        publisher.send(...burst);
        number += burst.length;
        await publisher.publish(topic, String(number), { qos: 1, retain: true });
        acknowledged[index] = number;
      }
      // The broker serves other files too.
      await publisher.publish(topic, '', { qos: 1, retain: true });
    });
    const reader = async (n: number): Promise<void> => {
      while (!isOver()) {
        const one = await client(n + joins);
        const before = [...acknowledged];
        const got = topics.map((): { number: number; isBefore: boolean }[] => []);
        let isSubscribed = false;
        one.tap = (packet) => {
          if (packet.type === 'suback') isSubscribed = true;
          else if (packet.type === 'publish')
            got[topics.indexOf(packet.topic)]?.push({ number: Number(packet.payload), isBefore: !isSubscribed });
        };
        const filters = Math.random() < 0.5 ? ['kept/+'] : topics;
        one.send(
          encode.subscribe(
            5,
            1,
            filters.map((filter) => ({ filter })),
          ),
        );
        await sleep(5 + Math.random() * 20);
        // From SUBACK on nothing is missed; what came before it came as it pleased.
        const came = (index: number): boolean =>
          got[index]!.some(({ isBefore }) => !isBefore) || (got[index]!.at(-1)?.number ?? -1) >= acknowledged[index]!;
        await until('a retained message', () => isSubscribed && topics.every((_, index) => before[index]! < 0 || came(index)), 5000, 5);
        for (const [index, list] of got.entries()) {
          if (before[index]! < 0) continue;
          const line = list.map(({ number, isBefore }) => (isBefore ? `(${number})` : number)).join(' ');
          expect(list[0]!.number, 'older than what was acknowledged before').toBeGreaterThanOrEqual(before[index]!);
          for (let at = 1; at < list.length; at++) {
            const step = list[at]!.number - list[at - 1]!.number;
            if (step < 0) throw new Error(`older after newer: ${line}`);
            if (step > 1 && !list[at - 1]!.isBefore) throw new Error(`missed after SUBACK: ${line}`);
          }
        }
        joins++;
        one.destroy();
      }
    };
    await Promise.all([0, 1, 2, 3].map(reader)).finally(() => {
      areReadersGone = true;
    });
    await Promise.all(writers);
    expect(joins).toBeGreaterThan(SECONDS * 10);
  },
  SECONDS * 1000 + 30_000,
);
