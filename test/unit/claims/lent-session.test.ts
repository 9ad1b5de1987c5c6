/** A session between nodes: sources and moments mean the same at both, and what came to both places is there once, in order. */

import { expect, test } from 'vitest';
import { decodePart, encodePart, joinArrived } from '../../../workers/host/lent-session.ts';
import { EMPTY, Message, SOURCES_PER_NODE } from '../../../workers/shared/messages/message.ts';
import { Deliveries } from '../../../workers/shared/session/flight/deliveries.ts';
import type { Delivery } from '../../../workers/shared/session/flight/delivery.ts';

function delivery(source: number, serial: number, { packetId = 0, group = null as Delivery['group'], expiresAt = 0 } = {}): Delivery {
  const message = new Message('a/b', Buffer.from(String(serial)), 1, false, EMPTY, expiresAt, 'someone');
  message.source = source;
  message.serial = serial;
  return { message, qos: 1, retain: false, identifiers: [], packetId, order: 0, isReleased: false, group };
}

const serials = (deliveries: Iterable<Delivery>) => [...deliveries].map(({ message }) => message.serial);

test('sources of the old place, of the new one and of a third node keep their messages apart', () => {
  const [old, own, third] = [7, 9, 11];
  const sent = [2, own * SOURCES_PER_NODE + 3, third * SOURCES_PER_NODE + 2, -1].map((source) => delivery(source, 5));
  const come = decodePart(encodePart(sent, 1_000_000), old, own, 0);
  const disk = old * SOURCES_PER_NODE + SOURCES_PER_NODE - 1;
  expect(come.map(({ message }) => message.source)).toEqual([old * SOURCES_PER_NODE + 2, 3, third * SOURCES_PER_NODE + 2, disk]);
});

test('an expiry is the same moment, and no expiry stays none', () => {
  const come = decodePart(encodePart([delivery(1, 1, { expiresAt: 1_000 }), delivery(1, 2)], 1_000_000), 7, 9, 250);
  expect(come.map(({ message }) => message.expiresAt)).toEqual([1_250, 0]);
});

test('a part has as many deliveries as it has room for, and one at least', () => {
  expect(encodePart([delivery(1, 1), delivery(1, 2)], 1).count).toBe(1);
});

test('what came to both places is there once, behind what the old place had', () => {
  const old = new Deliveries();
  for (const each of [delivery(1, 1, { packetId: 4 }), delivery(1, 2), delivery(1, 3), delivery(2, 9)]) old.add(each);
  joinArrived(old, [delivery(1, 1), delivery(1, 3), delivery(1, 4), delivery(2, 10)]);
  expect(serials(old.inflight.inOrder())).toEqual([1]);
  expect(serials(old.queue)).toEqual([2, 3, 9, 4, 10]);
});

test('messages of a shared group, which went to both places in turns, keep their order', () => {
  const group = { filter: 'a/+', name: 'g' };
  const old = new Deliveries();
  for (const each of [delivery(1, 1, { group }), delivery(1, 2), delivery(1, 4, { group })]) old.add(each);
  joinArrived(old, [delivery(1, 3, { group }), delivery(1, 5, { group })]);
  expect(serials(old.queue)).toEqual([1, 2, 3, 4, 5]);
});
