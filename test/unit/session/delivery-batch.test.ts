/** Deliveries come out of a batch as they went in, in order, and a batch holds no more than it may. */

import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { QoS } from '../../../src/mqtt/packet.ts';
import { Message } from '../../../workers/shared/messages/message.ts';
import type { Delivery } from '../../../workers/shared/session/flight/delivery.ts';
import { decodeBatch, encodeBatch } from '../../../workers/shared/session/flight/delivery-batch.ts';

const one = fc
  .record({
    topic: fc.string({ unit: 'binary-ascii', minLength: 1, maxLength: 40 }),
    payload: fc.uint8Array({ maxLength: 60 }),
    messageQos: fc.constantFrom<QoS>(0, 1, 2),
    messageRetain: fc.boolean(),
    forward: fc.uint8Array({ maxLength: 20 }),
    expiresAt: fc.constantFrom(0, 2 ** 41 + 0.25),
    from: fc.string({ unit: 'grapheme', maxLength: 10 }),
    source: fc.constantFrom(-1, 0, 1, 77),
    serial: fc.maxSafeNat(),
    qos: fc.constantFrom<1 | 2>(1, 2),
    retain: fc.boolean(),
    identifiers: fc.array(fc.integer({ min: 1, max: 268_435_455 }), { maxLength: 3 }),
    packetId: fc.integer({ min: 0, max: 65_535 }),
    isReleased: fc.boolean(),
    group: fc.option(
      fc.record({ filter: fc.string({ unit: 'binary-ascii', maxLength: 9 }), name: fc.string({ unit: 'grapheme', maxLength: 9 }) }),
    ),
  })
  .map(({ topic, payload, messageQos, messageRetain, forward, expiresAt, from, source, serial, ...rest }): Delivery => {
    const message = new Message(topic, Buffer.from(payload), messageQos, messageRetain, Buffer.from(forward), expiresAt, from);
    message.source = source;
    message.serial = serial;
    return { message, order: 0, ...rest };
  });

const plain = ({ message, ...rest }: Delivery) => ({
  ...rest,
  topic: message.topic,
  payload: message.payload.toString('hex'),
  messageQos: message.qos,
  messageRetain: message.retain,
  forward: message.forward.toString('hex'),
  expiresAt: message.expiresAt,
  from: message.from,
  source: message.source,
  serial: message.serial,
});

test('as they went in', () => {
  fc.assert(
    fc.property(fc.array(one, { minLength: 1, maxLength: 20 }), fc.integer({ min: 1, max: 1500 }), (deliveries, maxBytes) => {
      const out: Delivery[] = [];
      while (out.length < deliveries.length) {
        const batch = encodeBatch(deliveries.slice(out.length), maxBytes);
        expect(batch.count).toBeGreaterThan(0);
        if (batch.count > 1) expect(batch.bytes.length).toBeLessThanOrEqual(maxBytes);
        out.push(...decodeBatch(structuredClone(batch)));
      }
      expect(out.map(plain)).toEqual(deliveries.map(plain));
    }),
  );
});

test('nothing is nothing', () => {
  expect(encodeBatch([], 100)).toMatchObject({ count: 0 });
});
