/** Messages in flight are found by identifier, and repeated in the order of sending, whatever the order of acknowledgements. */

import fc from 'fast-check';
import { expect, test } from 'vitest';
import { EMPTY, Message } from '../../../workers/shared/messages/message.ts';
import type { Delivery } from '../../../workers/shared/session/flight/delivery.ts';
import { InFlight } from '../../../workers/shared/session/flight/in-flight.ts';

function delivery(): Delivery {
  const message = new Message('t', EMPTY, 1, false, EMPTY, 0, '');
  return { message, qos: 1, retain: false, identifiers: [], packetId: 0, order: 0, isReleased: false, group: null };
}

/** A client that is sent messages, of which it acknowledges any at any time. */
const acknowledgements = fc.array(
  fc.record({ sent: fc.integer({ min: 0, max: 40 }), acknowledged: fc.array(fc.nat(200), { maxLength: 40 }) }),
  { maxLength: 40 },
);

test('identifiers are given once, and found until they come back', () => {
  fc.assert(
    fc.property(acknowledgements, fc.integer({ min: 1, max: 65_535 }), (rounds, first) => {
      const inFlight = new InFlight();
      const known = new Map<number, Delivery>();
      let next = first;
      for (const { sent, acknowledged } of rounds) {
        for (let i = 0; i < sent && known.size < 100; i++) {
          const id = inFlight.freeId(next);
          next = id === 65_535 ? 1 : id + 1;
          expect(id).toBeGreaterThanOrEqual(1);
          expect(id).toBeLessThanOrEqual(65_535);
          expect(known.has(id)).toBe(false);
          const one = delivery();
          inFlight.add(one, id);
          expect(one.packetId).toBe(id);
          known.set(id, one);
        }
        for (const nth of acknowledged) {
          const id = [...known.keys()][nth] ?? nth;
          expect(inFlight.get(id)).toBe(known.get(id));
          expect(inFlight.delete(id)).toBe(known.delete(id));
        }
        expect(inFlight.size).toBe(known.size);
        expect(inFlight.inOrder()).toEqual([...known.values()]);
      }
    }),
  );
});

test('a session that comes from elsewhere brings its identifiers, whichever they are', () => {
  fc.assert(
    fc.property(fc.uniqueArray(fc.integer({ min: 1, max: 65_535 }), { maxLength: 200 }), (ids) => {
      const inFlight = new InFlight();
      for (const id of ids) inFlight.add(delivery(), id);
      expect(inFlight.inOrder().map(({ packetId }) => packetId)).toEqual(ids);
      for (const id of ids) expect(inFlight.get(id)?.packetId).toBe(id);
    }),
  );
});

test('an identifier that is used again has its new message', () => {
  const inFlight = new InFlight();
  const second = delivery();
  inFlight.add(delivery(), 7);
  inFlight.add(second, 7);
  expect(inFlight.size).toBe(1);
  expect(inFlight.get(7)).toBe(second);
});

test('all 65535 identifiers can be in flight', () => {
  const inFlight = new InFlight();
  inFlight.nextId = 40_000;
  for (let i = 0; i < 65_535; i++) inFlight.add(delivery(), inFlight.takeId());
  expect(inFlight.nextId).toBe(40_000);
  expect(inFlight.size).toBe(65_535);
  expect(new Set(inFlight.inOrder().map(({ packetId }) => packetId)).size).toBe(65_535);
  inFlight.delete(12);
  expect(inFlight.freeId(65_535)).toBe(12);
});

test('one message that is never acknowledged does not make the memory grow', () => {
  const inFlight = new InFlight();
  inFlight.add(delivery(), inFlight.freeId(1));
  inFlight.nextId = 2;
  const seen = new Set<number>();
  for (let i = 0; i < 100_000; i++) {
    const id = inFlight.takeId();
    seen.add(id);
    inFlight.add(delivery(), id);
    inFlight.delete(id);
  }
  // One identifier of each turn of the smallest ring is passed over.
  expect(seen.size).toBe(65_535 - 65_536 / 16);
  expect(inFlight.inOrder().map(({ packetId }) => packetId)).toEqual([1]);
});
