/** A table of packets that clients send, good and bad, in a notation that reads like the standard's figures. */

import type { Packet, ProtocolVersion } from '../../src/mqtt/packet.ts';
import { REASON } from '../../src/mqtt/reason-codes.ts';

/**
 * Notation → bytes. `4f 00` hex; `"text"` a UTF-8 string with its two length bytes; `'text'` bytes of text without length;
 * `( … )` a block with its Variable Byte Integer length in front; spaces have no meaning.
 */
export function bytes(notation: string): Buffer {
  const blocks: number[][] = [[]];
  for (const token of notation.match(/"[^"]*"|'[^']*'|[()]|[0-9a-f]{2}|\S+/g) ?? []) {
    const top = blocks.at(-1)!;
    if (token === '(') blocks.push([]);
    else if (token === ')') {
      const block = blocks.pop()!;
      blocks.at(-1)!.push(...variableByteInteger(block.length), ...block);
    } else if (token.startsWith('"')) {
      const text = Buffer.from(token.slice(1, -1));
      top.push(text.length >> 8, text.length & 0xff, ...text);
    } else if (token.startsWith("'")) top.push(...Buffer.from(token.slice(1, -1)));
    else if (/^[0-9a-f]{2}$/.test(token)) top.push(Number.parseInt(token, 16));
    else throw new Error(`no notation: ${token}`);
  }
  if (blocks.length !== 1) throw new Error('a block is not closed');
  return Buffer.from(blocks[0]!);
}

function variableByteInteger(value: number): number[] {
  return value < 128 ? [value] : [(value & 0x7f) | 0x80, ...variableByteInteger(value >> 7)];
}

export interface PacketCase {
  name: string;
  /** 0 = before CONNECT */
  version: ProtocolVersion | 0;
  packet: Buffer;
  /** the decoded packet, or the reason code of its refusal */
  expected: Packet | number;
}

type Row = [name: string, version: ProtocolVersion | 0, notation: string, expected: Packet | number];

const { malformedPacket: MALFORMED, protocolError: PROTOCOL, unsupportedProtocolVersion: VERSION } = REASON;
const { clientIdentifierNotValid: CLIENT_ID, topicNameInvalid: TOPIC, topicAliasInvalid: ALIAS } = REASON;

const connect: Packet = {
  type: 'connect',
  protocolVersion: 5,
  cleanStart: true,
  keepAlive: 60,
  clientId: 'c',
  username: null,
  password: null,
  will: null,
  sessionExpiryInterval: 0,
  receiveMaximum: 65_535,
  maximumPacketSize: 0,
  topicAliasMaximum: 0,
  requestResponseInformation: false,
  requestProblemInformation: true,
  authenticationMethod: null,
  authenticationData: null,
};
const connect4: Packet = { ...connect, protocolVersion: 4 };
const connect3: Packet = { ...connect, protocolVersion: 3 };
const will = { topic: 'w', payload: Buffer.from('bye'), qos: 1 as const, retain: true, willDelayInterval: 0, properties: null };

