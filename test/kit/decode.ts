/** Decodes packets of a server, and refuses every byte that the standards do not allow. */

import type { QoS, Version } from './encode.ts';
import type { Properties } from './properties.ts';
import { decodeProperties, Reader } from './properties.ts';

export interface Connack {
  type: 'connack';
  sessionPresent: boolean;
  code: number;
  properties: Properties;
}

export interface Publish {
  type: 'publish';
  topic: string;
  payload: Buffer;
  qos: QoS;
  dup: boolean;
  retain: boolean;
  /** 0 for QoS 0 */
  id: number;
  properties: Properties;
  /** length of the whole packet in bytes */
  size: number;
}

export interface Ack {
  type: 'puback' | 'pubrec' | 'pubrel' | 'pubcomp';
  id: number;
  code: number;
  properties: Properties;
}

export interface Suback {
  type: 'suback' | 'unsuback';
  id: number;
  /** empty for an UNSUBACK before MQTT 5 */
  codes: number[];
  properties: Properties;
}

export interface End {
  type: 'disconnect' | 'auth';
  code: number;
  properties: Properties;
}

export type ServerPacket = Connack | Publish | Ack | Suback | End | { type: 'pingresp' };

/** Packets by their type. */
export type PacketOf<T extends ServerPacket['type']> = Select<ServerPacket, T>;
type Select<P extends ServerPacket, T> = P extends { type: infer U } ? (T extends U ? P : never) : never;

const ACKS: Record<number, Ack['type']> = { 4: 'puback', 5: 'pubrec', 6: 'pubrel', 7: 'pubcomp' };
const CODES: Record<string, number[]> = {
  connack: [
    0, 0x80, 0x81, 0x82, 0x83, 0x84, 0x85, 0x86, 0x87, 0x88, 0x89, 0x8a, 0x8c, 0x90, 0x95, 0x97, 0x99, 0x9a, 0x9b, 0x9c, 0x9d, 0x9f,
  ],
  puback: [0, 0x10, 0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99],
  pubrec: [0, 0x10, 0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99],
  pubrel: [0, 0x92],
  pubcomp: [0, 0x92],
  suback: [0, 1, 2, 0x80, 0x83, 0x87, 0x8f, 0x91, 0x97, 0x9e, 0xa1, 0xa2],
  unsuback: [0, 0x11, 0x80, 0x83, 0x87, 0x8f, 0x91],
  disconnect: [
    0, 0x80, 0x81, 0x82, 0x83, 0x87, 0x89, 0x8b, 0x8d, 0x8e, 0x8f, 0x90, 0x93, 0x94, 0x95, 0x96, 0x97, 0x98, 0x99, 0x9a, 0x9b, 0x9c, 0x9d,
    0x9e, 0x9f, 0xa0, 0xa1, 0xa2,
  ],
  auth: [0, 0x18, 0x19],
};

function must(condition: boolean, what: string): asserts condition {
  if (!condition) throw new Error(what);
}

function known(type: string, code: number, version: Version): number {
  if (version === 5) must(CODES[type]!.includes(code), `reason code 0x${code.toString(16)} is not one of ${type}`);
  return code;
}

