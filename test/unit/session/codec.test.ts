/** Every shape that messages.db stores comes back as it was: through the codec, and through the file after it was closed. */

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { LastingClock } from '../../../src/kernel/lasting-clock.ts';
import {
  decodeState,
  decodeSubscription,
  encodeState,
  encodeSubscription,
  fromDeliveryRow,
  fromRetainedRow,
  type SessionState,
  toDeliveryRow,
  toRetainedRow,
} from '../../../workers/host/disk/codec.ts';
import { MessageDisk } from '../../../workers/host/disk/message-disk.ts';
import { Message, type WireMessage } from '../../../workers/shared/messages/message.ts';
import type { WireDelivery, WireSubscription } from '../../../workers/shared/wire/controls.ts';
import { oldFile } from './old-file.ts';

/** All of Unicode, and what JSON or SQL could take for their own. */
const text = fc.oneof(
  fc.string({ unit: 'binary', maxLength: 40 }),
  fc.constantFrom(
    '',
    '$bytes',
    '{"$bytes":"AA=="}',
    'null',
    "'; DROP TABLE session; --",
    '[object Object]',
    '\u0000',
    '\ud83d\ude00',
    '"\\',
  ),
);
/** A topic is kept as the latin1 form of its UTF-8 bytes. */
const topic = text.map((name) => Buffer.from(name).latin1Slice());
/** As they come from a thread (Uint8Array), from a client (Buffer), or as a part of something larger. */
const bytes = fc.uint8Array({ maxLength: 64 }).chain((content) =>
  fc
    .constantFrom<(content: Uint8Array) => Uint8Array>(
      (each) => each,
      (each) => Buffer.from(each),
      (each) => Buffer.concat([Buffer.from('before'), each, Buffer.from('after')]).subarray(6, 6 + each.length),
      (each) => new Uint8Array(Buffer.concat([Buffer.from('before'), each])).subarray(6),
    )
    .map((form) => form(content)),
);
const qos = fc.constantFrom(0 as const, 1 as const, 2 as const);
const whole = fc.oneof(fc.nat(), fc.maxSafeNat(), fc.constantFrom(0, 1, 2 ** 31, 2 ** 32 - 1, Number.MAX_SAFE_INTEGER));

const message: fc.Arbitrary<WireMessage> = fc.record({
  topic,
  payload: bytes,
  qos,
  retain: fc.boolean(),
  forward: bytes,
  expiresAt: whole,
  from: text,
  source: whole,
  serial: whole,
});
const will = fc.record({ message, delayMs: whole, expirySeconds: fc.oneof(fc.constant(-1), whole) });
const state: fc.Arbitrary<SessionState> = fc.record({
  namespace: text,
  clientId: text,
  holder: fc.option(fc.record({ user: fc.option(text, { nil: null }), username: fc.option(text, { nil: null }), address: text }), {
    nil: null,
  }),
  endpoint: text,
  expirySeconds: whole,
  disconnectedAt: whole,
  isDurable: fc.boolean(),
  maxQueued: whole,
  nextPacketId: fc.integer({ min: 1, max: 65_535 }),
  will: fc.option(will, { nil: null }),
});
const subscription: fc.Arbitrary<WireSubscription> = fc.record({
  filter: topic,
  group: fc.option(text, { nil: null }),
  qos,
  noLocal: fc.boolean(),
  retainAsPublished: fc.boolean(),
  retainHandling: qos,
  identifier: whole,
});
const delivery: fc.Arbitrary<WireDelivery> = fc.record({
  message,
  qos: fc.constantFrom(1 as const, 2 as const),
  retain: fc.boolean(),
  identifiers: fc.array(whole, { maxLength: 4 }),
  packetId: fc.integer({ min: 0, max: 65_535 }),
  isReleased: fc.boolean(),
  group: fc.option(fc.record({ filter: topic, name: text }), { nil: null }),
});

/** Bytes by their content: which kind of view carries them does not matter. */
function plain<T>(value: T): unknown {
  if (value instanceof Uint8Array) return `bytes ${Buffer.from(value).toString('hex')}`;
  if (Array.isArray(value)) return value.map(plain);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, each]) => [key, plain(each)]));
}
/** A delivery as the file keeps it: without its publisher. */
const kept = (each: WireDelivery): unknown => plain({ ...each, message: { ...each.message, from: '' } });
const asMessage = (wire: WireMessage): Message =>
  new Message(wire.topic, Buffer.from(wire.payload), wire.qos, true, Buffer.from(wire.forward), wire.expiresAt, wire.from);
const content = ({ topic: name, payload, qos: level, forward, expiresAt, from, retain }: Message): unknown =>
  plain({ name, payload, level, forward, expiresAt, from, retain });