const CONNECT: Row[] = [
  ['3.1', 0, '10 ("MQIsdp" 03 02 00 3c "c")', connect3],
  ['3.1.1', 0, '10 ("MQTT" 04 02 00 3c "c")', connect4],
  ['5', 0, '10 ("MQTT" 05 02 00 3c () "c")', connect],
  ['3.1.1, session kept', 0, '10 ("MQTT" 04 00 00 3c "c")', { ...connect4, cleanStart: false, sessionExpiryInterval: 0xffff_ffff }],
  ['5, session not kept without expiry', 0, '10 ("MQTT" 05 00 00 3c () "c")', { ...connect, cleanStart: false }],
  ['3.1.1, empty identifier', 0, '10 ("MQTT" 04 02 00 3c "")', { ...connect4, clientId: '' }],
  ['5, empty identifier', 0, '10 ("MQTT" 05 00 00 3c () "")', { ...connect, cleanStart: false, clientId: '' }],
  ['3.1.1, empty identifier and session kept', 0, '10 ("MQTT" 04 00 00 3c "")', CLIENT_ID],
  ['3.1, empty identifier', 0, '10 ("MQIsdp" 03 02 00 3c "")', CLIENT_ID],
  [
    '3.1, identifier of 24 characters',
    0,
    '10 ("MQIsdp" 03 02 00 3c "123456789012345678901234")',
    { ...connect3, clientId: '123456789012345678901234' },
  ],
  ['3.1, user name announced and missing', 0, '10 ("MQIsdp" 03 c2 00 3c "c")', connect3],
  ['3.1, password announced and missing', 0, '10 ("MQIsdp" 03 c2 00 3c "c" "u")', { ...connect3, username: 'u' }],
  ['3.1.1, user name announced and missing', 0, '10 ("MQTT" 04 82 00 3c "c")', MALFORMED],
  ['3.1, bit 0 is unused', 0, '10 ("MQIsdp" 03 03 00 3c "c")', connect3],
  ['3.1.1, bit 0 is reserved', 0, '10 ("MQTT" 04 03 00 3c "c")', MALFORMED],
  ['5, bit 0 is reserved', 0, '10 ("MQTT" 05 03 00 3c () "c")', MALFORMED],
  ['BOM stays in the identifier', 0, '10 ("MQTT" 04 02 00 3c 00 04 ef bb bf 63)', { ...connect4, clientId: '\ufeffc' }],
  ['credentials', 0, '10 ("MQTT" 04 c2 00 00 "c" "u" "p")', { ...connect4, keepAlive: 0, username: 'u', password: Buffer.from('p') }],
  ['5, password alone', 0, '10 ("MQTT" 05 42 00 3c () "c" "p")', { ...connect, password: Buffer.from('p') }],
  ['3.1.1, password alone', 0, '10 ("MQTT" 04 42 00 3c "c" "p")', MALFORMED],
  ['will', 0, '10 ("MQTT" 04 2e 00 3c "c" "w" "bye")', { ...connect4, will }],
  ['will without properties', 0, '10 ("MQTT" 05 2e 00 3c () "c" () "w" "bye")', { ...connect, will }],
  [
    'will with properties',
    0,
    '10 ("MQTT" 05 2e 00 3c () "c" (01 01 18 00 00 00 05 02 00 00 00 09 26 "a" "b") "w" "bye")',
    {
      ...connect,
      will: {
        ...will,
        willDelayInterval: 5,
        properties: { topicAlias: 0, messageExpiryInterval: 9, forward: bytes('01 01 26 "a" "b"') },
      },
    },
  ],
  ['will with topic alias', 0, '10 ("MQTT" 05 2e 00 3c () "c" (23 00 01) "w" "bye")', MALFORMED],
  ['will with subscription identifier', 0, '10 ("MQTT" 05 2e 00 3c () "c" (0b 01) "w" "bye")', MALFORMED],
  ['will delay twice', 0, '10 ("MQTT" 05 2e 00 3c () "c" (18 00 00 00 00 18 00 00 00 05) "w" "bye")', PROTOCOL],
  ['will topic with wildcard', 0, '10 ("MQTT" 04 2e 00 3c "c" "w/#" "bye")', TOPIC],
  ['will topic empty', 0, '10 ("MQTT" 04 2e 00 3c "c" "" "bye")', TOPIC],
  ['will QoS 3', 0, '10 ("MQTT" 04 1e 00 3c "c" "w" "bye")', MALFORMED],
  ['will QoS without will', 0, '10 ("MQTT" 04 0a 00 3c "c")', MALFORMED],
  ['will retain without will', 0, '10 ("MQTT" 04 22 00 3c "c")', MALFORMED],
  [
    'every property',
    0,
    '10 ("MQTT" 05 02 00 3c (11 00 00 00 0a 21 00 05 27 00 00 10 00 22 00 0a 19 01 17 00 26 "b" "1" 26 "a" "2" 26 "b" "3" 15 "SCRAM" 16 "x") "c")',
    {
      ...connect,
      sessionExpiryInterval: 10,
      receiveMaximum: 5,
      maximumPacketSize: 4096,
      topicAliasMaximum: 10,
      requestResponseInformation: true,
      requestProblemInformation: false,
      authenticationMethod: 'SCRAM',
      authenticationData: Buffer.from('x'),
    },
  ],
  ['session that never expires', 0, '10 ("MQTT" 05 02 00 3c (11 ff ff ff ff) "c")', { ...connect, sessionExpiryInterval: 0xffff_ffff }],
  ['property twice', 0, '10 ("MQTT" 05 02 00 3c (21 00 05 21 00 05) "c")', PROTOCOL],
  ['Receive Maximum 0', 0, '10 ("MQTT" 05 02 00 3c (21 00 00) "c")', PROTOCOL],
  ['Maximum Packet Size 0', 0, '10 ("MQTT" 05 02 00 3c (27 00 00 00 00) "c")', PROTOCOL],
  ['request problem information 2', 0, '10 ("MQTT" 05 02 00 3c (17 02) "c")', PROTOCOL],
  ['request response information 2', 0, '10 ("MQTT" 05 02 00 3c (19 02) "c")', PROTOCOL],
  ['authentication data alone', 0, '10 ("MQTT" 05 02 00 3c (16 "x") "c")', PROTOCOL],
  ['property of PUBLISH', 0, '10 ("MQTT" 05 02 00 3c (01 01) "c")', MALFORMED],
  ['unknown property', 0, '10 ("MQTT" 05 02 00 3c (7e 01) "c")', MALFORMED],
  ['property identifier not minimal', 0, '10 ("MQTT" 05 02 00 3c (a1 00 00 05) "c")', MALFORMED],
  ['property length too large', 0, '10 ("MQTT" 05 02 00 3c 7f "c")', MALFORMED],
  ['property larger than property length', 0, '10 ("MQTT" 05 02 00 3c 02 21 00 05 "c")', MALFORMED],
  ['protocol name of others', 0, '10 ("AMQP" 04 02 00 3c "c")', VERSION],
  ['level 6', 0, '10 ("MQTT" 06 02 00 3c () "c")', VERSION],
  ['level 3 with the new name', 0, '10 ("MQTT" 03 02 00 3c "c")', VERSION],
  ['level 4 with the old name', 0, '10 ("MQIsdp" 04 02 00 3c "c")', VERSION],
  ['bridge bit in the level', 0, '10 ("MQTT" 84 02 00 3c "c")', VERSION],
  ['fixed header flags', 0, '11 ("MQTT" 04 02 00 3c "c")', MALFORMED],
  ['trailing bytes', 0, '10 ("MQTT" 04 02 00 3c "c" 00)', MALFORMED],
  ['identifier of ill-formed UTF-8', 0, '10 ("MQTT" 04 02 00 3c 00 02 c3 28)', MALFORMED],
  ['identifier with a surrogate', 0, '10 ("MQTT" 04 02 00 3c 00 03 ed a0 80)', MALFORMED],
  ['identifier with an overlong form', 0, '10 ("MQTT" 04 02 00 3c 00 02 c0 af)', MALFORMED],
  ['identifier with U+0000', 0, '10 ("MQTT" 04 02 00 3c 00 03 61 00 62)', MALFORMED],
  ['user name of ill-formed UTF-8', 0, '10 ("MQTT" 04 82 00 3c "c" 00 01 ff)', MALFORMED],
  ['password of any bytes', 0, '10 ("MQTT" 04 c2 00 3c "c" "u" 00 02 ff 00)', { ...connect4, username: 'u', password: bytes('ff 00') }],
  ['user property with U+0000', 0, '10 ("MQTT" 05 02 00 3c (26 "a" 00 01 00) "c")', MALFORMED],
  ['PINGREQ before CONNECT', 0, 'c0 ()', PROTOCOL],
  ['PUBLISH before CONNECT', 0, '30 ("a")', PROTOCOL],
  ['second CONNECT', 4, '10 ("MQTT" 04 02 00 3c "c")', PROTOCOL],
  ['second CONNECT of 5', 5, '10 ("MQTT" 05 02 00 3c () "c")', PROTOCOL],
];