function decodePublish(reader: Reader, flags: number, version: Version, size: number): Publish {
  const qos = (flags >> 1) & 3;
  must(qos !== 3, 'PUBLISH with QoS 3');
  must(qos !== 0 || (flags & 8) === 0, 'DUP on QoS 0 [MQTT-3.3.1-2]');
  const topic = reader.text();
  const id = qos === 0 ? 0 : reader.u16();
  must(qos === 0 || id !== 0, 'packet identifier 0');
  const properties = version === 5 ? decodeProperties(reader) : {};
  must(topic !== '' || properties.topicAlias !== undefined, 'PUBLISH without topic and alias');
  must(!/[+#]/.test(topic), 'wildcard in a topic name');
  const payload = Buffer.from(reader.take(reader.left));
  return { type: 'publish', topic, payload, qos: qos as QoS, dup: (flags & 8) !== 0, retain: (flags & 1) !== 0, id, properties, size };
}

function decodeAck(type: Ack['type'], reader: Reader, version: Version): Ack {
  const id = reader.u16();
  must(version === 5 || reader.left === 0, `${type} longer than 2 bytes before MQTT 5`);
  const code = reader.left > 0 ? known(type, reader.u8(), version) : 0;
  return { type, id, code, properties: reader.left > 0 ? decodeProperties(reader) : {} };
}

function decodeSuback(type: Suback['type'], reader: Reader, version: Version): Suback {
  const id = reader.u16();
  const properties = version === 5 ? decodeProperties(reader) : {};
  must(type === 'suback' || version === 5 || reader.left === 0, 'UNSUBACK with a payload before MQTT 5');
  const codes = [...reader.take(reader.left)];
  for (const code of codes) {
    if (version === 5) known(type, code, version);
    else must([0, 1, 2, 0x80].includes(code), `SUBACK return code ${code} [MQTT-3.9.3-2]`);
  }
  return { type, id, codes, properties };
}

function decodeConnack(reader: Reader, version: Version): Connack {
  const flags = reader.u8();
  must((flags & 0xfe) === 0, 'reserved CONNACK flags [MQTT-3.2.2-1]');
  const code = known('connack', reader.u8(), version);
  if (version < 5) must(code <= 5, `CONNACK return code ${code} before MQTT 5`);
  must(code === 0 || flags === 0, 'session present with a refusal');
  // A server that does not support the version may answer in the form of another one, without a property block.
  const properties = version === 5 && (reader.left > 0 || code !== 0x84) ? decodeProperties(reader) : {};
  return { type: 'connack', sessionPresent: flags === 1, code, properties };
}

/**
 * Decodes one whole packet of a server.
 * @throws Error naming the rule that the bytes break
 */
export function decode(first: number, body: Buffer, version: Version, size: number): ServerPacket {
  const kind = first >> 4;
  const flags = first & 0x0f;
  const reader = new Reader(body);
  if (kind === 3) return decodePublish(reader, flags, version, size);
  must(flags === (kind === 6 ? 2 : 0), `fixed header flags ${flags} on packet type ${kind}`);
  const packet = decodeOther(kind, reader, version);
  must(reader.left === 0, `${reader.left} bytes too many in a ${packet.type}`);
  return packet;
}

function decodeOther(kind: number, reader: Reader, version: Version): ServerPacket {
  const ack = ACKS[kind];
  if (ack !== undefined) return decodeAck(ack, reader, version);
  switch (kind) {
    case 2:
      return decodeConnack(reader, version);
    case 9:
      return decodeSuback('suback', reader, version);
    case 11:
      return decodeSuback('unsuback', reader, version);
    case 13:
      return { type: 'pingresp' };
    case 14:
    case 15: {
      must(version === 5, `packet type ${kind} from a server before MQTT 5`);
      const type = kind === 14 ? 'disconnect' : 'auth';
      const code = reader.left > 0 ? known(type, reader.u8(), version) : 0;
      const properties = reader.left > 0 ? decodeProperties(reader) : {};
      must(properties.sessionExpiry === undefined, 'session expiry on a DISCONNECT of the server [MQTT-3.14.2-2]');
      return { type, code, properties };
    }
    default:
      throw new Error(`packet type ${kind} from a server`);
  }
}

/** Cuts a stream of bytes into packets. */
export class Splitter {
  #pending = Buffer.alloc(0);
  readonly #version: Version;
  /** length of the largest packet so far, bytes */
  largest = 0;

  constructor(version: Version) {
    this.#version = version;
  }

  /** Returns all packets that these bytes complete. */
  push(chunk: Buffer): ServerPacket[] {
    this.#pending = Buffer.concat([this.#pending, chunk]);
    const packets: ServerPacket[] = [];
    for (;;) {
      const cut = this.#cut();
      if (cut === null) return packets;
      packets.push(cut);
    }
  }

  #cut(): ServerPacket | null {
    const bytes = this.#pending;
    let length = 0;
    let at = 1;
    for (let factor = 1; ; factor *= 128, at++) {
      if (at >= bytes.length) return null;
      length += (bytes[at]! & 0x7f) * factor;
      if ((bytes[at]! & 0x80) === 0) break;
      must(at < 4, 'remaining length of more than four bytes');
    }
    const end = at + 1 + length;
    if (bytes.length < end) return null;
    this.#pending = bytes.subarray(end);
    this.largest = Math.max(this.largest, end);
    return decode(bytes[0]!, bytes.subarray(at + 1, end), this.#version, end);
  }
}
