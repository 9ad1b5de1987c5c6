/** Memory of what was read is used again, but not while anybody refers to it. */

import type { Packet as TheirPacket } from 'mqtt-packet';
import { expect, test } from 'vitest';
import type { Client } from '../../../workers/endpoint/client/client.ts';
import { arena } from '../../../workers/endpoint/client/output/arena.ts';
import { feed, WHOLE } from './cuts.ts';
import { connect, generate, parse } from './oracle.ts';
import { settled, type Wire, World } from './world.ts';

const SIZES = [10, 5000, 70_000];

async function online(world: World, name: string, isSlow = false): Promise<{ client: Client; wire: Wire }> {
  const made = world.client(isSlow);
  await feed(made.client, connect(name, 4), WHOLE);
  await settled();
  made.wire.drain();
  return made;
}

async function subscriber(world: World, isSlow = false): Promise<{ client: Client; wire: Wire }> {
  const made = await online(world, 'subscriber', isSlow);
  const packet = { cmd: 'subscribe', messageId: 1, subscriptions: [{ topic: '#', qos: 2 }] };
  await feed(made.client, generate(packet as TheirPacket, 4), WHOLE);
  await settled();
  made.wire.drain();
  return made;
}

function publish(payload: Buffer, qos: 0 | 1 | 2): Buffer {
  return generate({ cmd: 'publish', topic: 'a', payload, qos, dup: false, retain: false, messageId: 1 }, 4);
}

function payloads(wire: Wire): string[] {
  return parse(wire.sent, 4).flatMap((packet) => (packet.cmd === 'publish' ? packet.payload.toString('hex') : []));
}

test.each(SIZES)('%i bytes that a slow reader has not taken stay as they are', async (size) => {
  const world = new World(1_000_000);
  const { wire } = await subscriber(world, true);
  const { client } = await online(world, 'publisher');
  const sent = [1, 2, 3, 4].map((n) => Buffer.alloc(size, n));
  for (const payload of sent) {
    await feed(client, publish(payload, 0), WHOLE);
    await settled();
  }
  for (let i = 0; i < 8; i++) {
    wire.drain();
    await settled();
  }
  expect(payloads(wire)).toEqual(sent.map((payload) => payload.toString('hex')));
});

test.each(SIZES)('a message of %i bytes in flight stays as it is', async (size) => {
  const world = new World(1_000_000);
  const { client: receiver } = await subscriber(world);
  const { client } = await online(world, 'publisher');
  for (const qos of [1, 2] as const) await feed(client, publish(Buffer.alloc(size, qos), qos), WHOLE);
  await settled();
  for (let i = 0; i < 20; i++) await feed(client, publish(Buffer.alloc(size, 0xdd), 0), WHOLE);
  await settled();
  const kept = receiver.session!.inflight.inOrder().map(({ message }) => message.payload.toString('hex'));
  expect(kept).toEqual([1, 2].map((qos) => Buffer.alloc(size, qos).toString('hex')));
});

test.each(SIZES.slice(0, 2))('a will of %i bytes stays as it is', async (size) => {
  const world = new World(1_000_000);
  const { wire } = await subscriber(world);
  const { client } = world.client();
  const will = { topic: 'w', payload: Buffer.alloc(size, 5), qos: 0 as const, retain: false };
  const packet = { cmd: 'connect', protocolId: 'MQTT', protocolVersion: 4, clientId: 'dies', clean: true, keepalive: 0, will };
  await feed(client, generate(packet as TheirPacket, 4), WHOLE);
  await settled();
  client.onClose(true);
  await settled();
  expect(payloads(wire)).toEqual([will.payload.toString('hex')]);
});

test.each(SIZES)('memory of QoS 0 with %i bytes is used again', async (size) => {
  const world = new World(1_000_000);
  const { wire } = await subscriber(world);
  const { client } = await online(world, 'publisher');
  const known = new Set<ArrayBufferLike>();
  const bytes = publish(Buffer.alloc(size, 1), 0);
  for (let i = 0; i < 100; i++) {
    await feed(client, bytes, { lengths: [60_000], turns: [false] });
    await settled();
    for (const { buffer } of arena.unused()) {
      // Slabs that other tests have pinned are full by then.
      if (i > 30 && !known.has(buffer)) throw new Error(`after ${i} messages there is new memory`);
      known.add(buffer);
    }
  }
  expect(payloads(wire)).toHaveLength(100);
});