const publish: Packet = {
  type: 'publish',
  qos: 0,
  retain: false,
  dup: false,
  packetId: 0,
  topic: 'a/b',
  payload: Buffer.from('hi'),
  properties: null,
};

const PUBLISH: Row[] = [
  ['QoS 0', 4, `30 ("a/b" 'hi')`, publish],
  ['QoS 0 of 3.1', 3, `30 ("a/b" 'hi')`, publish],
  ['QoS 0 of 5', 5, `30 ("a/b" () 'hi')`, publish],
  ['retained, without payload', 4, '31 ("a/b")', { ...publish, retain: true, payload: Buffer.alloc(0) }],
  ['QoS 1', 4, `32 ("a/b" 00 07 'hi')`, { ...publish, qos: 1, packetId: 7 }],
  ['QoS 2 again, retained', 5, `3d ("a/b" ff ff () 'hi')`, { ...publish, qos: 2, dup: true, retain: true, packetId: 65_535 }],
  ['topic of two-byte characters', 4, `30 ("é" 'hi')`, { ...publish, topic: 'Ã©' }],
  ['long remaining length', 4, `30 ("${'t'.repeat(200)}" 'hi')`, { ...publish, topic: 't'.repeat(200) }],
  [
    'properties that travel on',
    5,
    `30 ("a/b" (01 01 03 "text" 08 "r/é" 09 00 01 00 26 "b" "1" 26 "a" "2" 26 "b" "1") 'hi')`,
    {
      ...publish,
      properties: {
        topicAlias: 0,
        messageExpiryInterval: -1,
        forward: bytes('01 01 03 "text" 08 "r/é" 09 00 01 00 26 "b" "1" 26 "a" "2" 26 "b" "1"'),
      },
    },
  ],
  [
    'properties that travel on between others',
    5,
    `30 ("a/b" (26 "b" "1" 23 00 03 26 "a" "2" 01 00 02 00 00 00 3c 03 "x") 'hi')`,
    { ...publish, properties: { topicAlias: 3, messageExpiryInterval: 60, forward: bytes('26 "b" "1" 26 "a" "2" 01 00 03 "x"') } },
  ],
  [
    'topic alias alone',
    5,
    `30 ("" (23 00 01) 'hi')`,
    { ...publish, topic: '', properties: { topicAlias: 1, messageExpiryInterval: -1, forward: Buffer.alloc(0) } },
  ],
  [
    'expiry 0',
    5,
    `30 ("a/b" (02 00 00 00 00) 'hi')`,
    { ...publish, properties: { topicAlias: 0, messageExpiryInterval: 0, forward: Buffer.alloc(0) } },
  ],
  ['neither topic nor alias', 5, `30 ("" () 'hi')`, PROTOCOL],
  ['no topic', 4, `30 ("" 'hi')`, TOPIC],
  ['topic alias 0', 5, `30 ("a/b" (23 00 00) 'hi')`, ALIAS],
  ['topic alias twice', 5, `30 ("a/b" (23 00 01 23 00 01) 'hi')`, PROTOCOL],
  ['expiry twice', 5, `30 ("a/b" (02 00 00 00 01 02 00 00 00 01) 'hi')`, PROTOCOL],
  ['content type twice', 5, `30 ("a/b" (03 "x" 03 "x") 'hi')`, PROTOCOL],
  ['payload format 2', 5, `30 ("a/b" (01 02) 'hi')`, PROTOCOL],
  ['subscription identifier', 5, `30 ("a/b" (0b 01) 'hi')`, PROTOCOL],
  ['response topic with wildcard', 5, `30 ("a/b" (08 "r/+") 'hi')`, PROTOCOL],
  ['response topic empty', 5, `30 ("a/b" (08 "") 'hi')`, PROTOCOL],
  ['will delay', 5, `30 ("a/b" (18 00 00 00 01) 'hi')`, MALFORMED],
  ['unknown property', 5, `30 ("a/b" (7f 01) 'hi')`, MALFORMED],
  ['content type of ill-formed UTF-8', 5, `30 ("a/b" (03 00 01 ff) 'hi')`, MALFORMED],
  ['user property of ill-formed UTF-8', 5, `30 ("a/b" (26 "a" 00 01 80) 'hi')`, MALFORMED],
  ['user property without value', 5, `30 ("a/b" (26 "a") 'hi')`, MALFORMED],
  ['property reaches into the payload', 5, `30 ("a/b" 03 26 "a" "b" 'hi')`, MALFORMED],
  ['property length too large', 5, `30 ("a/b" 40 'hi')`, MALFORMED],
  ['property length of 5 bytes', 5, `30 ("a/b" 80 80 80 80 01 'hi')`, MALFORMED],
  ['topic with +', 4, `30 ("a/+" 'hi')`, TOPIC],
  ['topic with #', 5, `30 ("a#" () 'hi')`, TOPIC],
  ['topic with U+0000', 4, '30 (00 01 00)', MALFORMED],
  ['topic of ill-formed UTF-8', 4, '30 (00 02 61 e9)', MALFORMED],
  ['topic longer than the packet', 4, '30 (00 05 61)', MALFORMED],
  ['QoS 3', 4, `36 ("a/b" 00 01 'hi')`, MALFORMED],
  ['DUP with QoS 0', 4, `38 ("a/b" 'hi')`, MALFORMED],
  ['packet identifier 0', 4, `32 ("a/b" 00 00 'hi')`, PROTOCOL],
  ['packet identifier missing', 4, '32 ("a/b")', MALFORMED],
  ['properties missing', 5, '30 ("a/b")', MALFORMED],
];

