/** The input that mqtt-packet's parser gets in place of its own list: the same answers, and every method that the parser calls. */

import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import mqttPacket from 'mqtt-packet';
import { expect, test } from 'vitest';
import { PacketBytes } from '../../../src/mqtt/rare/packet-bytes.ts';

test('has what the parser of this version calls', () => {
  const path = createRequire(import.meta.url).resolve('mqtt-packet/parser.js');
  const used = [...readFileSync(path, 'utf8').matchAll(/_list\.(\w+)/g)].map(([, name]) => name!);
  expect(used.length).toBeGreaterThan(20);
  expect(used.filter((name) => !(name in PacketBytes.prototype))).toEqual([]);
  // the field in which the library keeps it
  expect(mqttPacket.parser({})).toHaveProperty('_list');
});

test('counts from the first byte that is not consumed', () => {
  const bytes = new PacketBytes();
  const packet = Buffer.from([0x10, 0x06, 1, 2, 3, 4, 0x61, 0x62]);
  bytes.append(packet);
  bytes.consume(2);
  expect(bytes.length).toBe(6);
  expect([bytes.readUInt8(0), bytes.readUInt16BE(1), bytes.readUInt32BE(0)]).toEqual([1, 0x0203, 0x01020304]);
  expect(bytes.toString('utf8', 4, 6)).toBe('ab');
  expect(bytes.slice(4, 99)).toEqual(Buffer.from('ab'));
  expect(bytes.slice(4, 6).buffer).toBe(packet.buffer);
  for (const read of [() => bytes.readUInt8(6), () => bytes.readUInt16BE(5), () => bytes.readUInt32BE(3)]) expect(read).toThrow(RangeError);
  bytes.append(Buffer.from('c'));
  expect(bytes.toString('utf8', 4, 7)).toBe('abc');
  bytes.consume(99);
  expect(bytes.length).toBe(0);
  bytes.append(Buffer.from('d'));
  expect(bytes.readUInt8(0)).toBe(0x64);
});
