/** Packets to another node: small messages stay behind the large ones of their topic, and pass those of other topics. */

import { expect, test } from 'vitest';
import { Ledger } from '../../../workers/relay/kept/ledger.ts';
import { LANE, LARGE_BYTES } from '../../../workers/relay/packets.ts';
import { RemoteNode } from '../../../workers/relay/remote-node.ts';
import { EMPTY, Message } from '../../../workers/shared/messages/message.ts';

test.each([
  [0, LANE.once, LANE.largeOnce],
  [1, LANE.queued, LANE.largeQueued],
] as const)('QoS %i', (qos, small, large) => {
  const lanes: number[] = [];
  const write = (lane: number) => lanes.push(lane) * 0 + 1_000_000;
  const node = new RemoteNode(1, 'b', { bytes: 1e9, messages: 1e6 }, new Ledger(), { now: () => 0, write, touched() {} });
  node.up();
  node.await(true);
  let serial = 0;
  const sent = (topic: string, size: number): number => {
    const message = new Message(topic, Buffer.alloc(size), qos, false, EMPTY, 0, 'from');
    [message.source, message.serial] = [1, ++serial];
    node.send('default', { message, toSubscribers: true, groups: null, store: false }, null);
    node.flush();
    return lanes.at(-1)!;
  };
  expect(sent('a', 1)).toBe(small);
  const lane = sent('a', LARGE_BYTES);
  expect(lane).toBeGreaterThanOrEqual(large);
  // A link delivers a lane in order, and lanes in any order.
  expect(sent('a', 1)).toBe(lane);
  expect(sent('another topic', 1)).toBe(small);
  node.acked(lane, 1);
  expect(sent('a', 1)).toBe(lane);
  node.acked(lane, 2);
  expect(sent('a', 1)).toBe(small);
});

test('a flood within one loop iteration counts at once: QoS 0 beyond 8 MiB is dropped, QoS 1 to a node that is away beyond `hold`', () => {
  const hooks = { now: () => 0, write: () => 1, touched() {} };
  const node = new RemoteNode(1, 'b', { bytes: 50_000, messages: 1e6 }, new Ledger(), hooks);
  const flood = (qos: 0 | 1, count: number): void => {
    const message = new Message('a', Buffer.alloc(10_000), qos, false, EMPTY, 0, 'from');
    for (let n = 0; n < count; n++) node.send('default', { message, toSubscribers: true, groups: null, store: false }, null);
  };
  flood(1, 20);
  expect(node.lost.hold).toBe(16);
  node.up();
  flood(0, 2_000);
  expect(node.waitingBytes).toBeLessThan(8 * 1024 * 1024 + 11_000);
  expect(node.lost.slow).toBe(2_004 - node.waiting);
});

test('comparisons of retained messages wait in bounded memory, go in a lane of their own, and end with the session of the link', () => {
  const lanes = new Set<number>();
  let room: number | null = null;
  const write = (lane: number) => {
    if (room !== null) lanes.add(lane);
    return room;
  };
  const node = new RemoteNode(1, 'b', { bytes: 50_000, messages: 1e6 }, new Ledger(), { now: () => 0, write, touched() {} });
  node.compare(Buffer.alloc(100));
  expect(node.waitingBytes).toBe(0);
  node.up();
  for (let n = 0; n < 100; n++) node.compare(Buffer.alloc(1024 * 1024));
  expect(node.waitingBytes).toBeLessThan(34 * 1024 * 1024);
  node.flush();
  room = 1e9;
  node.flush();
  expect([...lanes]).toEqual([LANE.retained]);
  node.down();
  expect([node.waiting, node.waitingBytes, node.lost.interrupted]).toEqual([0, 0, 0]);
});