describe('the codec', () => {
  test('keeps the state of a session with its will', () => {
    fc.assert(fc.property(state, (each) => void expect(plain(decodeState(encodeState(each)))).toEqual(plain(each))));
  });

  test('does so again and again: what was read is written as what was given', () => {
    fc.assert(fc.property(state, (each) => void expect(encodeState(decodeState(encodeState(each)))).toBe(encodeState(each))));
  });

  test('keeps subscriptions', () => {
    fc.assert(fc.property(subscription, (each) => void expect(decodeSubscription(encodeSubscription(each))).toEqual(each)));
  });

  test('keeps deliveries', () => {
    fc.assert(fc.property(delivery, (each) => void expect(plain(fromDeliveryRow(toDeliveryRow(each)))).toEqual(kept(each))));
  });

  test('keeps retained messages', () => {
    fc.assert(
      fc.property(
        message,
        (each) => void expect(content(fromRetainedRow(toRetainedRow(asMessage(each))))).toEqual(content(asMessage(each))),
      ),
    );
  });
});

/** Moments are kept as they are: what becomes of them is the lasting clock's test. */
class StillClock extends LastingClock {
  override toLasting(moment: number): number {
    return moment;
  }
  override toSteady(moment: number): number {
    return moment;
  }
}

describe('the file', () => {
  let folder = '';
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'fluxmq-codec-'));
  });
  afterEach(() => rmSync(folder, { recursive: true, force: true }));

  function written<T>(write: (disk: MessageDisk) => void, read: (disk: MessageDisk) => T): T {
    let disk = new MessageDisk(folder, () => new StillClock(null));
    write(disk);
    disk.close();
    disk = new MessageDisk(folder, () => new StillClock(null));
    const found = read(disk);
    disk.close();
    rmSync(folder, { recursive: true, force: true });
    return found;
  }

  test('keeps a session with all that belongs to it', () => {
    const ids = fc.uniqueArray(fc.integer({ min: 1, max: 65_535 }), { maxLength: 4 });
    fc.assert(
      fc.property(state, subscription, delivery, ids, (session, one, message_, received) => {
        const { namespace, clientId } = session;
        const found = written(
          (disk) => {
            disk.putSession(session);
            disk.putSubscription(namespace, clientId, one);
            disk.putDelivery(namespace, clientId, message_);
            for (const id of received) disk.putReceived(namespace, clientId, id);
          },
          (disk) => ({ names: disk.sessions(), session: disk.load(namespace, clientId) }),
        );
        expect(found.names).toEqual([{ namespace, client: clientId }]);
        const { deliveries, ...rest } = found.session!;
        expect(plain(rest)).toEqual(plain({ ...session, subscriptions: [one], received: received.toSorted((a, b) => a - b) }));
        expect(deliveries.map(plain)).toEqual([kept(message_)]);
      }),
      { numRuns: 40 },
    );
  }, 60_000);

  test('keeps retained messages', () => {
    fc.assert(
      fc.property(text, message, (namespace, wire) => {
        const given = asMessage(wire);
        const found = written(
          (disk) => disk.putRetained(namespace, given),
          (disk) => [...disk.retained()],
        );
        expect(found.map((each) => [each.namespace, content(each.message)])).toEqual([[namespace, content(given)]]);
      }),
      { numRuns: 40 },
    );
  }, 60_000);

  test('of version 2 is read by its rule: the bytes of a will in either form', () => {
    const file = oldFile(folder, 2);
    const payload = Buffer.from([0, 255, 128, 65]);
    const forward = Buffer.from([3, 0, 1, 97]);
    const put = (client: string, form: (bytes: Buffer) => unknown) => {
      const written = {
        topic: 'w',
        qos: 1,
        retain: true,
        expiresAt: 0,
        from: 'x',
        source: 0,
        serial: 0,
        payload: form(payload),
        forward: form(forward),
      };
      const session = { namespace: 'n', clientId: client, will: { message: written, delayMs: 5, expirySeconds: -1 } };
      file.prepare('INSERT INTO session VALUES (?, ?, ?)').run('n', client, JSON.stringify(session));
    };
    put('text', (each) => each.toString('base64'));
    put('list', (each) => each);
    file.close();
    for (let start = 0; start < 2; start++) {
      const disk = new MessageDisk(folder);
      for (const client of ['text', 'list']) {
        const found = disk.load('n', client)!.will!;
        expect(plain([found.message.payload, found.message.forward, found.delayMs])).toEqual(plain([payload, forward, 5]));
        disk.putSession(disk.load('n', client)!);
      }
      disk.close();
    }
  });
});
