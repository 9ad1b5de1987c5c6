/** The required effects of a client's bytes by mqtt-packet, which makes the packets of a stream and parses the effects. */

import fc from 'fast-check';
import mqttPacket, { type Packet as TheirPacket } from 'mqtt-packet';
import { REASON } from '../../../src/mqtt/reason-codes.ts';
import { MALFORMED } from './malformed.ts';

export type Version = 3 | 4 | 5;

/** One thing that a client sends. */
export interface Item {
  bytes: Buffer;
  /** reason code with which the connection ends there; null: it stays open */
  ends: number | null;
}

/** A message as subscribers see it; properties in one line. */
export interface Seen {
  topic: string;
  payload: string;
  qos: number;
  retain: boolean;
  properties: string;
}

export interface Effects {
  /** at a subscriber of version 5, and the same for one of 3.1.1 */
  routed: Seen[];
  routedPlain: Omit<Seen, 'properties' | 'retain'>[];
  retained: string[];
  /** what the client was answered: packet, identifier, reason code */
  answers: string[];
  isEnded: boolean;
}

/** Large enough that it is an impossible clock, small enough that its tens of seconds do not move in a test. */
const EXPIRY = 1_000_000;
const PAYLOADS = [0, 1, 16, 100, 127, 128, 300, 17_000];
const TOPICS = ['a', 'a/b', 'bench/pair/000001', 'é/ü', '/', '$other/x', '$SYS/x', 'x'.repeat(130)];
const HIDDEN = '$';

const payload = fc
  .tuple(fc.constantFrom(...PAYLOADS), fc.nat(255))
  .map(([length, seed]) => Buffer.from(Array.from({ length }, (_, i) => (seed + i * 7) & 255)));
const properties = fc.record(
  {
    payloadFormatIndicator: fc.constant(false),
    messageExpiryInterval: fc.constant(EXPIRY),
    responseTopic: fc.constantFrom('answers', 'é'),
    correlationData: fc.uint8Array({ minLength: 1, maxLength: 40 }).map((bytes) => Buffer.from(bytes)),
    contentType: fc.constantFrom('text/plain', 'ü'),
    userProperties: fc.constantFrom<Record<string, string>>({ a: '1' }, { a: '1', b: 'é', c: 'x'.repeat(120) }),
  },
  { requiredKeys: [] },
);

function publish(version: Version): fc.Arbitrary<TheirPacket> {
  const plain = fc.record({
    topic: fc.constantFrom(...TOPICS, TOPICS[2]!, TOPICS[2]!),
    payload,
    qos: fc.constantFrom<0 | 1 | 2>(0, 0, 0, 1, 2),
    retain: fc.integer({ min: 0, max: 9 }).map((n) => n === 0),
    isRepeat: fc.integer({ min: 0, max: 4 }).map((n) => n === 0),
    messageId: fc.integer({ min: 1, max: 6 }),
    alias: version === 5 ? fc.constantFrom(0, 0, 0, 1, 2) : fc.constant(0),
    isKnown: fc.boolean(),
    more: version === 5 ? fc.oneof(fc.constant({}), fc.constant({}), properties) : fc.constant({}),
  });
  return plain.map(({ alias, isKnown, isRepeat, more, topic, ...rest }) => ({
    cmd: 'publish' as const,
    ...rest,
    // An alias without a name is made by the stream, once it is set.
    topic: alias > 0 && isKnown ? `?${topic}` : topic,
    dup: isRepeat && rest.qos > 0,
    properties: alias > 0 ? { ...more, topicAlias: alias } : more,
  }));
}

/** A stream of packets, of which at most the last but a few is malformed. */
export function streams(version: Version): fc.Arbitrary<Item[]> {
  const messageId = fc.integer({ min: 1, max: 6 });
  const acknowledgement = fc
    .tuple(fc.constantFrom('puback', 'pubrec', 'pubrel', 'pubcomp'), messageId, fc.constantFrom(false, false, false, true))
    .map(([cmd, id, hasFailed]) => ({ cmd, messageId: id, reasonCode: version === 5 && hasFailed ? failureOf(cmd) : 0 }) as TheirPacket);
  const subscribe = messageId.map(
    (id) => ({ cmd: 'subscribe', messageId: id, subscriptions: [{ topic: 'nobody/publishes/+', qos: 1 }] }) as TheirPacket,
  );
  const good = fc.oneof(
    { weight: 10, arbitrary: publish(version) },
    { weight: 3, arbitrary: acknowledgement },
    { weight: 1, arbitrary: fc.constant<TheirPacket>({ cmd: 'pingreq' }) },
    { weight: 1, arbitrary: subscribe },
  );
  const broken = fc.constantFrom(...MALFORMED.filter(({ versions }) => versions.includes(version)));
  const disconnect: TheirPacket = { cmd: 'disconnect' };
  return fc
    .record({
      before: fc.array(good, { maxLength: 25 }),
      end: fc.oneof(fc.constant(null), broken, fc.constant(disconnect)),
      after: fc.array(good, { maxLength: 3 }),
    })
    .map(({ before, end, after }) => {
      const isAliasSet = new Set<unknown>();
      const encode = (packet: TheirPacket): Item => ({ bytes: generate(settle(packet, isAliasSet), version), ends: null });
      const items = before.map(encode);
      if (end === null) return items;
      items.push('cmd' in end ? encode(end) : { bytes: end.bytes(version), ends: end.reasonCode });
      return [...items, ...after.map(encode)];
    });
}

