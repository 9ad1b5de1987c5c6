/** A packet that has begun must come: a slow one may take long, one that drips may not, and time in which it is not read does not count. */

import { expect, test } from 'vitest';
import * as encode from '../../kit/encode.ts';
import { settled, World } from './world.ts';

/** Half seconds. */
const ALLOWED = 60;

async function online() {
  const world = new World(1000);
  const { client } = world.client();
  const say = (bytes: Buffer): void => client.onData(bytes, 0, bytes.length);
  say(encode.connect(5, { clientId: 'c', keepAlive: 0 }));
  await settled();
  expect(client.isOnline).toBe(true);
  return { client, say };
}

const packet = encode.publish(5, 'a', Buffer.alloc(900), { qos: 0 });

test('who sends whole packets, or nothing, does not drip', async () => {
  const { client, say } = await online();
  for (let tick = 0; tick < 1000; tick++) {
    if (tick % 100 === 0) say(packet);
    expect(client.isDripping(tick)).toBe(false);
  }
});

test('a byte now and then makes a packet no younger', async () => {
  const { client, say } = await online();
  say(packet.subarray(0, 10));
  for (let tick = 0; tick <= ALLOWED; tick++) {
    expect(client.isDripping(tick), String(tick)).toBe(false);
    say(packet.subarray(10 + tick, 11 + tick));
  }
  expect(client.isDripping(ALLOWED + 1)).toBe(true);
});

test('a KiB a second is fast enough', async () => {
  const { client, say } = await online();
  const large = encode.publish(5, 'a', Buffer.alloc(400 * 512), { qos: 0 });
  for (let tick = 0; tick < 400; tick++) {
    say(large.subarray(tick * 512, (tick + 1) * 512));
    expect(client.isDripping(tick)).toBe(false);
  }
});

test('the next packet has its own time', async () => {
  const { client, say } = await online();
  say(packet.subarray(0, 10));
  for (let tick = 0; tick < ALLOWED; tick++) client.isDripping(tick);
  say(Buffer.concat([packet.subarray(10), packet.subarray(0, 10)]));
  expect(client.isDripping(ALLOWED + 1)).toBe(false);
  expect(client.isDripping(ALLOWED + 2)).toBe(false);
});
