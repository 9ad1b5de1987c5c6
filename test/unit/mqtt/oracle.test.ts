/** Both directions against mqtt-packet, an implementation that is not ours: what it writes we read, what we write it reads. */

import fc from 'fast-check';
import mqttPacket, { type Packet as TheirPacket } from 'mqtt-packet';
import { describe, expect, it } from 'vitest';
import { decodePacket } from '../../../src/mqtt/decode.ts';
import {
  type ConnackProperties,
  encodeAck,
  encodeAuth,
  encodeConnack,
  encodeDisconnect,
  encodeSuback,
  encodeUnsuback,
  PINGRESP,
} from '../../../src/mqtt/encode.ts';
import { encodePublish, type PublishEncoding, publishSize, writePublish } from '../../../src/mqtt/encode-publish.ts';
import type { Packet, ProtocolVersion, QoS, UserProperties, Will } from '../../../src/mqtt/packet.ts';
import { fromLatin1, toLatin1 } from '../../../src/mqtt/topic.ts';
import { bytes } from '../../kit/packets.ts';

const version = fc.constantFrom<ProtocolVersion>(3, 4, 5);
const qos = fc.constantFrom<QoS>(0, 1, 2);
const flag = fc.boolean();
const packetId = fc.integer({ min: 1, max: 65_535 });
const uint16 = fc.integer({ min: 1, max: 65_535 });
const uint32 = fc.integer({ min: 1, max: 0xffff_ffff });
const text = fc.string({ unit: 'binary', minLength: 1, maxLength: 200 }).filter((value) => !value.includes('\0'));
const topic = text.map((value) => value.replaceAll(/[+#]/g, '/'));
const binary = fc.uint8Array({ minLength: 1, maxLength: 300 }).map((value) => Buffer.from(value));
const optional = <T>(arbitrary: fc.Arbitrary<T>): fc.Arbitrary<T | undefined> => fc.option(arbitrary, { nil: undefined });
/** One value for each name, in the order in which mqtt-packet writes the keys of an object. */
const users = fc
  .uniqueArray(fc.tuple(fc.stringMatching(/^[a-zé][a-z_]{0,20}$/), text), { maxLength: 4, selector: ([name]) => name })
  .map((pairs): UserProperties => pairs.filter(([name]) => name !== '__proto__'));

/** Leaves out what is undefined: to mqtt-packet a key that is there has a value. */
function present<T extends object>(value: T): { [K in keyof T]: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(value).filter(([, field]) => field !== undefined)) as {
    [K in keyof T]: Exclude<T[K], undefined>;
  };
}

/** mqtt-packet writes nothing at all for user properties without a name. */
function named(pairs: UserProperties): { userProperties?: Record<string, string> } {
  return pairs.length === 0 ? {} : { userProperties: Object.fromEntries(pairs) };
}

function ours(packet: TheirPacket, v: ProtocolVersion): Packet {
  const buf = mqttPacket.generate(packet, { protocolVersion: v });
  return decodePacket(buf, 0, buf.length, packet.cmd === 'connect' ? 0 : v);
}

function theirs(buf: Buffer, v: ProtocolVersion): Record<string, unknown> {
  const packets: TheirPacket[] = [];
  const parser = mqttPacket.parser({ protocolVersion: v });
  parser.on('packet', (packet) => packets.push(packet));
  parser.on('error', (error: Error) => {
    throw error;
  });
  expect(parser.parse(buf)).toBe(0);
  expect(packets).toHaveLength(1);
  return { ...packets[0] };
}

function propertiesOf(values: object): object {
  const set = present(values);
  return Object.keys(set).length === 0 ? {} : { properties: set };
}

const willArbitrary = fc.record({ topic, payload: binary, qos, retain: flag, delay: uint32, expiry: uint32, contentType: text });

describe('what mqtt-packet writes', () => {
  it('CONNECT', () => {
    const arbitrary = fc.record({
      v: version,
      clientId: text,
      clean: flag,
      keepalive: uint16,
      username: optional(text),
      password: binary,
      will: optional(willArbitrary),
      sessionExpiryInterval: optional(uint32),
      receiveMaximum: optional(uint16),
      maximumPacketSize: optional(uint32),
      topicAliasMaximum: optional(uint16),
      requestResponseInformation: optional(flag),
      requestProblemInformation: optional(flag),
      authenticationMethod: optional(text),
      authenticationData: binary,
      userProperties: users,
    });
    fc.assert(
      fc.property(arbitrary, ({ v, will, username, password, clientId, clean, keepalive, userProperties, ...rest }) => {
        const { authenticationData, ...plain } = rest;
        const method = plain.authenticationMethod === undefined ? {} : { authenticationData };
        const theirWill = will && {
          topic: will.topic,
          payload: will.payload,
          qos: will.qos,
          retain: will.retain,
          ...(v === 5
            ? { properties: { willDelayInterval: will.delay, messageExpiryInterval: will.expiry, contentType: will.contentType } }
            : {}),
        };
        const packet = ours(
          {
            cmd: 'connect',
            protocolId: v === 3 ? 'MQIsdp' : 'MQTT',
            protocolVersion: v,
            clientId,
            clean,
            keepalive,
            ...(username === undefined ? {} : { username, password }),
            ...(theirWill === undefined ? {} : { will: theirWill }),
            ...(v === 5 ? { properties: { ...present(plain), ...method, ...named(userProperties) } } : {}),
          },
          v,
        );
        const five = v === 5;
        const contentType = will && Buffer.from(will.contentType);
        const expectedWill: Will | null =
          will === undefined
            ? null
            : {
                topic: will.topic,
                payload: will.payload,
                qos: will.qos,
                retain: will.retain,
                willDelayInterval: five ? will.delay : 0,
                properties: five
                  ? {
                      topicAlias: 0,
                      messageExpiryInterval: will.expiry,
                      forward: Buffer.concat([Buffer.from([3, contentType!.length >> 8, contentType!.length & 0xff]), contentType!]),
                    }
                  : null,
              };
        expect(packet).toEqual({
          type: 'connect',
          protocolVersion: v,
          cleanStart: clean,
          keepAlive: keepalive,
          clientId,
          username: username ?? null,
          password: username === undefined ? null : password,
          will: expectedWill,
          sessionExpiryInterval: five ? (plain.sessionExpiryInterval ?? 0) : clean ? 0 : 0xffff_ffff,
          receiveMaximum: (five && plain.receiveMaximum) || 65_535,
          maximumPacketSize: (five && plain.maximumPacketSize) || 0,
          topicAliasMaximum: (five && plain.topicAliasMaximum) || 0,
          requestResponseInformation: five && plain.requestResponseInformation === true,
          requestProblemInformation: !five || plain.requestProblemInformation !== false,
          userProperties: five ? userProperties : [],
          authenticationMethod: (five && plain.authenticationMethod) || null,
          authenticationData: five && plain.authenticationMethod !== undefined ? authenticationData : null,
        } satisfies Packet);
      }),
    );
  });

  it('PUBLISH', () => {
    const arbitrary = fc.record({
      v: version,
      topic,
      payload: fc.uint8Array({ maxLength: 20_000 }).map((value) => Buffer.from(value)),
      qos,
      retain: flag,
      dup: flag,
      messageId: packetId,
      topicAlias: optional(uint16),
      messageExpiryInterval: optional(uint32),
      responseTopic: optional(topic),
      correlationData: optional(binary),
      contentType: optional(text),
      payloadFormatIndicator: optional(flag),
      userProperties: optional(users.filter((pairs) => pairs.length > 0)),
    });
    fc.assert(
      fc.property(arbitrary, ({ v, dup, messageId, topicAlias, messageExpiryInterval, userProperties, ...rest }) => {
        const { topic: name, payload, qos: q, retain, ...forwarded } = rest;
        const block = {
          ...forwarded,
          topicAlias,
          messageExpiryInterval,
          userProperties: userProperties && Object.fromEntries(userProperties),
        };
        const base = {
          cmd: 'publish',
          topic: name,
          payload,
          qos: q,
          retain,
          dup: dup && q > 0,
          ...(q === 0 ? {} : { messageId }),
        } as const;
        const packet = ours({ ...base, ...(v === 5 ? propertiesOf(block) : {}) }, v);
        if (packet.type !== 'publish') throw new Error(packet.type);
        expect({ ...packet, properties: null }).toEqual({
          type: 'publish',
          qos: q,
          retain,
          dup: dup && q > 0,
          packetId: q === 0 ? 0 : messageId,
          topic: toLatin1(name),
          payload,
          properties: null,
        } satisfies Packet);
        if (v < 5 || Object.keys(present(block)).length === 0) expect(packet.properties).toBeNull();
        else {
          expect(packet.properties!.topicAlias).toBe(topicAlias ?? 0);
          expect(packet.properties!.messageExpiryInterval).toBe(messageExpiryInterval ?? -1);
        }
        // What travels on has to say the same in the packet that we write.
        const sent = encodePublish({
          version: v,
          qos: q,
          retain,
          dup: dup && q > 0,
          packetId: packet.packetId,
          topic: Buffer.from(packet.topic, 'latin1'),
          payload: packet.payload,
          topicAlias: packet.properties?.topicAlias ?? 0,
          messageExpiryInterval: packet.properties?.messageExpiryInterval ?? -1,
          subscriptionIdentifiers: [],
          forward: packet.properties?.forward ?? Buffer.alloc(0),
        });
        expect(theirs(sent, v)).toMatchObject({ ...base, topic: name, ...(v === 5 ? propertiesOf(block) : {}) });
      }),
    );
  });

  it('PUBACK, PUBREC, PUBREL and PUBCOMP', () => {
    const codes = { puback: [0, 0x10, 0x80, 0x97], pubrec: [0, 0x10, 0x83, 0x99], pubrel: [0, 0x92], pubcomp: [0, 0x92] };
    const one = (cmd: keyof typeof codes) => fc.record({ cmd: fc.constant(cmd), reasonCode: fc.constantFrom(...codes[cmd]) });
    const arbitrary = fc.oneof(one('puback'), one('pubrec'), one('pubrel'), one('pubcomp'));
    fc.assert(
      fc.property(arbitrary, version, packetId, optional(text), users, ({ cmd, reasonCode }, v, messageId, reasonString, pairs) => {
        const properties = v === 5 ? { reasonCode, properties: { ...present({ reasonString }), ...named(pairs) } } : {};
        expect(ours({ cmd, messageId, ...properties }, v)).toEqual({
          type: cmd,
          packetId: messageId,
          reasonCode: v === 5 ? reasonCode : 0,
        });
      }),
    );
  });

  it('SUBSCRIBE and UNSUBSCRIBE', () => {
    const request = fc.record({ topic: text, qos, nl: flag, rap: flag, rh: fc.constantFrom<0 | 1 | 2>(0, 1, 2) });
    const requests = fc.array(request, { minLength: 1, maxLength: 5 });
    const identifier = optional(fc.integer({ min: 1, max: 268_435_455 }));
    fc.assert(
      fc.property(version, packetId, requests, identifier, users, (v, messageId, list, subscriptionIdentifier, pairs) => {
        const userProperties = named(pairs);
        const five = v === 5;
        const properties = five ? { properties: { ...present({ subscriptionIdentifier }), ...userProperties } } : {};
        expect(ours({ cmd: 'subscribe', messageId, subscriptions: list, ...properties }, v)).toEqual({
          type: 'subscribe',
          packetId: messageId,
          subscriptionIdentifier: (five && subscriptionIdentifier) || 0,
          subscriptions: list.map((r) => ({
            filter: r.topic,
            qos: r.qos,
            noLocal: five && r.nl,
            retainAsPublished: five && r.rap,
            retainHandling: five ? r.rh : 0,
          })),
        });
        const filters = list.map((r) => r.topic);
        const packet = {
          cmd: 'unsubscribe',
          messageId,
          unsubscriptions: filters,
          ...(five ? { properties: userProperties } : {}),
        } as const;
        expect(ours(packet, v)).toEqual({ type: 'unsubscribe', packetId: messageId, filters });
      }),
    );
  });

  it('DISCONNECT, AUTH and PINGREQ', () => {
    const code = fc.constantFrom(0, 4, 0x80, 0x98);
    fc.assert(
      fc.property(version, code, optional(uint32), text, binary, users, (v, reasonCode, sessionExpiryInterval, method, data, pairs) => {
        const userProperties = named(pairs);
        const five = v === 5;
        const rest = five ? { reasonCode, properties: { ...present({ sessionExpiryInterval }), ...userProperties } } : {};
        expect(ours({ cmd: 'disconnect', ...rest }, v)).toEqual({
          type: 'disconnect',
          reasonCode: five ? reasonCode : 0,
          sessionExpiryInterval: (five && sessionExpiryInterval) || null,
        });
        expect(ours({ cmd: 'pingreq' }, v)).toEqual({ type: 'pingreq' });
        const auth = {
          cmd: 'auth',
          reasonCode: 0x19,
          properties: { authenticationMethod: method, authenticationData: data, ...userProperties },
        } as const;
        expect(ours(auth, 5)).toEqual({ type: 'auth', reasonCode: 0x19, authenticationMethod: method, authenticationData: data });
      }),
    );
  });
});

const publishArbitrary: fc.Arbitrary<PublishEncoding> = fc.record({
  version,
  qos,
  retain: flag,
  dup: flag,
  packetId,
  topic: topic.map((name) => Buffer.from(name)),
  payload: fc.uint8Array({ maxLength: 20_000 }).map((value) => Buffer.from(value)),
  topicAlias: fc.integer({ min: 0, max: 65_535 }),
  messageExpiryInterval: fc.oneof(fc.constant(-1), fc.constant(0), uint32),
  subscriptionIdentifiers: fc.constant([]),
  forward: fc.constantFrom(Buffer.alloc(0), bytes('01 01'), bytes('26 "b" "1" 26 "a" "2" 26 "b" "3"'), bytes('03 "é" 08 "r" 09 "x"')),
});

describe('PUBLISH', () => {
  it('comes back as it was written, into the middle of a buffer', () => {
    fc.assert(
      fc.property(publishArbitrary, fc.integer({ min: 0, max: 9 }), (raw, offset) => {
        const o = { ...raw, dup: raw.dup && raw.qos > 0 };
        const size = publishSize(o);
        const target = Buffer.alloc(offset + size + 9, 0xa5);
        expect(writePublish(target, offset, o)).toBe(offset + size);
        expect(target.subarray(0, offset).every((byte) => byte === 0xa5)).toBe(true);
        expect(target.subarray(offset + size).every((byte) => byte === 0xa5)).toBe(true);
        expect(encodePublish(o)).toEqual(target.subarray(offset, offset + size));
        const { topicAlias, messageExpiryInterval, forward } = o;
        const empty = topicAlias === 0 && messageExpiryInterval < 0 && forward.length === 0;
        expect(decodePacket(target, offset, offset + size, o.version)).toEqual({
          type: 'publish',
          qos: o.qos,
          retain: o.retain,
          dup: o.dup,
          packetId: o.qos === 0 ? 0 : o.packetId,
          topic: o.topic.toString('latin1'),
          payload: o.payload,
          properties: o.version < 5 || empty ? null : { topicAlias, messageExpiryInterval, forward },
        } satisfies Packet);
      }),
    );
  });

  it('with subscription identifiers is read by mqtt-packet', () => {
    const identifiers = fc.array(fc.integer({ min: 1, max: 268_435_455 }), { minLength: 2, maxLength: 4 });
    fc.assert(
      fc.property(publishArbitrary, identifiers, (raw, subscriptionIdentifiers) => {
        const o: PublishEncoding = { ...raw, version: 5, dup: false, subscriptionIdentifiers, topicAlias: 0 };
        const packet = theirs(encodePublish(o), 5);
        expect(packet).toMatchObject({
          topic: o.topic.toString(),
          payload: o.payload,
          properties: { subscriptionIdentifier: subscriptionIdentifiers },
        });
      }),
    );
  });

  it('with a known topic alias has no topic', () => {
    const o: PublishEncoding = {
      version: 5,
      qos: 1,
      retain: false,
      dup: false,
      packetId: 2,
      topic: Buffer.alloc(0),
      payload: Buffer.from('hi'),
      topicAlias: 9,
      messageExpiryInterval: -1,
      subscriptionIdentifiers: [],
      forward: Buffer.alloc(0),
    };
    expect(encodePublish(o)).toEqual(bytes(`32 ("" 00 02 (23 00 09) 'hi')`));
    expect(fromLatin1('Ã©')).toBe('é');
  });
});

describe('what mqtt-packet reads', () => {
  it('CONNACK', () => {
    const arbitrary = fc.record({
      sessionExpiryInterval: optional(uint32),
      receiveMaximum: optional(uint16),
      maximumQoS: optional(fc.constantFrom<0 | 1>(0, 1)),
      retainAvailable: optional(flag),
      maximumPacketSize: optional(uint32),
      assignedClientIdentifier: optional(text),
      topicAliasMaximum: optional(uint16),
      reasonString: optional(text),
      wildcardSubscriptionAvailable: optional(flag),
      subscriptionIdentifiersAvailable: optional(flag),
      sharedSubscriptionAvailable: optional(flag),
      serverKeepAlive: optional(uint16),
      responseInformation: optional(text),
      serverReference: optional(text),
      authenticationMethod: optional(text),
      authenticationData: optional(binary),
    });
    const code = fc.constantFrom(0, 0x80, 0x84, 0x87, 0x9f);
    fc.assert(
      fc.property(arbitrary, users, flag, code, (values, pairs, sessionPresent, reasonCode) => {
        const plain: ConnackProperties = present(values);
        const properties: ConnackProperties = pairs.length === 0 ? plain : { ...plain, userProperties: pairs };
        const expected = { ...plain, ...named(pairs) };
        expect(theirs(encodeConnack(5, { sessionPresent, reasonCode, properties }), 5)).toMatchObject({
          cmd: 'connack',
          sessionPresent: sessionPresent && reasonCode === 0,
          reasonCode,
          ...propertiesOf(expected),
        });
      }),
    );
  });

  it('acknowledgements', () => {
    const type = fc.constantFrom('puback', 'pubrec', 'pubrel', 'pubcomp');
    const code = fc.constantFrom(0, 0x92);
    fc.assert(
      fc.property(type, version, packetId, code, optional(text), (cmd, v, id, ackCode, reasonString) => {
        const reasonCode = cmd === 'puback' || cmd === 'pubrec' ? ackCode && 0x87 : ackCode;
        const five = v === 5 ? { reasonCode, ...propertiesOf({ reasonString }) } : {};
        expect(theirs(encodeAck(cmd, v, id, reasonCode, reasonString), v)).toMatchObject({ cmd, messageId: id, ...five });
      }),
    );
  });

  it('SUBACK and UNSUBACK', () => {
    const codes = fc.array(fc.constantFrom(0, 1, 2, 0x80, 0x87, 0x8f), { minLength: 1, maxLength: 200 });
    fc.assert(
      fc.property(version, packetId, codes, optional(text), (v, id, list, reasonString) => {
        expect(theirs(encodeSuback(v, id, list, reasonString), v)).toMatchObject({
          cmd: 'suback',
          messageId: id,
          granted: v === 5 ? list : list.map((code) => Math.min(code, 0x80)),
          ...(v === 5 ? propertiesOf({ reasonString }) : {}),
        });
        const unsubscribed = list.map((code) => (code < 0x80 ? 0x11 : code));
        expect(theirs(encodeUnsuback(v, id, unsubscribed), v)).toMatchObject({
          cmd: 'unsuback',
          messageId: id,
          ...(v === 5 ? { granted: unsubscribed } : {}),
        });
      }),
    );
  });

  it('DISCONNECT, AUTH and PINGRESP', () => {
    fc.assert(
      fc.property(optional(text), optional(text), text, optional(binary), (reasonString, serverReference, method, data) => {
        expect(theirs(encodeDisconnect(0x8e, present({ reasonString, serverReference })), 5)).toMatchObject({
          cmd: 'disconnect',
          reasonCode: 0x8e,
          ...propertiesOf({ reasonString, serverReference }),
        });
        const auth = { authenticationMethod: method, ...present({ authenticationData: data, reasonString }) };
        expect(theirs(encodeAuth(0x18, auth), 5)).toMatchObject({ cmd: 'auth', reasonCode: 0x18, properties: auth });
      }),
    );
    expect(theirs(PINGRESP, 4)).toMatchObject({ cmd: 'pingresp' });
  });
});