const ACKS: Row[] = [
  ['PUBACK', 4, '40 (00 07)', { type: 'puback', packetId: 7, reasonCode: 0 }],
  ['PUBACK of 5, length 2', 5, '40 (00 07)', { type: 'puback', packetId: 7, reasonCode: 0 }],
  ['PUBACK of 5, length 3', 5, '40 (00 07 10)', { type: 'puback', packetId: 7, reasonCode: 0x10 }],
  ['PUBACK of 5, length 4', 5, '40 (00 07 80 ())', { type: 'puback', packetId: 7, reasonCode: 0x80 }],
  ['PUBACK with properties', 5, '40 (00 07 97 (1f "no" 26 "a" "b"))', { type: 'puback', packetId: 7, reasonCode: 0x97 }],
  ['PUBREC', 5, '50 (01 00 87)', { type: 'pubrec', packetId: 256, reasonCode: 0x87 }],
  ['PUBREL', 4, '62 (00 07)', { type: 'pubrel', packetId: 7, reasonCode: 0 }],
  ['PUBREL of 5', 5, '62 (00 07 92 ())', { type: 'pubrel', packetId: 7, reasonCode: 0x92 }],
  ['PUBREL of 3.1 with DUP', 3, '6a (00 07)', { type: 'pubrel', packetId: 7, reasonCode: 0 }],
  ['PUBCOMP', 5, '70 (00 07)', { type: 'pubcomp', packetId: 7, reasonCode: 0 }],
  ['PUBREL with DUP', 4, '6a (00 07)', MALFORMED],
  ['PUBREL without its flag', 4, '60 (00 07)', MALFORMED],
  ['PUBACK with flags', 4, '41 (00 07)', MALFORMED],
  ['PUBACK 0', 4, '40 (00 00)', PROTOCOL],
  ['PUBACK too long', 4, '40 (00 07 00)', MALFORMED],
  ['PUBACK too short', 5, '40 (00)', MALFORMED],
  ['PUBACK with a code of PUBREL', 5, '40 (00 07 92)', PROTOCOL],
  ['PUBREC with an unknown code', 5, '50 (00 07 01)', PROTOCOL],
  ['PUBREL with a code of PUBACK', 5, '62 (00 07 10)', PROTOCOL],
  ['PUBCOMP with a code of PUBACK', 5, '70 (00 07 80)', PROTOCOL],
  ['PUBACK with a property of others', 5, '40 (00 07 00 (11 00 00 00 01))', MALFORMED],
  ['PUBACK with two reason strings', 5, '40 (00 07 00 (1f "a" 1f "a"))', PROTOCOL],
  ['PUBACK with trailing bytes', 5, '40 (00 07 00 () 00)', MALFORMED],
];

