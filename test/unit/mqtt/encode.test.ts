/** The exact bytes of what a server sends, in each version. */

import { describe, expect, test } from 'vitest';
import { ACK, type Acknowledgement, ackSize, writeAck } from '../../../src/mqtt/encode-publish.ts';
import type { ProtocolVersion } from '../../../src/mqtt/packet.ts';
import { connackReturnCode, encodeConnack, encodeDisconnect, encodeSuback, encodeUnsuback } from '../../../src/mqtt/rare/encode.ts';
import { phrase, REASON } from '../../../src/mqtt/reason-codes.ts';
import { bytes } from '../../kit/packets.ts';

function acknowledgement(first: Acknowledgement, version: ProtocolVersion, packetId: number, reasonCode: number): Buffer {
  const packet = Buffer.alloc(ackSize(version, reasonCode));
  writeAck(packet, 0, first, version, packetId, reasonCode);
  return packet;
}

describe('shortest forms', () => {
  test.each<[string, Buffer, string]>([
    ['CONNACK 3.1 has no session present', encodeConnack(3, { sessionPresent: true, reasonCode: 0 }), '20 02 00 00'],
    ['CONNACK 3.1.1', encodeConnack(4, { sessionPresent: true, reasonCode: 0 }), '20 02 01 00'],
    [
      'CONNACK 3.1.1 refused',
      encodeConnack(4, { sessionPresent: true, reasonCode: 0x87, properties: { reasonString: 'no' } }),
      '20 02 00 05',
    ],
    ['CONNACK 5', encodeConnack(5, { sessionPresent: true, reasonCode: 0 }), '20 03 01 00 00'],
    ['CONNACK 5 refused', encodeConnack(5, { sessionPresent: true, reasonCode: 0x87 }), '20 03 00 87 00'],
    [
      'CONNACK 5 with properties, also with 0',
      encodeConnack(5, {
        sessionPresent: false,
        reasonCode: 0,
        properties: { receiveMaximum: 258, serverKeepAlive: 0, reasonString: 'é' },
      }),
      '20 (00 00 (21 01 02 13 00 00 1f "é"))',
    ],
    ['PUBACK 4 never has a code', acknowledgement(ACK.puback, 4, 258, 0x87), '40 02 01 02'],
    ['PUBACK 5', acknowledgement(ACK.puback, 5, 258, 0), '40 02 01 02'],
    ['PUBREL 5 with code', acknowledgement(ACK.pubrel, 5, 1, 0x92), '62 03 00 01 92'],
    ['SUBACK 3', encodeSuback(3, 1, [0, 2, 0x87]), '90 05 00 01 00 02 80'],
    ['SUBACK 4', encodeSuback(4, 1, [1, 0x8f]), '90 04 00 01 01 80'],
    ['SUBACK 5', encodeSuback(5, 1, [1, 0x8f]), '90 (00 01 () 01 8f)'],
    ['UNSUBACK 4', encodeUnsuback(4, 1, [0x11]), 'b0 02 00 01'],
    ['UNSUBACK 5', encodeUnsuback(5, 1, [0x11, 0]), 'b0 (00 01 () 11 00)'],
    ['DISCONNECT', encodeDisconnect(0x8b), 'e0 01 8b'],
    ['DISCONNECT with properties', encodeDisconnect(0x9c, { reasonString: 'go', serverReference: 's' }), 'e0 (9c (1f "go" 1c "s"))'],
  ])('%s', (_name, packet, notation) => {
    expect(packet).toEqual(bytes(notation));
  });

  test('a text of more than 65535 bytes is an error of the caller', () => {
    expect(() => encodeDisconnect(0x80, { reasonString: 'x'.repeat(65_536) })).toThrow(RangeError);
  });
});

describe('connackReturnCode', () => {
  test('has a code for each reason', () => {
    const codes = [0x00, 0x84, 0x85, 0x88, 0x89, 0x97, 0x9f, 0x86, 0x8c, 0x87, 0x8a, 0x80];
    expect(codes.map(connackReturnCode)).toEqual([0, 1, 2, 3, 3, 3, 3, 4, 4, 5, 5, 3]);
  });
});

describe('phrase', () => {
  test('has a phrase for each code of the standard, and the number of any other', () => {
    for (const code of Object.values(REASON)) expect(phrase(code)).not.toContain('0x');
    expect(phrase(REASON.sessionTakenOver)).toBe('Session taken over');
    expect(phrase(0x03)).toBe('Reason code 0x03');
  });
});

test('CONNACKs of many clients: each has its own content, whatever was written before', () => {
  const properties = { receiveMaximum: 20, topicAliasMaximum: 5, serverKeepAlive: 30, assignedClientIdentifier: 'a', reasonString: 'b' };
  const first = encodeConnack(5, { sessionPresent: false, reasonCode: 0, properties });
  expect(encodeConnack(5, { sessionPresent: false, reasonCode: 0, properties: { ...properties } })).toBe(first);
  const seen = [first];
  const others = [{ maximumPacketSize: 100 }, { receiveMaximum: 21 }, { topicAliasMaximum: 6 }, { serverKeepAlive: 31 }];
  for (const other of [...others, { assignedClientIdentifier: 'c' }, { reasonString: 'd' }])
    seen.push(encodeConnack(5, { sessionPresent: false, reasonCode: 0, properties: { ...properties, ...other } }));
  seen.push(encodeConnack(5, { sessionPresent: true, reasonCode: 0, properties }));
  seen.push(encodeConnack(5, { sessionPresent: true, reasonCode: 0x80, properties }));
  for (const version of [3, 4] as const)
    for (const reasonCode of [0, 0x84, 0x87]) seen.push(encodeConnack(version, { sessionPresent: version === 4, reasonCode, properties }));
  // 3.1 and 3.1.1 differ in Session Present alone, which only success has.
  expect(new Set(seen.map((packet) => packet.toString('hex'))).size).toBe(seen.length - 2);
  // The caller's object may change: the packet of the next client does not.
  const changing = { ...properties };
  encodeConnack(5, { sessionPresent: false, reasonCode: 0, properties: changing });
  changing.receiveMaximum = 9;
  expect(encodeConnack(5, { sessionPresent: false, reasonCode: 0, properties: changing })).not.toEqual(first);
});
