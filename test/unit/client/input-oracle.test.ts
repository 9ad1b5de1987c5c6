/** However a client's bytes are cut, they lead to what mqtt-packet reads in them: messages routed, answers, and the end with its reason. */

import fc from 'fast-check';
import { expect, test, vi } from 'vitest';
import { inTime } from '../../kit/in-time.ts';
import { BYTES, BYTES_APART, type Cuts, cuts, feed, HURRIED, hurry, WHOLE } from './cuts.ts';
import { MALFORMED, SIZE_MAX } from './malformed.ts';
import { answerOf, connect, type Effects, expected, generate, type Item, parse, seen, streams, type Version } from './oracle.ts';
import { nextIteration, settled, type Wire, World } from './world.ts';

async function watch(world: World, version: 4 | 5, isSlow = false): Promise<Wire> {
  const { client, wire } = world.client(isSlow);
  const options = version === 5 ? { rap: true, rh: 2 } : {};
  const filter = { topic: '#', qos: 2 as const, ...options };
  await feed(client, connect(`watcher-${version}-${isSlow}`, version), WHOLE);
  await settled();
  wire.drain();
  await feed(client, generate({ cmd: 'subscribe', messageId: 1, subscriptions: [filter] } as never, version), WHOLE);
  await settled();
  wire.drain();
  return wire;
}

function published(wire: Wire, version: 4 | 5) {
  return parse(wire.sent, version).flatMap((packet) => (packet.cmd === 'publish' ? seen(packet) : []));
}

/** The real effects in a new world. */
async function effectsOf(items: readonly Item[], version: Version, how: Cuts): Promise<Effects> {
  const world = new World(SIZE_MAX);
  const five = await watch(world, 5);
  const four = await watch(world, 4);
  const slow = await watch(world, 5, true);
  const { client, wire } = world.client();
  await feed(client, Buffer.concat([connect('publisher', version), ...items.map(({ bytes }) => bytes)]), how);
  await settled();
  while (slow.drain()) await settled();
  expect(world.faults).toEqual([]);
  // Bytes that wait for a slow reader are not overwritten.
  expect(published(slow, 5)).toEqual(published(five, 5));
  return {
    routed: published(five, 5),
    routedPlain: published(four, 4).map(({ topic, payload, qos }) => ({ topic, payload, qos })),
    retained: world.retained,
    answers: parse(wire.sent, version).map(answerOf),
    isEnded: wire.isEnded,
  };
}

for (const version of [3, 4, 5] as const) {
  test(`version ${version}: whole, byte by byte and in random chunks`, async () => {
    const check = async (items: Item[], how: Cuts) => {
      const wanted = expected(items, version);
      for (const each of [WHOLE, BYTES, BYTES_APART, how, HURRIED, { ...how, isHurried: true }])
        expect(await effectsOf(items, version, each)).toEqual(wanted);
    };
    await fc.assert(fc.asyncProperty(streams(version), cuts, inTime(15_000, check)), { numRuns: 60 });
  });
}

test('an acknowledgement between messages of one topic is no part of what their subscribers get', async () => {
  for (const version of [3, 4, 5] as const) {
    const message = generate({ cmd: 'publish', topic: 'a', payload: 'x', qos: 0, dup: false, retain: false }, version);
    const held = generate({ cmd: 'publish', topic: 'b', payload: 'y', qos: 2, messageId: 2, dup: false, retain: false }, version);
    const release = generate({ cmd: 'pubrel', messageId: 2 }, version);
    const items = [held, message, release, message, message].map((bytes) => ({ bytes, ends: null }));
    for (const how of [WHOLE, BYTES]) expect(await effectsOf(items, version, how)).toEqual(expected(items, version));
  }
});

test('a packet behind CONNECT, before CONNACK, may be as large as any other', async () => {
  for (const how of [WHOLE, { lengths: [200_000], turns: [false] }]) {
    const world = new World(2 * 1024 * 1024);
    const five = await watch(world, 5);
    const { client } = world.client();
    const large = generate({ cmd: 'publish', topic: 'a', payload: 'x'.repeat(700_000), qos: 0, dup: false, retain: false }, 4);
    await feed(client, Buffer.concat([connect('eager', 4), large]), how);
    await settled();
    expect(published(five, 5)).toHaveLength(1);
  }
});

test('input of clients that wait for their turn at the same time is nobody else’s', async () => {
  const world = new World(SIZE_MAX);
  const five = await watch(world, 5);
  const publishers = ['a', 'b', 'c'].map((name) => ({ name, ...world.client() }));
  for (const { name, client } of publishers) await feed(client, connect(name, 4), WHOLE);
  await settled();
  const rounds = 5;
  const perRound = 20;
  // So much that it does not stand beside a CONNECT, which is kept.
  const text = (n: number): string => `${n}`.padStart(300, '0');
  for (let round = 0; round < rounds; round++) {
    for (const { name, client } of publishers) {
      const packets = Array.from({ length: perRound }, (_, i) =>
        generate({ cmd: 'publish', topic: `${name}/${i % 3}`, payload: text(round * perRound + i), qos: 0, dup: false, retain: false }, 4),
      );
      const bytes = Buffer.concat(packets);
      hurry();
      client.onData(bytes, 0, bytes.length);
      // The rest waits beyond the end of the loop iteration, when the memory of sent bytes is free.
      await nextIteration();
    }
    await settled();
  }
  // Each piece takes a turn of its own.
  for (let i = 0; i < 5; i++) await settled();
  vi.restoreAllMocks();
  const got = published(five, 5).map(({ topic, payload }) => `${topic} ${Buffer.from(payload, 'hex')}`);
  for (const { name } of publishers) {
    const wanted = Array.from({ length: rounds * perRound }, (_, n) => `${name}/${(n % perRound) % 3} ${text(n)}`);
    expect(got.filter((text) => text.startsWith(name))).toEqual(wanted);
  }
  expect(got).toHaveLength(publishers.length * rounds * perRound);
});

test('wiretap shows each packet once, also when the turn is over with it', async () => {
  const world = new World(SIZE_MAX);
  const lines: string[] = [];
  Object.assign(world.context.logger, { info: (message: string) => lines.push(message) });
  const { client } = world.client();
  await feed(client, connect('tapped', 4), WHOLE);
  await settled();
  Object.defineProperty(world.endpoint, 'isTapped', { value: true });
  const packets = ['a', 'b', 'b', 'c', 'a'].map((topic) =>
    generate({ cmd: 'publish', topic, payload: 'x', qos: 0, dup: false, retain: false }, 4),
  );
  await feed(client, Buffer.concat(packets), HURRIED);
  expect(lines.filter((line) => line.includes('PUBLISH'))).toHaveLength(packets.length);
});

for (const { name, versions, reasonCode, bytes } of MALFORMED) {
  test(`${name}: ends with ${reasonCode}, after what came before it`, async () => {
    for (const version of versions) {
      const before = generate({ cmd: 'publish', topic: 'a', payload: 'x', qos: 0, dup: false, retain: false }, version);
      const items = [
        { bytes: before, ends: null },
        { bytes: bytes(version), ends: reasonCode },
        { bytes: before, ends: null },
      ];
      for (const how of [WHOLE, BYTES])
        expect(await effectsOf(items, version, how), `version ${version}`).toEqual(expected(items, version));
    }
  });
}
