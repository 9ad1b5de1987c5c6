/** Subscriptions that come and go, and shared members that leave, while messages flow between workers. */

import { describe, expect, test } from 'vitest';
import * as encode from '../../kit/encode.ts';
import type { EndpointName, Lane } from '../../kit/lanes.ts';
import { LANES, useSharedLanes } from '../../kit/lanes.ts';
import type { RawClient } from '../../kit/raw-client.ts';
import { quiet, sleep, uid, until } from '../../kit/until.ts';

const kit = useSharedLanes();
const PLACES: EndpointName[] = ['tcp3', 'ws3', 'tcp1', 'ws1', 'tcp3'];

/** Publishes 0, 1, 2, … one after the other until it is stopped; `sent` is what has been acknowledged. */
class Source {
  sent = 0;
  #isStopped = false;
  #done: Promise<void> = Promise.resolve();

  static async start(lane: Lane, topic: string, qos: encode.QoS): Promise<Source> {
    const source = new Source();
    const client = await kit.client(lane);
    source.#done = (async () => {
      while (!source.#isStopped) {
        await client.publish(topic, `${source.sent}`, { qos });
        source.sent++;
      }
    })();
    return source;
  }

  /** Stops and returns how many were sent. */
  async stop(): Promise<number> {
    this.#isStopped = true;
    await this.#done;
    return this.sent;
  }
}

const range = (from: number, to: number): number[] => Array.from({ length: to - from }, (_, index) => from + index);

describe.each([LANES[0]!, LANES[2]!, LANES[5]!])('churn, $name', (lane) => {
  test('from the SUBACK on every message comes, until the UNSUBSCRIBE', async () => {
    const topic = uid('churn/');
    const source = await Source.start(lane, topic, 1);
    await Promise.all(
      PLACES.map(async (endpoint) => {
        const client = await kit.client({ ...lane, endpoint });
        for (let round = 0; round < 15; round++) {
          const got: number[] = [];
          client.tap = (packet) => {
            if (packet.type === 'publish') {
              client.send(encode.puback(packet.id));
              got.push(Number(packet.payload));
            } else client.inbox.push(packet);
          };
          await client.subscribe(topic, 1);
          // The one under way at the SUBACK may have been before it; from the next one on all must come.
          const first = source.sent + 1;
          await until('three more', () => source.sent >= first + 3, 5000, 2);
          const last = source.sent - 1;
          await until('what was acknowledged after the SUBACK', () => (got.at(-1) ?? -1) >= last, 5000, 2);
          await client.unsubscribe(topic);
          const relevant = got.filter((n) => n >= first);
          expect(relevant).toEqual(range(first, got.at(-1)! + 1));
        }
      }),
    );
    await source.stop();
  }, 30_000);

  test('a group whose members are cut off one by one loses no QoS 1 message', async () => {
    const topic = uid('churn/');
    const filter = `$share/g/${topic}`;
    const got = new Set<number>();
    const join = async (endpoint: EndpointName): Promise<RawClient> => {
      const member = await kit.client({ ...lane, endpoint }, { properties: lane.version === 5 ? { receiveMaximum: 10 } : {} });
      member.tap = (packet) => {
        if (packet.type !== 'publish') {
          member.inbox.push(packet);
          return;
        }
        got.add(Number(packet.payload));
        // Every fifth message is acknowledged late, so that members leave with some in flight.
        if (Number(packet.payload) % 5 === 0) setTimeout(() => !member.isClosed && member.send(encode.puback(packet.id)), 30);
        else member.send(encode.puback(packet.id));
      };
      await member.subscribe(filter, 1);
      return member;
    };
    const anchor = await join('tcp1');
    const members = await Promise.all(PLACES.map(join));
    const source = await Source.start({ ...lane, endpoint: 'tcp3' }, topic, 1);
    for (let round = 0; round < 20; round++) {
      await sleep(15);
      const index = round % members.length;
      members[index]!.destroy();
      members[index] = await join(PLACES[index]!);
    }
    const total = await source.stop();
    await until('all', () => got.size >= total, 8000).catch((error: Error) => {
      throw new Error(
        `${error.message}; of ${total} missing: ${range(0, total)
          .filter((n) => !got.has(n))
          .slice(0, 20)
          .join(' ')}`,
      );
    });
    await anchor.disconnect().catch(() => undefined);
  }, 30_000);

  test('a group whose members leave with UNSUBSCRIBE hands each message to exactly one', async () => {
    const topic = uid('churn/');
    const filter = `$share/g/${topic}`;
    const got: number[] = [];
    const members = await Promise.all(PLACES.map((endpoint) => kit.client({ ...lane, endpoint })));
    for (const member of members) {
      member.autoAcknowledge((message) => got.push(Number(message.payload)));
      await member.subscribe(filter, 2);
    }
    const source = await Source.start({ ...lane, endpoint: 'tcp3' }, topic, 2);
    for (let round = 0; round < 24; round++) {
      const member = members[1 + (round % (members.length - 1))]!;
      await member.unsubscribe(filter);
      await sleep(5);
      await member.subscribe(filter, 2);
    }
    const total = await source.stop();
    await until('all', () => got.length >= total, 8000);
    await quiet(50, 'a repeated message', () => got.length > total);
    expect(got.toSorted((a, b) => a - b)).toEqual(range(0, total));
  }, 30_000);

  test('two that retain on one topic: everybody ends with the same message', async () => {
    const topic = uid('churn/');
    const writers = await Promise.all(PLACES.map((endpoint) => kit.client({ ...lane, endpoint })));
    const watcher = await kit.client(lane);
    const seen: string[] = [];
    watcher.autoAcknowledge((message) => seen.push(message.payload.toString()));
    await watcher.subscribe(topic, 1);
    await Promise.all(
      writers.map(async (writer, index) => {
        for (let n = 0; n < 40; n++) await writer.publish(topic, `${index}-${n}`, { qos: 1, retain: true });
      }),
    );
    await until('all', () => seen.length >= writers.length * 40);
    const finals = await Promise.all(
      PLACES.map(async (endpoint) => {
        const late = await kit.client({ ...lane, endpoint });
        await late.subscribe(topic, 1);
        return (await late.take()).payload.toString();
      }),
    );
    expect(new Set(finals).size).toBe(1);
    expect(finals[0]).toMatch(/-39$/);
  }, 30_000);
});
