/** Malformed and forbidden packets after CONNECT: only that connection ends, with the reason code the standard names. */

import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import * as encode from '../../kit/encode.ts';
import type { Lane } from '../../kit/lanes.ts';
import { useSharedLanes, VERSIONS } from '../../kit/lanes.ts';
import { field, u8, u16, varint } from '../../kit/properties.ts';
import type { RawClient } from '../../kit/raw-client.ts';
import { uid } from '../../kit/until.ts';

const kit = useSharedLanes();
const MALFORMED = 0x81;
const PROTOCOL = 0x82;

type Case = [name: string, bytes: (v: encode.Version) => Buffer, codes: number[], versions?: encode.Version[]];

const none = (v: encode.Version): Buffer => (v === 5 ? u8(0) : Buffer.alloc(0));
const badText = field(Buffer.from([0xc0, 0x80]));

const CASES: Case[] = [
  ['packet type 0', () => encode.frame(0x00), [MALFORMED, PROTOCOL]],
  ['packet type 15 before MQTT 5', () => encode.frame(0xf0), [], [4, 3]],
  ['CONNACK from a client', () => encode.frame(0x20, u16(0)), [PROTOCOL, MALFORMED]],
  ['SUBACK from a client', () => encode.frame(0x90, u16(1), u8(0)), [PROTOCOL, MALFORMED]],
  ['UNSUBACK from a client', () => encode.frame(0xb0, u16(1)), [PROTOCOL, MALFORMED]],
  ['PINGRESP from a client', () => encode.frame(0xd0), [PROTOCOL, MALFORMED]],
  ['a remaining length of five bytes', () => Buffer.from([0x30, 0xff, 0xff, 0xff, 0xff, 0x01]), [MALFORMED]],
  ['a remaining length over messageMaxSize', () => Buffer.from([0x30, 0x80, 0x80, 0x80, 0x04]), [0x95]],
  ['PINGREQ with a body', () => encode.frame(0xc0, u8(0)), [MALFORMED, PROTOCOL]],
  ['PINGREQ with header flags', () => encode.frame(0xc1), [MALFORMED]],
  ['PUBLISH with QoS 3 [5:MQTT-3.3.1-4, 3:MQTT-3.3.1-4]', (v) => encode.frame(0x36, field('a'), u16(1), none(v)), [MALFORMED]],
  ['PUBLISH with DUP on QoS 0 [5:MQTT-3.3.1-2, 3:MQTT-3.3.1-2]', (v) => encode.frame(0x38, field('a'), none(v)), [MALFORMED, PROTOCOL]],
  ['PUBLISH with a topic length past its end', (v) => encode.frame(0x30, u16(9), u8(0x61), none(v)), [MALFORMED]],
  ['PUBLISH without topic [5:MQTT-3.3.2-1, 3:MQTT-3.3.2-1]', () => encode.frame(0x30), [MALFORMED]],
  ['PUBLISH with an empty topic [5:MQTT-4.7.3-1, 3:MQTT-4.7.3-1]', (v) => encode.publish(v, '', 'x'), [PROTOCOL, 0x90, MALFORMED]],
  [
    'PUBLISH to # [5:MQTT-3.3.2-2, 5:MQTT-4.7.0-1, 3:MQTT-3.3.2-2, 3:MQTT-4.7.1-1]',
    (v) => encode.publish(v, 'a/#', 'x'),
    [0x90, MALFORMED],
  ],
  ['PUBLISH to + with QoS 1', (v) => encode.publish(v, 'a/+/b', 'x', { qos: 1 }), [0x90, MALFORMED, PROTOCOL]],
  ['PUBLISH to a topic that is not UTF-8', (v) => encode.frame(0x30, badText, none(v)), [MALFORMED, 0x90]],
  ['PUBLISH to a surrogate', (v) => encode.frame(0x30, field(Buffer.from([0xed, 0xbf, 0xbf])), none(v)), [MALFORMED, 0x90]],
  ['PUBLISH to a topic with U+0000 [5:MQTT-4.7.3-2, 3:MQTT-4.7.3-2]', (v) => encode.publish(v, 'a\0b', 'x'), [MALFORMED, 0x90]],
  [
    'PUBLISH QoS 1 with packet identifier 0 [5:MQTT-2.2.1-3, 3:MQTT-2.3.1-1]',
    (v) => encode.publish(v, 'a', 'x', { qos: 1, id: 0 }),
    [MALFORMED, PROTOCOL],
  ],
  ['PUBLISH QoS 2 with packet identifier 0', (v) => encode.publish(v, 'a', 'x', { qos: 2, id: 0 }), [MALFORMED, PROTOCOL]],
  ['PUBLISH QoS 1 without packet identifier', () => encode.frame(0x32, field('a')), [MALFORMED]],
  ['PUBACK with packet identifier 0', () => encode.puback(0), [MALFORMED, PROTOCOL]],
  ['PUBACK of one byte', () => encode.frame(0x40, u8(1)), [MALFORMED]],
  ['PUBACK with header flags', () => encode.frame(0x42, u16(1)), [MALFORMED]],
  ['PUBREC with header flags', () => encode.frame(0x52, u16(1)), [MALFORMED]],
  ['PUBREL with header flags 0 [5:MQTT-3.6.1-1, 3:MQTT-3.6.1-1]', () => encode.frame(0x60, u16(1)), [MALFORMED]],
  ['PUBCOMP with header flags', () => encode.frame(0x71, u16(1)), [MALFORMED]],
  ['PUBREC with packet identifier 0', () => encode.pubrec(0), [MALFORMED, PROTOCOL]],
  ['PUBREL with packet identifier 0', () => encode.pubrel(0), [MALFORMED, PROTOCOL]],
  [
    'SUBSCRIBE with header flags 0 [5:MQTT-3.8.1-1, 3:MQTT-3.8.1-1]',
    (v) => encode.frame(0x80, encode.subscribe(v, 1, [{ filter: 'a' }]).subarray(2)),
    [MALFORMED],
  ],
  ['SUBSCRIBE with packet identifier 0', (v) => encode.subscribe(v, 0, [{ filter: 'a' }]), [MALFORMED, PROTOCOL]],
  ['SUBSCRIBE without filter [5:MQTT-3.8.3-2, 3:MQTT-3.8.3-3]', (v) => encode.subscribe(v, 1, []), [PROTOCOL, MALFORMED]],
  [
    'SUBSCRIBE with QoS 3 [5:MQTT-3.8.3-5, 3:MQTT-3.8.3-4]',
    (v) => encode.frame(0x82, u16(1), none(v), field('a'), u8(3)),
    [MALFORMED, PROTOCOL],
  ],
  ['SUBSCRIBE with reserved option bits', (v) => encode.frame(0x82, u16(1), none(v), field('a'), u8(0xc0)), [MALFORMED, PROTOCOL]],
  ['SUBSCRIBE with Retain Handling 3', (v) => encode.frame(0x82, u16(1), none(v), field('a'), u8(0x30)), [MALFORMED, PROTOCOL], [5]],
  ['SUBSCRIBE with MQTT 5 options', (v) => encode.frame(0x82, u16(1), field('a'), u8(v === 4 ? 0x04 : 0x08)), [], [4]],
  [
    'SUBSCRIBE with a filter that is not UTF-8 [5:MQTT-3.8.3-1, 3:MQTT-3.8.3-1]',
    (v) => encode.frame(0x82, u16(1), none(v), badText, u8(0)),
    [MALFORMED, 0x8f],
  ],
  ['SUBSCRIBE without options', (v) => encode.frame(0x82, u16(1), none(v), field('a')), [MALFORMED]],
  ['SUBSCRIBE with a filter length past its end', (v) => encode.frame(0x82, u16(1), none(v), u16(100), u8(0x61), u8(0)), [MALFORMED]],
  [
    'SUBSCRIBE with No Local on a shared subscription [5:MQTT-3.8.3-4]',
    (v) => encode.subscribe(v, 1, [{ filter: '$share/g/a', noLocal: true }]),
    [PROTOCOL],
    [5],
  ],
  [
    'SUBSCRIBE with Subscription Identifier 0',
    () => encode.frame(0x82, u16(1), Buffer.from([2, 0x0b, 0]), field('a'), u8(0)),
    [PROTOCOL, MALFORMED],
    [5],
  ],
  [
    'SUBSCRIBE with two Subscription Identifiers',
    () => encode.frame(0x82, u16(1), Buffer.from([4, 0x0b, 1, 0x0b, 2]), field('a'), u8(0)),
    [PROTOCOL, MALFORMED],
    [5],
  ],
  [
    'UNSUBSCRIBE with header flags 0 [5:MQTT-3.10.1-1, 3:MQTT-3.10.1-1]',
    (v) => encode.frame(0xa0, encode.unsubscribe(v, 1, ['a']).subarray(2)),
    [MALFORMED],
  ],
  ['UNSUBSCRIBE without filter [5:MQTT-3.10.3-2, 3:MQTT-3.10.3-2]', (v) => encode.unsubscribe(v, 1, []), [PROTOCOL, MALFORMED]],
  ['UNSUBSCRIBE with packet identifier 0', (v) => encode.unsubscribe(v, 0, ['a']), [PROTOCOL, MALFORMED]],
  [
    'UNSUBSCRIBE of what is not UTF-8 [5:MQTT-3.10.3-1, 3:MQTT-3.10.3-1]',
    (v) => encode.frame(0xa2, u16(1), none(v), badText),
    [MALFORMED, 0x8f],
  ],
  ['DISCONNECT with header flags [5:MQTT-3.14.1-1, 3:MQTT-3.14.1-1]', () => encode.frame(0xe1), [MALFORMED]],
  ['DISCONNECT with a body before MQTT 5', () => encode.frame(0xe0, u8(0)), [], [4, 3]],
  ['AUTH with header flags [5:MQTT-3.15.1-1]', () => encode.frame(0xf1, u8(0x18), u8(0)), [MALFORMED], [5]],
  [
    'PUBLISH with Subscription Identifier [5:MQTT-3.3.4-6]',
    (v) => encode.publish(v, 'a', 'x', { properties: { subscriptionIds: [1] } }),
    [PROTOCOL],
    [5],
  ],
  [
    'PUBLISH with Topic Alias 0 [5:MQTT-3.3.2-8]',
    (v) => encode.publish(v, 'a', 'x', { properties: { topicAlias: 0 } }),
    [0x94, PROTOCOL],
    [5],
  ],
  [
    'PUBLISH with a Topic Alias over the maximum [5:MQTT-3.3.2-9]',
    (v) => encode.publish(v, 'a', 'x', { properties: { topicAlias: 65535 } }),
    [0x94],
    [5],
  ],
  [
    'PUBLISH with an unset Topic Alias and no topic',
    (v) => encode.publish(v, '', 'x', { properties: { topicAlias: 1 } }),
    [PROTOCOL, 0x94],
    [5],
  ],
  [
    'PUBLISH with a wildcard in Response Topic [5:MQTT-3.3.2-14]',
    (v) => encode.publish(v, 'a', 'x', { properties: { responseTopic: 'r/#' } }),
    [PROTOCOL, MALFORMED, 0x90],
    [5],
  ],
  [
    'PUBLISH with a Response Topic that is not UTF-8 [5:MQTT-3.3.2-13]',
    () => propertyPublish(Buffer.concat([u8(0x08), badText])),
    [MALFORMED],
    [5],
  ],
  [
    'PUBLISH with a Content Type that is not UTF-8 [5:MQTT-3.3.2-19]',
    () => propertyPublish(Buffer.concat([u8(0x03), badText])),
    [MALFORMED],
    [5],
  ],
  [
    'PUBLISH with Payload Format Indicator 2',
    (v) => encode.publish(v, 'a', 'x', { properties: { payloadFormat: 2 } }),
    [PROTOCOL, MALFORMED],
    [5],
  ],
  ['PUBLISH with Message Expiry twice', () => propertyPublish(Buffer.from([2, 0, 0, 0, 1, 2, 0, 0, 0, 1])), [PROTOCOL, MALFORMED], [5]],
  ['PUBLISH with a property of CONNECT', () => propertyPublish(Buffer.from([0x21, 0, 1])), [PROTOCOL, MALFORMED], [5]],
  ['PUBLISH with an unknown property', () => propertyPublish(Buffer.from([0x7e, 0])), [MALFORMED, PROTOCOL], [5]],
  ['PUBLISH with a property length past its end', () => encode.frame(0x30, field('a'), u8(50)), [MALFORMED], [5]],
  ['PUBLISH with a property cut off', () => propertyPublish(Buffer.from([2, 0, 0])), [MALFORMED], [5]],
  [
    'PUBLISH with a property length of five bytes [5:MQTT-1.5.5-1]',
    () => encode.frame(0x30, field('a'), Buffer.from([0x80, 0x80, 0x80, 0x80, 0x01])),
    [MALFORMED],
    [5],
  ],
  ['PUBACK with an unknown reason code [5:MQTT-3.4.2-1]', () => encode.frame(0x40, u16(1), u8(0x55)), [PROTOCOL, MALFORMED], [5]],
  ['PUBREC with an unknown reason code [5:MQTT-3.5.2-1]', () => encode.frame(0x50, u16(1), u8(0x55)), [PROTOCOL, MALFORMED], [5]],
  ['PUBREL with an unknown reason code [5:MQTT-3.6.2-1]', () => encode.frame(0x62, u16(1), u8(0x55)), [PROTOCOL, MALFORMED], [5]],
  ['PUBCOMP with an unknown reason code [5:MQTT-3.7.2-1]', () => encode.frame(0x70, u16(1), u8(0x55)), [PROTOCOL, MALFORMED], [5]],
  ['DISCONNECT with an unknown reason code [5:MQTT-3.14.2-1]', () => encode.disconnect(0x55), [PROTOCOL, MALFORMED], [5]],
  ['DISCONNECT with a property of PUBLISH', () => encode.frame(0xe0, u8(0), Buffer.from([3, 0x23, 0, 1])), [PROTOCOL, MALFORMED], [5]],
];

