/** Packets of clients: what mqtt-packet, which is not ours, writes has to be read field by field. */

import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { Packet, Will } from '../../../src/mqtt/packet.ts';
import { toLatin1 } from '../../../src/mqtt/topic.ts';
import {
  binary,
  encodePublish,
  flag,
  named,
  optional,
  ours,
  packetId,
  present,
  propertiesOf,
  qos,
  text,
  theirs,
  topic,
  uint16,
  uint32,
  users,
  version,
} from './oracle.ts';

const willArbitrary = fc.record({ topic, payload: binary, qos, retain: flag, delay: uint32, expiry: uint32, contentType: text });

describe('what mqtt-packet writes', () => {
  test('CONNECT', () => {
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
          authenticationMethod: (five && plain.authenticationMethod) || null,
          authenticationData: five && plain.authenticationMethod !== undefined ? authenticationData : null,
        } satisfies Packet);
      }),
    );
  });

  test('PUBLISH', () => {
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
        // Forwarded parts must mean the same in the packet that we write.
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

  test('PUBACK, PUBREC, PUBREL and PUBCOMP', () => {
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

  test('SUBSCRIBE and UNSUBSCRIBE', () => {
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

  test('DISCONNECT, AUTH and PINGREQ', () => {
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