const option = { noLocal: false, retainAsPublished: false, retainHandling: 0 as const };

const SUBSCRIPTIONS: Row[] = [
  [
    'SUBSCRIBE',
    4,
    '82 (00 01 "a/+" 01 "#" 00)',
    {
      type: 'subscribe',
      packetId: 1,
      subscriptionIdentifier: 0,
      subscriptions: [
        { filter: 'a/+', qos: 1, ...option },
        { filter: '#', qos: 0, ...option },
      ],
    },
  ],
  [
    'SUBSCRIBE of 5',
    5,
    '82 (00 01 (0b ff ff ff 7f 26 "a" "b") "é" 2e)',
    {
      type: 'subscribe',
      packetId: 1,
      subscriptionIdentifier: 268_435_455,
      subscriptions: [{ filter: 'é', qos: 2, noLocal: true, retainAsPublished: true, retainHandling: 2 }],
    },
  ],
  ['SUBSCRIBE of a level with # and more', 5, '82 (00 01 () "ok" 00 "a#" 00)', PROTOCOL],
  ['SUBSCRIBE of # before the end', 4, '82 (00 01 "a/#/b" 00)', PROTOCOL],
  ['SUBSCRIBE of a level with + and more', 3, '82 (00 01 "a+" 00)', PROTOCOL],
  ['SUBSCRIBE of nothing', 4, '82 (00 01 "" 00)', PROTOCOL],
  ['SUBSCRIBE of a share without name', 5, '82 (00 01 () "$share//a" 00)', PROTOCOL],
  ['SUBSCRIBE of a share without filter', 5, '82 (00 01 () "$share/g" 00)', PROTOCOL],
  ['SUBSCRIBE of a share with a wildcard in its name', 5, '82 (00 01 () "$share/g+/a" 00)', PROTOCOL],
  ['UNSUBSCRIBE of an ill-formed filter', 5, 'a2 (00 01 () "ok" "a#")', PROTOCOL],
  ['UNSUBSCRIBE of nothing', 4, 'a2 (00 01 "")', PROTOCOL],
  ['UNSUBSCRIBE of a share without filter', 4, 'a2 (00 01 "$share/g/")', PROTOCOL],
  [
    'SUBSCRIBE of 3.1 with DUP',
    3,
    '8a (00 01 "a" 02)',
    { type: 'subscribe', packetId: 1, subscriptionIdentifier: 0, subscriptions: [{ filter: 'a', qos: 2, ...option }] },
  ],
  ['SUBSCRIBE without its flag', 4, '80 (00 01 "a" 00)', MALFORMED],
  ['SUBSCRIBE with DUP', 4, '8a (00 01 "a" 00)', MALFORMED],
  ['SUBSCRIBE without filter', 4, '82 (00 01)', PROTOCOL],
  ['SUBSCRIBE of 5 without filter', 5, '82 (00 01 ())', PROTOCOL],
  ['SUBSCRIBE without options', 4, '82 (00 01 "a")', MALFORMED],
  ['SUBSCRIBE 0', 4, '82 (00 00 "a" 00)', PROTOCOL],
  ['SUBSCRIBE with QoS 3', 4, '82 (00 01 "a" 03)', MALFORMED],
  ['SUBSCRIBE of 5 with QoS 3', 5, '82 (00 01 () "a" 03)', PROTOCOL],
  ['SUBSCRIBE with an option of 5', 4, '82 (00 01 "a" 04)', MALFORMED],
  ['SUBSCRIBE with reserved bits', 5, '82 (00 01 () "a" 40)', MALFORMED],
  ['SUBSCRIBE with Retain Handling 3', 5, '82 (00 01 () "a" 30)', PROTOCOL],
  ['SUBSCRIBE with No Local on a share', 5, '82 (00 01 () "$share/g/a" 04)', PROTOCOL],
  ['SUBSCRIBE with No Local on a queue', 5, '82 (00 01 () "$queue/a" 04)', PROTOCOL],
  ['SUBSCRIBE with identifier 0', 5, '82 (00 01 (0b 00) "a" 00)', PROTOCOL],
  ['SUBSCRIBE with two identifiers', 5, '82 (00 01 (0b 01 0b 02) "a" 00)', PROTOCOL],
  ['SUBSCRIBE with an identifier not minimal', 5, '82 (00 01 (0b 81 00) "a" 00)', MALFORMED],
  ['SUBSCRIBE with ill-formed UTF-8', 4, '82 (00 01 00 01 ff 00)', MALFORMED],
  ['SUBSCRIBE with U+0000', 4, '82 (00 01 00 01 00 00)', MALFORMED],
  ['UNSUBSCRIBE', 4, 'a2 (00 01 "a" "b/#")', { type: 'unsubscribe', packetId: 1, filters: ['a', 'b/#'] }],
  ['UNSUBSCRIBE of 5', 5, 'a2 (00 01 (26 "a" "b") "a")', { type: 'unsubscribe', packetId: 1, filters: ['a'] }],
  ['UNSUBSCRIBE of 3.1 with DUP', 3, 'aa (00 01 "a")', { type: 'unsubscribe', packetId: 1, filters: ['a'] }],
  ['UNSUBSCRIBE without its flag', 4, 'a0 (00 01 "a")', MALFORMED],
  ['UNSUBSCRIBE without filter', 5, 'a2 (00 01 ())', PROTOCOL],
  ['UNSUBSCRIBE 0', 4, 'a2 (00 00 "a")', PROTOCOL],
  ['UNSUBSCRIBE with a property of SUBSCRIBE', 5, 'a2 (00 01 (0b 01) "a")', MALFORMED],
  ['UNSUBSCRIBE with half a filter', 4, 'a2 (00 01 00 05 61)', MALFORMED],
];

