/** Packets that mqtt-packet reads: the same values, and the same refusals, as the decoders that read every byte themselves. */

import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { toEnd } from '../../../src/kernel/turns/steps.ts';
import { decodeInSteps, decodePacket } from '../../../src/mqtt/decode.ts';
import { ProtocolError } from '../../../src/mqtt/errors.ts';
import type { Packet, ProtocolVersion } from '../../../src/mqtt/packet.ts';
import { bodyReader } from '../../../src/mqtt/reader.ts';
import * as encode from '../../kit/encode.ts';
import * as former from './former/decode-connect.ts';
import { binary, flag, optional, packetId, present, qos, text, topic, uint16, uint32, version } from './oracle.ts';

type Outcome = { packet: Packet } | { refused: number };

function outcome(decode: () => Packet): Outcome {
  try {
    return { packet: decode() };
  } catch (error) {
    if (!(error instanceof ProtocolError)) throw error;
    return { refused: error.reasonCode };
  }
}

/** The packet by the former decoders. */
function formerly(buf: Buffer, v: ProtocolVersion): Outcome {
  return outcome(() => {
    switch (buf[0]! >> 4) {
      case 1:
        return former.decodeConnect(bodyReader(buf, 0, buf.length));
      case 14:
        return former.decodeDisconnect(bodyReader(buf, 0, buf.length), v);
      case 15:
        return former.decodeAuth(bodyReader(buf, 0, buf.length));
      default:
        return toEnd(decodeInSteps(buf, 0, buf.length, v)!);
    }
  });
}

function now(buf: Buffer, v: ProtocolVersion): Outcome {
  // In the middle of a buffer, as in a stream.
  const stream = Buffer.concat([Buffer.from('before'), buf, Buffer.from('behind')]);
  return outcome(() => decodePacket(stream, 6, 6 + buf.length, buf[0]! >> 4 === 1 ? 0 : v));
}

const user = optional(fc.array(fc.tuple(text, text), { minLength: 1, maxLength: 3 }));
const connect = fc
  .record({
    v: version,
    clientId: fc.oneof(text, fc.constant('')),
    clean: flag,
    keepAlive: fc.integer({ min: 0, max: 65_535 }),
    username: optional(fc.oneof(text, fc.constant(''))),
    password: optional(fc.oneof(text, fc.constant(''))),
    will: optional(
      fc.record({
        topic: fc.oneof(topic, text),
        payload: binary,
        qos,
        retain: flag,
        properties: fc.record(
          {
            willDelay: uint32,
            messageExpiry: uint32,
            contentType: text,
            user: fc.constant([
              ['b', '1'],
              ['a', '2'],
            ]),
          },
          { requiredKeys: [] },
        ),
      }),
    ),
    properties: fc
      .record({
        sessionExpiry: optional(fc.oneof(uint32, fc.constant(0))),
        receiveMaximum: optional(fc.oneof(uint16, fc.constant(0))),
        maximumPacketSize: optional(fc.oneof(uint32, fc.constant(0))),
        topicAliasMaximum: optional(fc.oneof(uint16, fc.constant(0))),
        requestResponse: optional(fc.constantFrom(0, 1, 2)),
        requestProblem: optional(fc.constantFrom(0, 1, 2)),
        authMethod: optional(text),
        authData: optional(fc.oneof(binary, fc.constant(Buffer.alloc(0)))),
        user,
      })
      .map((each) => present(each)),
  })
  .map(({ v, ...options }) => ({ v, packet: encode.connect(v, options as encode.ConnectOptions) }));
const filter = fc.oneof(topic, text, fc.constantFrom('#', '+/a', 'a/#', '$share/g/a', '$queue/a', 'a#'));
const subscribe = fc
  .record({
    v: version,
    id: packetId,
    filters: fc.array(fc.record({ filter, qos, noLocal: flag, retainAsPublished: flag, retainHandling: fc.constantFrom(0, 1, 2) }), {
      minLength: 1,
      maxLength: 6,
    }),
    subscriptionId: optional(fc.integer({ min: 1, max: 268_435_455 })),
    user,
  })
  .map(({ v, id, filters, subscriptionId, user: pairs }) => ({
    v,
    packet: encode.subscribe(
      v,
      id,
      v === 5 ? filters : filters.map((each) => ({ filter: each.filter, qos: each.qos })),
      present({ subscriptionIds: subscriptionId === undefined ? undefined : [subscriptionId], user: pairs }),
    ),
  }));
const unsubscribe = fc
  .record({ v: version, id: packetId, filters: fc.array(filter, { minLength: 1, maxLength: 6 }) })
  .map(({ v, id, filters }) => ({ v, packet: encode.unsubscribe(v, id, filters) }));
const disconnect = fc
  .record({ code: fc.constantFrom(0, 4, 0x81, 0x8b), sessionExpiry: optional(uint32), reasonString: optional(text), user })
  .map(({ code, ...properties }) => ({ v: 5 as const, packet: encode.disconnect(code, present(properties)) }));
const auth = fc
  .record({ code: fc.constantFrom(0x18, 0x19, 0), authMethod: optional(text), authData: optional(binary), user })
  .map(({ code, ...properties }) => ({
    v: 5 as const,
    packet: encode.auth(code, present(properties)),
  }));

describe.each([
  ['CONNECT', connect],
  ['SUBSCRIBE', subscribe],
  ['UNSUBSCRIBE', unsubscribe],
  ['DISCONNECT', disconnect],
  ['AUTH', auth],
] as const)('%s', (_name, arbitrary) => {
  test('has the same values', () => {
    fc.assert(
      fc.property(arbitrary as typeof connect, ({ v, packet }) => void expect(now(packet, v)).toEqual(formerly(packet, v))),
      { numRuns: 500 },
    );
  });

  test('with a wrong byte, or one too many or too few, has the same fate', () => {
    const fault = fc.record({ at: fc.nat(), byte: fc.integer({ min: 0, max: 255 }), how: fc.constantFrom('replace', 'insert', 'remove') });
    fc.assert(
      fc.property(arbitrary as typeof connect, fault, ({ v, packet }, { at, byte, how }) => {
        const { head, body } = split(packet);
        const place = at % (body.length + 1);
        const behind = how === 'insert' ? place : place + 1;
        const damaged = Buffer.concat([
          body.subarray(0, place),
          how === 'remove' ? Buffer.alloc(0) : Buffer.from([byte]),
          body.subarray(behind),
        ]);
        const whole = encode.frame(head, damaged);
        const [one, other] = [now(whole, v), formerly(whole, v)];
        // Either of two faults in one packet may be named.
        if ('refused' in one && 'refused' in other) return;
        expect(one).toEqual(other);
      }),
      { numRuns: 2000 },
    );
  });
});

function split(packet: Buffer): { head: number; body: Buffer } {
  let at = 1;
  while (packet[at]! > 0x7f) at++;
  return { head: packet[0]!, body: packet.subarray(at + 1) };
}
