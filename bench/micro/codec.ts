/** Decoding and encoding of single packets, compared with mqtt-packet. */

import mqttPacket from 'mqtt-packet';
import { decodePacket } from '../../src/mqtt/decode.ts';
import { ACK, type PublishEncoding, publishSize, writeAck, writePublish } from '../../src/mqtt/encode-publish.ts';
import type { ProtocolVersion } from '../../src/mqtt/packet.ts';
import { plainPropertiesEnd } from '../../src/mqtt/properties.ts';
import { encodeConnack } from '../../src/mqtt/rare/encode.ts';
import { packetSize } from '../../workers/endpoint/client/input/input.ts';
import { type Measured, measure, sink } from './measure.ts';

const PAYLOAD = Buffer.alloc(64, 0x2e);
const TOPIC = 'bench/pair/000042';
const userProperties = { 'property-0': 'value-0', 'property-1': 'value-1', 'property-2': 'value-2' };

function bytes(packet: mqttPacket.Packet, protocolVersion: ProtocolVersion): Buffer {
  return mqttPacket.generate(packet, { protocolVersion });
}

function publish(qos: 0 | 1 | 2, version: ProtocolVersion, hasProperties: boolean): Buffer {
  const packet = { cmd: 'publish', topic: TOPIC, payload: PAYLOAD, qos, dup: false, retain: false, messageId: 7 } as const;
  return bytes(hasProperties ? { ...packet, properties: { userProperties } } : packet, version);
}

function decode(name: string, packet: Buffer, version: ProtocolVersion | 0): Measured {
  return measure(`decode ${name}`, (times) => {
    for (let i = 0; i < times; i++) sink.value = decodePacket(packet, 0, packet.length, version);
  });
}

function oracle(name: string, packet: Buffer, protocolVersion: ProtocolVersion): Measured {
  const parser = mqttPacket.parser({ protocolVersion });
  parser.on('packet', (parsed) => {
    sink.value = parsed;
  });
  return measure(`mqtt-packet: decode ${name}`, (times) => {
    for (let i = 0; i < times; i++) parser.parse(packet);
  });
}

function encode(name: string, encoding: PublishEncoding): Measured {
  const target = Buffer.alloc(publishSize(encoding));
  return measure(`encode ${name}`, (times) => {
    for (let i = 0; i < times; i++) {
      encoding.packetId = (i & 0xffff) | 1;
      sink.value = writePublish(target, 0, encoding);
    }
  });
}

export function codec(): Measured[] {
  const connect = bytes(
    {
      cmd: 'connect',
      protocolId: 'MQTT',
      protocolVersion: 5,
      clientId: 'bench-1',
      clean: true,
      keepalive: 60,
      username: 'u',
      password: Buffer.from('p'),
    },
    5,
  );
  const subscribe = bytes({ cmd: 'subscribe', messageId: 7, subscriptions: [{ topic: `${TOPIC}/+/#`, qos: 1 }] } as mqttPacket.Packet, 4);
  const encoding: PublishEncoding = {
    version: 4,
    qos: 1,
    retain: false,
    dup: false,
    packetId: 7,
    topic: Buffer.from(TOPIC),
    payload: PAYLOAD,
    topicAlias: 0,
    messageExpiryInterval: -1,
    subscriptionIdentifiers: [],
    forward: Buffer.alloc(0),
  };
  return [
    decode('PUBLISH QoS 0, 64 B', publish(0, 4, false), 4),
    oracle('PUBLISH QoS 0, 64 B', publish(0, 4, false), 4),
    decode('PUBLISH QoS 1, MQTT 5, 3 user properties', publish(1, 5, true), 5),
    oracle('PUBLISH QoS 1, MQTT 5, 3 user properties', publish(1, 5, true), 5),
    measure('check the 3 user properties of a PUBLISH that passes unaltered', (times) => {
      const packet = publish(0, 5, true);
      const at = packet.indexOf(TOPIC) + TOPIC.length;
      for (let i = 0; i < times; i++) sink.value = plainPropertiesEnd(packet, at, packet.length);
    }),
    measure('frame a PUBLISH with 300 B', (times) => {
      const packet = bytes({ cmd: 'publish', topic: TOPIC, payload: Buffer.alloc(300), qos: 0, dup: false, retain: false }, 4);
      for (let i = 0; i < times; i++) sink.value = packetSize(packet, 0, packet.length, 1 << 20);
    }),
    decode('PUBACK', Buffer.from([0x40, 2, 0, 7]), 4),
    decode('CONNECT, MQTT 5', connect, 0),
    decode('SUBSCRIBE', subscribe, 4),
    encode('PUBLISH QoS 1, 64 B', encoding),
    encode('PUBLISH QoS 1, MQTT 5, identifier and expiry', {
      ...encoding,
      version: 5,
      messageExpiryInterval: 60,
      subscriptionIdentifiers: [3],
    }),
    measure('encode PUBACK', (times) => {
      const target = Buffer.alloc(4);
      for (let i = 0; i < times; i++) sink.value = writeAck(target, 0, ACK.puback, 4, 7, 0);
    }),
    measure('encode CONNACK, MQTT 5', (times) => {
      const connack = { sessionPresent: false, reasonCode: 0, properties: { receiveMaximum: 100, topicAliasMaximum: 256 } };
      for (let i = 0; i < times; i++) sink.value = encodeConnack(5, connack);
    }),
  ];
}