const OTHERS: Row[] = [
  ['PINGREQ', 4, 'c0 ()', { type: 'pingreq' }],
  ['PINGREQ with body', 5, 'c0 (00)', MALFORMED],
  ['PINGREQ with flags', 5, 'c1 ()', MALFORMED],
  ['DISCONNECT', 4, 'e0 ()', { type: 'disconnect', reasonCode: 0, sessionExpiryInterval: null }],
  ['DISCONNECT of 5, length 0', 5, 'e0 ()', { type: 'disconnect', reasonCode: 0, sessionExpiryInterval: null }],
  ['DISCONNECT of 5, length 1', 5, 'e0 (04)', { type: 'disconnect', reasonCode: 4, sessionExpiryInterval: null }],
  ['DISCONNECT of 5, no properties', 5, 'e0 (00 ())', { type: 'disconnect', reasonCode: 0, sessionExpiryInterval: null }],
  [
    'DISCONNECT with properties',
    5,
    'e0 (00 (11 00 00 00 00 1f "bye" 26 "a" "b"))',
    { type: 'disconnect', reasonCode: 0, sessionExpiryInterval: 0 },
  ],
  ['DISCONNECT with reason code before 5', 4, 'e0 (00)', MALFORMED],
  ["DISCONNECT with the server's reason code", 5, 'e0 (8e)', PROTOCOL],
  ['DISCONNECT with an unknown reason code', 5, 'e0 (01)', PROTOCOL],
  ["DISCONNECT with the server's property", 5, 'e0 (00 (1c "other"))', MALFORMED],
  ['DISCONNECT with trailing bytes', 5, 'e0 (00 () 00)', MALFORMED],
  ['DISCONNECT with flags', 5, 'e2 ()', MALFORMED],
  [
    'AUTH',
    5,
    'f0 (18 (15 "SCRAM" 16 "x" 1f "r" 26 "a" "b"))',
    { type: 'auth', reasonCode: 0x18, authenticationMethod: 'SCRAM', authenticationData: Buffer.from('x') },
  ],
  ['AUTH again', 5, 'f0 (19 (15 "M"))', { type: 'auth', reasonCode: 0x19, authenticationMethod: 'M', authenticationData: null }],
  ['AUTH without method', 5, 'f0 (18 ())', PROTOCOL],
  ['AUTH with data alone', 5, 'f0 (18 (16 "x"))', PROTOCOL],
  ['AUTH of length 0', 5, 'f0 ()', PROTOCOL],
  ["AUTH with the server's reason code", 5, 'f0 (00 (15 "M"))', PROTOCOL],
  ['AUTH with trailing bytes', 5, 'f0 (18 (15 "M") 00)', MALFORMED],
  ['AUTH before 5', 4, 'f0 ()', MALFORMED],
  ['type 0', 5, '00 ()', MALFORMED],
  ['CONNACK', 5, '20 (00 00 ())', PROTOCOL],
  ['SUBACK', 4, '90 (00 01 00)', PROTOCOL],
  ['UNSUBACK', 5, 'b0 (00 01 () 00)', PROTOCOL],
  ['PINGRESP', 4, 'd0 ()', PROTOCOL],
  ['remaining length too small', 4, '40 03 00 07', MALFORMED],
  ['remaining length too large', 4, '40 01 00 07', MALFORMED],
  ['remaining length not minimal', 4, '40 82 00 00 07', MALFORMED],
  ['remaining length of 5 bytes', 4, '30 80 80 80 80 01', MALFORMED],
];

/** Every packet type in every version, and each rule of the standards that a packet alone can break. */
export const PACKETS: readonly PacketCase[] = Object.entries({ CONNECT, PUBLISH, ACKS, SUBSCRIPTIONS, OTHERS }).flatMap(([group, rows]) =>
  rows.map(([name, version, notation, expected]) => ({ name: `${group}: ${name}`, version, packet: bytes(notation), expected })),
);
