/** A property block is plain exactly when the strict reader accepts it and every property passes unaltered. */

import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { writeRemainingLength } from '../../../src/mqtt/framer.ts';
import { plainPropertiesEnd, readPublishProperties } from '../../../src/mqtt/properties.ts';
import { ByteReader } from '../../../src/mqtt/reader.ts';

const id = fc.constantFrom(0x01, 0x02, 0x03, 0x08, 0x09, 0x0b, 0x23, 0x26, 0x26, 0x26, 0x27);
const text = fc.oneof(
  fc.string({ maxLength: 20 }),
  fc.string({ unit: 'binary', maxLength: 20 }),
  fc.constantFrom('', 'a/b', 'a/+', '#', '\0', '\x7f', ' ~', 'x'.repeat(200)),
);

function string(value: string): Buffer {
  const bytes = Buffer.from(value);
  return Buffer.concat([Buffer.from([bytes.length >> 8, bytes.length & 255]), bytes]);
}

const property = fc.tuple(id, text, text, fc.uint8Array({ minLength: 4, maxLength: 4 })).map(([kind, name, value, bytes]) => {
  const head = Buffer.from([kind]);
  if (kind === 0x26) return Buffer.concat([head, string(name), string(value)]);
  if (kind === 0x03 || kind === 0x08 || kind === 0x09) return Buffer.concat([head, string(name)]);
  if (kind === 0x01) return Buffer.concat([head, Buffer.from([bytes[0]! & 3])]);
  return Buffer.concat([head, bytes.subarray(0, kind === 0x23 ? 2 : kind === 0x0b ? 1 : 4)]);
});

function block(properties: readonly Buffer[], behind: Buffer): { buf: Buffer; at: number } {
  const body = Buffer.concat(properties);
  const head = Buffer.alloc(4);
  const size = writeRemainingLength(head, 0, body.length);
  return { buf: Buffer.concat([Buffer.from([0xee]), head.subarray(0, size), body, behind]), at: 1 };
}

/** The properties by the strict reader; null: it refuses. */
function strict(buf: Buffer, at: number): { end: number; forward: Buffer; isAllForwarded: boolean } | null {
  const reader = new ByteReader(buf, at, buf.length);
  try {
    const properties = readPublishProperties(reader, null);
    const isAllForwarded = properties === null || (properties.topicAlias === 0 && properties.messageExpiryInterval < 0);
    return { end: reader.pos, forward: properties?.forward ?? Buffer.alloc(0), isAllForwarded };
  } catch {
    return null;
  }
}

function compare(buf: Buffer, at: number): void {
  const end = plainPropertiesEnd(buf, at, buf.length);
  if (end < 0) return;
  const known = strict(buf, at);
  expect(known).toMatchObject({ end, isAllForwarded: true });
  expect(known!.forward.equals(buf.subarray(end - known!.forward.length, end))).toBe(true);
  expect(end - known!.forward.length - at).toBeLessThanOrEqual(2);
}

describe('a plain property block', () => {
  test('is what the strict reader takes too', () => {
    fc.assert(
      fc.property(
        fc.array(property, { maxLength: 5 }),
        fc.uint8Array({ maxLength: 20 }),
        fc.nat(),
        fc.nat(255),
        (list, behind, where, value) => {
          const { buf, at } = block(list, Buffer.from(behind));
          compare(buf, at);
          // The same with one byte wrong, and cut short.
          const wrong = Buffer.from(buf);
          wrong[at + (where % (buf.length - at))] = value;
          compare(wrong, at);
          compare(buf.subarray(0, at + (where % (buf.length - at))), at);
        },
      ),
      { numRuns: 5000 },
    );
  });

  test('is recognised: empty, user properties, and one of each that is passed on', () => {
    const user = Buffer.concat([Buffer.from([0x26]), string('name'), string('some value')]);
    const each = [Buffer.from([0x01, 1]), Buffer.concat([Buffer.from([0x03]), string('text/plain')])];
    each.push(Buffer.concat([Buffer.from([0x08]), string('answers/here')]), Buffer.concat([Buffer.from([0x09]), string('\0ü')]));
    for (const list of [[], [user], [user, user, user], [...each, user], Array.from({ length: 20 }, () => user)]) {
      const { buf, at } = block(list, Buffer.from('payload'));
      expect(plainPropertiesEnd(buf, at, buf.length)).toBe(buf.length - 7);
    }
  });

  test('is not: what changes on its way, what stands twice, what is not well formed', () => {
    const once = Buffer.from([0x01, 0]);
    const type = Buffer.concat([Buffer.from([0x03]), string('a')]);
    const lists = [[Buffer.from([0x02, 0, 0, 0, 1])], [Buffer.from([0x23, 0, 1])], [Buffer.from([0x0b, 1])], [once, once], [type, type]];
    lists.push([Buffer.from([0x01, 2])], [Buffer.concat([Buffer.from([0x08]), string('a/+')])], [Buffer.from([0x08, 0, 0])]);
    lists.push([Buffer.concat([Buffer.from([0x26]), string('ü'), string('')])], [Buffer.from([0x26, 0, 1, 0x61])], [Buffer.from([0x26])]);
    for (const list of lists) {
      const { buf, at } = block(list, Buffer.from('payload'));
      expect(plainPropertiesEnd(buf, at, buf.length)).toBe(-1);
    }
    expect(plainPropertiesEnd(Buffer.from([0x80, 0x00]), 0, 2)).toBe(-1);
    expect(plainPropertiesEnd(Buffer.from([5]), 0, 1)).toBe(-1);
    expect(plainPropertiesEnd(Buffer.alloc(0), 0, 0)).toBe(-1);
  });
});