/** PUBLISH QoS 0 to `a` with these bytes as properties. */
function propertyPublish(properties: Buffer): Buffer {
  return encode.frame(0x30, field('a'), varint(properties.length), properties, Buffer.from('x'));
}

describe.each(VERSIONS)('malformed packets, $name', (lane: Lane) => {
  let bystander: RawClient;
  const topic = uid('bystander/');

  beforeAll(async () => {
    bystander = await kit.client(lane);
    await bystander.subscribe(topic);
  });
  afterAll(() => bystander.destroy());

  const mine = CASES.filter(([, , , versions]) => versions === undefined || versions.includes(lane.version)).map(
    ([name, bytes, codes]) => [name, bytes(lane.version), codes] as const,
  );

  test.concurrent.each(mine)('%s ends that connection alone [5:MQTT-4.13.1-1, 3:MQTT-4.8.0-1]', async (_name, bytes, codes) => {
    const client = await kit.client(lane);
    client.send(bytes);
    await client.refused(...codes);
  });

  test.concurrent.each(mine)('%s, byte by byte', async (_name, bytes, codes) => {
    const client = await kit.client(lane);
    for (const byte of bytes) {
      if (client.isClosed) break;
      client.send(u8(byte));
      await new Promise((resolve) => setImmediate(resolve));
    }
    await client.refused(...codes);
  });

  test('a bystander on the same endpoint got none of it, and still gets its messages', async () => {
    const publisher = await kit.client(lane);
    await publisher.publish(topic, 'after');
    expect((await bystander.take()).payload.toString()).toBe('after');
    await bystander.ping();
  });

  test('a packet cut off by the end of the connection disturbs nobody', async () => {
    const whole = encode.publish(lane.version, topic, 'never');
    for (let length = 1; length < whole.length; length += 3) {
      const client = await kit.client(lane);
      client.send(whole.subarray(0, length));
      await client.cut();
    }
    await bystander.silence();
    await bystander.ping();
  });
});

