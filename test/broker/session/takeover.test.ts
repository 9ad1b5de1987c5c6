/** Takeover: one connection for a client identifier, wherever it connects, and nothing lost or repeated by the move. */

import { describe, expect, test } from 'vitest';
import * as encode from '../../kit/encode.ts';
import type { EndpointName, Lane } from '../../kit/lanes.ts';
import { LANES, LANES_5, useSharedLanes } from '../../kit/lanes.ts';
import type { RawClient } from '../../kit/raw-client.ts';
import { quiet, sleep, uid, until } from '../../kit/until.ts';

const kit = useSharedLanes();
const PLACES: EndpointName[] = ['tcp1', 'tcp3', 'ws3', 'tcp3', 'ws1', 'tcp3'];

describe.each(LANES)('takeover, $name', (lane) => {
  test('the older connection is closed, with 0x8E for MQTT 5 [5:MQTT-3.1.4-3, 3:MQTT-3.1.4-2]', async () => {
    const clientId = uid('c');
    let current = await kit.client(lane, { clientId });
    for (const endpoint of PLACES) {
      const next = await kit.client({ ...lane, endpoint }, { clientId });
      await current.refused(0x8e);
      await next.ping();
      current = next;
    }
  });

  test('the session goes to the new connection', async () => {
    const clientId = uid('c');
    const topic = uid('t/');
    const options = { clientId, clean: false, properties: { sessionExpiry: 60 } };
    let current = await kit.client(lane, options);
    await current.subscribe(topic, 1);
    const from = await kit.client(lane);
    for (const endpoint of PLACES) {
      const next = await kit.client({ ...lane, endpoint }, options);
      expect(next.connack!.sessionPresent).toBe(lane.version > 3);
      await current.refused(0x8e);
      await from.publish(topic, endpoint, { qos: 1 });
      expect((await next.take()).payload.toString()).toBe(endpoint);
      // The PUBACK has been read before the next move.
      await next.ping();
      current = next;
    }
  });

  test('a clean start by the new connection drops the session of the old one', async () => {
    const clientId = uid('c');
    const topic = uid('t/');
    const first = await kit.client(lane, { clientId, clean: false, properties: { sessionExpiry: 60 } });
    await first.subscribe(topic, 1);
    const second = await kit.client(lane, { clientId, clean: true });
    expect(second.connack!.sessionPresent).toBe(false);
    await first.refused(0x8e);
    const from = await kit.client(lane);
    await from.publish(topic, 'x', { qos: 1 });
    await second.silence();
  });

  test('many at once for one identifier: one remains', async () => {
    const clientId = uid('c');
    const clients: RawClient[] = [];
    await Promise.all(
      Array.from({ length: 12 }, async (_, index) => {
        const client = await kit.open({ ...lane, endpoint: PLACES[index % PLACES.length]! });
        clients.push(client);
        client.send(encode.connect(lane.version, { clientId }));
      }),
    );
    await until('one is left', () => clients.filter((client) => !client.isClosed).length === 1, 5000);
    await quiet(200, 'the last one ends too', () => clients.every((client) => client.isClosed));
    const [last, ...others] = clients.filter((client) => !client.isClosed);
    expect(others).toEqual([]);
    expect((await last!.expect('connack')).code).toBe(0);
    await last!.ping();
  });
});

/** A client that moves from place to place, keeps what it has received, and answers everything. */
class Wanderer {
  readonly #clientId = uid('wander');
  readonly #lane: Lane;
  /** identifiers of QoS 2 messages between PUBLISH and PUBREL: the client's own session state */
  readonly #received = new Set<number>();
  readonly got: { qos: number; text: string; dup: boolean }[] = [];
  current: RawClient | null = null;
  isPresent = false;

  constructor(lane: Lane) {
    this.#lane = lane;
  }