/** A reason code that this acknowledgement may have. */
function failureOf(cmd: string): number {
  return cmd === 'puback' || cmd === 'pubrec' ? REASON.unspecifiedError : REASON.packetIdentifierNotFound;
}

/** An alias whose name was sent before goes without it. */
function settle(packet: TheirPacket, isAliasSet: Set<unknown>): TheirPacket {
  if (packet.cmd !== 'publish') return packet;
  const alias = packet.properties?.topicAlias;
  const topic = packet.topic.replace(/^\?/, '');
  if (alias === undefined) return { ...packet, topic };
  const isKnown = packet.topic.startsWith('?') && isAliasSet.has(alias);
  isAliasSet.add(alias);
  return { ...packet, topic: isKnown ? '' : topic };
}

export function generate(packet: TheirPacket, version: Version): Buffer {
  return mqttPacket.generate(packet, { protocolVersion: version });
}

export function connect(clientId: string, version: Version): Buffer {
  const protocolId = version === 3 ? 'MQIsdp' : 'MQTT';
  const limits = version === 5 ? { properties: { receiveMaximum: 65_535 } } : {};
  return generate({ cmd: 'connect', protocolId, protocolVersion: version, clientId, clean: true, keepalive: 0, ...limits }, version);
}

export function parse(bytes: Buffer, version: Version): TheirPacket[] {
  const packets: TheirPacket[] = [];
  const parser = mqttPacket.parser({ protocolVersion: version });
  parser.on('packet', (packet) => packets.push(packet));
  parser.on('error', (error: Error) => {
    throw error;
  });
  const left = parser.parse(bytes);
  if (left > 0) throw new Error(`${left} bytes are not a whole packet`);
  return packets;
}

/** The effects that the standard asks for. */
export function expected(items: readonly Item[], version: Version): Effects {
  const effects: Effects = { routed: [], routedPlain: [], retained: [], answers: ['connack 0'], isEnded: false };
  const aliases = new Map<unknown, string>();
  const received = new Set<unknown>();
  const answer = (cmd: string, id: unknown, code: number): void => void effects.answers.push(`${cmd} ${id} ${version === 5 ? code : 0}`);
  for (const { bytes, ends } of items) {
    if (ends !== null) {
      effects.isEnded = true;
      if (version === 5) effects.answers.push(`disconnect ${ends}`);
      return effects;
    }
    const packet = parse(bytes, version)[0]!;
    switch (packet.cmd) {
      case 'publish': {
        const alias = packet.properties?.topicAlias;
        if (alias !== undefined && packet.topic !== '') aliases.set(alias, packet.topic);
        const topic = packet.topic === '' ? aliases.get(alias)! : packet.topic;
        const isRepeat = packet.qos === 2 && received.has(packet.messageId);
        const isDenied = topic.startsWith('$SYS/');
        if (!isRepeat && !isDenied) {
          const message = seen({ ...packet, topic });
          if (!topic.startsWith(HIDDEN)) {
            effects.routed.push(message);
            effects.routedPlain.push({ topic, payload: message.payload, qos: message.qos });
          }
          if (packet.retain) effects.retained.push(Buffer.from(topic).toString('latin1'));
        }
        if (packet.qos === 2 && !isDenied) received.add(packet.messageId);
        const hasNobody = topic.startsWith(HIDDEN) && !packet.retain;
        const code = isRepeat ? 0 : isDenied ? REASON.notAuthorized : hasNobody ? REASON.noMatchingSubscribers : 0;
        if (packet.qos === 1) answer('puback', packet.messageId, code);
        if (packet.qos === 2) answer('pubrec', packet.messageId, code);
        break;
      }
      case 'pubrec':
        if ((packet.reasonCode ?? 0) < 0x80) answer('pubrel', packet.messageId, REASON.packetIdentifierNotFound);
        break;
      case 'pubrel':
        answer('pubcomp', packet.messageId, received.delete(packet.messageId) ? 0 : REASON.packetIdentifierNotFound);
        break;
      case 'subscribe':
        effects.answers.push(`suback ${packet.messageId} 1`);
        break;
      case 'pingreq':
        effects.answers.push('pingresp');
        break;
      case 'disconnect':
        effects.isEnded = true;
        return effects;
    }
  }
  return effects;
}

export function seen(packet: Extract<TheirPacket, { cmd: 'publish' }>): Seen {
  const { topicAlias: _alias, messageExpiryInterval, ...rest } = packet.properties ?? {};
  const expiry = messageExpiryInterval === undefined ? '' : `expires in ${Math.round(messageExpiryInterval / 100)}00 `;
  return {
    topic: packet.topic,
    payload: Buffer.from(packet.payload).toString('hex'),
    qos: packet.qos,
    retain: packet.retain,
    properties: expiry + JSON.stringify(Object.entries(rest).sort(([one], [other]) => (one < other ? -1 : 1))),
  };
}

/** One answer to the client, as `expected` writes it. */
export function answerOf(packet: TheirPacket): string {
  switch (packet.cmd) {
    case 'connack':
      return `connack ${packet.reasonCode ?? packet.returnCode ?? 0}`;
    case 'puback':
    case 'pubrec':
    case 'pubrel':
    case 'pubcomp':
      return `${packet.cmd} ${packet.messageId} ${packet.reasonCode ?? 0}`;
    case 'suback':
      return `suback ${packet.messageId} ${packet.granted.join()}`;
    case 'disconnect':
      return `disconnect ${packet.reasonCode ?? 0}`;
    default:
      return packet.cmd;
  }
}
