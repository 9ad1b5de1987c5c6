/** User properties that nobody keeps: checked in one pass, in a time that their number bounds, and never built. */

import { describe, expect, test } from 'vitest';
import { decodePacket } from '../../../src/mqtt/decode.ts';
import { ProtocolError } from '../../../src/mqtt/errors.ts';
import { varint } from '../../kit/properties.ts';

const USER = 0x26;
const NONE = Buffer.alloc(0);
/** The shortest ones: no name, no value. */
const shortest = (count: number): Buffer => Buffer.alloc(count * 5, Buffer.from([USER, 0, 0, 0, 0]));

type Around = [name: string, first: number, head: Buffer, tail: Buffer, version: 0 | 5];
const PACKETS: Around[] = [
  ['CONNECT', 0x10, Buffer.from([0, 4, 77, 81, 84, 84, 5, 2, 0, 60]), Buffer.from([0, 1, 97]), 0],
  ['PUBLISH', 0x30, Buffer.from([0, 1, 97]), NONE, 5],
  ['PUBACK', 0x40, Buffer.from([0, 1, 0]), NONE, 5],
  ['PUBREC', 0x50, Buffer.from([0, 1, 0]), NONE, 5],
  ['PUBREL', 0x62, Buffer.from([0, 1, 0]), NONE, 5],
  ['PUBCOMP', 0x70, Buffer.from([0, 1, 0]), NONE, 5],
  ['SUBSCRIBE', 0x82, Buffer.from([0, 1]), Buffer.from([0, 1, 97, 0]), 5],
  ['UNSUBSCRIBE', 0xa2, Buffer.from([0, 1]), Buffer.from([0, 1, 97]), 5],
  ['DISCONNECT', 0xe0, Buffer.from([0]), NONE, 5],
];

function packet([, first, head, tail]: Around, properties: Buffer): Buffer {
  const body = Buffer.concat([head, varint(properties.length), properties, tail]);
  return Buffer.concat([Buffer.from([first]), varint(body.length), body]);
}

function decode(around: Around, properties: Buffer): unknown {
  const bytes = packet(around, properties);
  return decodePacket(bytes, 0, bytes.length, around[4]);
}

function refusal(around: Around, properties: Buffer): number {
  try {
    decode(around, properties);
  } catch (error) {
    if (error instanceof ProtocolError) return error.reasonCode;
    throw error;
  }
  throw new Error('it was taken');
}

/** The least work of a server that keeps user properties. */
function built(properties: Buffer): [string, string][] {
  const pairs: [string, string][] = [];
  for (let at = 0; at < properties.length; at += 5)
    pairs.push([properties.toString('utf8', at + 3, at + 3), properties.toString('utf8', at + 5, at + 5)]);
  return pairs;
}

/** Processor time of the quickest of some rounds, microseconds: the machine may be busy with something else. */
function quickest(rounds: number, work: () => unknown): number {
  let best = Number.POSITIVE_INFINITY;
  for (let round = 0; round < rounds; round++) {
    const start = process.cpuUsage();
    work();
    const { user, system } = process.cpuUsage(start);
    best = Math.min(best, user + system);
  }
  return best;
}

/** The same for all packets. */
const building = quickest(2, () => built(shortest(1_000_000)));

describe.each(PACKETS)('%s', (...around) => {
  test('is decoded as without them', () => {
    const plain = decode(around, NONE);
    const named = Buffer.from([USER, 0, 1, 97, 0, 2, 0xc3, 0xa9]);
    for (const properties of [named, Buffer.concat([named, shortest(3), named])]) {
      const forwarded = around[0] === 'PUBLISH' ? { properties: { topicAlias: 0, messageExpiryInterval: -1, forward: properties } } : {};
      expect(decode(around, properties)).toEqual({ ...(plain as object), ...forwarded });
    }
  });

  test('a million is taken in less than half of the time that building them takes, one more is over the limit', () => {
    const million = shortest(1_000_000);
    const taken = quickest(4, () => decode(around, million));
    expect(taken).toBeLessThan(building / 2);
    expect(refusal(around, shortest(1_000_001))).toBe(0x97);
  });

  test('faults in them are found: ill-formed UTF-8, U+0000, an end within', () => {
    const long = Buffer.alloc(300, 97);
    const withText = (text: Buffer) => Buffer.concat([Buffer.from([USER, 0, 0, text.length >> 8, text.length & 0xff]), text]);
    const broken = (byte: number) => Buffer.concat([long, Buffer.from([byte]), long]);
    for (const text of [Buffer.from([0]), Buffer.from([0xff]), Buffer.from([0xc3]), broken(0), broken(0xff)]) {
      expect(refusal(around, Buffer.concat([shortest(2), withText(text)]))).toBe(0x81);
    }
    for (const cut of [1, 2, 3, 4]) expect(refusal(around, shortest(2).subarray(0, 5 + cut))).toBe(0x81);
    expect(refusal(around, Buffer.from([USER, 0, 9, 97, 0, 0]))).toBe(0x81);
  });
});