test('U+FEFF and every other character of a topic is kept [5:MQTT-1.5.4-3, 5:MQTT-4.7.3-4, 3:MQTT-1.5.3-3, 3:MQTT-4.7.3-4]', async () => {
  for (const lane of VERSIONS) {
    const client = await kit.client(lane);
    for (const text of ['\ufefftopic', 'a\ufeff', 'ä', 'a\u0308', '𐍈', ' lead', 'trail ', 'UPPER', 'a\u{10ffff}']) {
      const topic = `${uid()}/${text}`;
      await client.subscribe(topic);
      await client.publish(topic, 'x');
      const types = [await client.expect('publish')];
      expect(types[0]!.topic).toBe(topic);
    }
    // No normalisation: the composed and the decomposed form are two topics.
    const base = uid();
    await client.subscribe(`${base}/ä`);
    await client.publish(`${base}/a\u0308`, 'x');
    await client.silence();
  }
});

test('a topic of 65535 bytes is carried [5:MQTT-4.7.3-3, 3:MQTT-4.7.3-3]', async () => {
  for (const lane of VERSIONS) {
    const client = await kit.client(lane);
    const topic = `${uid()}/`.padEnd(65535, 'x');
    await client.subscribe(topic);
    await client.publish(topic, 'x');
    expect((await client.expect('publish')).topic).toBe(topic);
  }
});