  /** Connects at a place; an older connection is taken over. */
  async appear(endpoint: EndpointName): Promise<RawClient> {
    const client = await kit.open({ ...this.#lane, endpoint });
    client.tap = (packet) => {
      if (packet.type === 'publish') {
        if (packet.qos === 1) client.send(encode.puback(packet.id));
        const isNew = packet.qos !== 2 || !this.#received.has(packet.id);
        if (isNew) this.got.push({ qos: packet.qos, text: packet.payload.toString(), dup: packet.dup });
        if (packet.qos === 2) {
          this.#received.add(packet.id);
          client.send(encode.pubrec(packet.id));
        }
      } else if (packet.type === 'pubrel') {
        this.#received.delete(packet.id);
        client.send(encode.pubcomp(packet.id));
      } else {
        client.inbox.push(packet);
      }
    };
    client.send(encode.connect(this.#lane.version, { clientId: this.#clientId, clean: false, properties: { sessionExpiry: 60 } }));
    const connack = await client.expect('connack');
    this.isPresent = connack.sessionPresent;
    this.current = client;
    return client;
  }
}

/** Sends `total` messages, one after the other as they are acknowledged, and tells how many are through. */
async function stream(lane: Lane, topic: string, qos: encode.QoS, total: number): Promise<void> {
  const from = await kit.client(lane);
  for (let index = 0; index < total; index++) {
    await from.publish(topic, `${qos}-${index}`, { qos });
    if (index % 10 === 9) await sleep(1);
  }
}

describe.each([LANES[0]!, LANES[2]!, LANES[5]!])('roaming under load, $name', (lane) => {
  const total = 600;

  test.each(['taking over', 'leaving first', 'cutting first'])(
    '%s: QoS 1 at least once, QoS 2 exactly once, each in order',
    async (how) => {
      const [one, two] = [uid('roam/'), uid('roam/')];
      const wanderer = new Wanderer(lane);
      const first = await wanderer.appear('tcp1');
      await first.subscribe([
        { filter: one, qos: 1 },
        { filter: two, qos: 2 },
      ]);
      let isDone = false;
      const streams = Promise.all([stream(LANES[2]!, one, 1, total), stream(LANES[0]!, two, 2, total)]).then(() => {
        isDone = true;
      });
      let moves = 0;
      while (!isDone || moves < 6) {
        const before = wanderer.current!;
        if (how === 'leaving first') await before.disconnect(0).catch(() => undefined);
        if (how === 'cutting first') before.destroy();
        await wanderer.appear(PLACES[moves % PLACES.length]!);
        if (lane.version > 3) expect(wanderer.isPresent).toBe(true);
        moves++;
        await sleep(40);
      }
      await streams;
      const texts = (qos: number): string[] => wanderer.got.filter((message) => message.qos === qos).map((message) => message.text);
      const all = (qos: number): string[] => Array.from({ length: total }, (_, index) => `${qos}-${index}`);
      await until('every message', () => new Set(texts(1)).size === total && new Set(texts(2)).size === total, 10_000).catch(
        (error: Error) => {
          const missing = [...all(1), ...all(2)].filter((text) => !wanderer.got.some((message) => message.text === text));
          throw new Error(`${error.message}; after ${moves} moves missing ${missing.length}: ${missing.slice(0, 20).join(' ')}`);
        },
      );
      expect(texts(2)).toEqual(all(2));
      expect([...new Set(texts(1))]).toEqual(all(1));
    },
    40_000,
  );
});

test('what the client itself sends with QoS 2 while it moves is published once', async () => {
  const lane = LANES_5[2]!;
  const topic = uid('up/');
  const to = await kit.client(lane);
  const got: string[] = [];
  await to.subscribe(topic, 2);
  to.autoAcknowledge((message) => got.push(message.payload.toString()));
  const clientId = uid('c');
  let client = await kit.client(lane, { clientId, clean: false, properties: { sessionExpiry: 60 } });
  for (let index = 0; index < 40; index++) {
    const id = index + 1;
    client.send(encode.publish(5, topic, `${index}`, { qos: 2, id }));
    // At each step of the handshake the client moves, and repeats the step that was not answered.
    if (index % 4 === 1) client = await move(client, clientId, index);
    if (index % 4 === 1) client.send(encode.publish(5, topic, `${index}`, { qos: 2, id, dup: true }));
    await client.expect('pubrec');
    if (index % 4 === 2) client = await move(client, clientId, index);
    client.send(encode.pubrel(id));
    if (index % 4 === 3) client = await move(client, clientId, index);
    if (index % 4 === 3) client.send(encode.pubrel(id));
    await client.expect('pubcomp');
  }
  await until('all', () => got.length >= 40);
  await to.ping();
  expect(got).toEqual(Array.from({ length: 40 }, (_, index) => `${index}`));

  async function move(before: RawClient, id: string, index: number): Promise<RawClient> {
    const next = await kit.client(
      { ...lane, endpoint: PLACES[index % PLACES.length]! },
      { clientId: id, clean: false, properties: { sessionExpiry: 60 } },
    );
    expect(next.connack!.sessionPresent).toBe(true);
    await before.closed();
    return next;
  }
});
