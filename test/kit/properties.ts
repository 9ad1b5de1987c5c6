/** MQTT 5 properties on the wire, implemented only for tests, so that a bug in the broker's codec cannot hide itself. */

export interface Properties {
  payloadFormat?: number;
  messageExpiry?: number;
  contentType?: string;
  responseTopic?: string;
  correlationData?: Buffer;
  /** one or several, each 1..268435455 */
  subscriptionIds?: number[];
  sessionExpiry?: number;
  assignedClientId?: string;
  serverKeepAlive?: number;
  authMethod?: string;
  authData?: Buffer;
  requestProblem?: number;
  willDelay?: number;
  requestResponse?: number;
  responseInformation?: string;
  serverReference?: string;
  reasonString?: string;
  receiveMaximum?: number;
  topicAliasMaximum?: number;
  topicAlias?: number;
  maximumQos?: number;
  retainAvailable?: number;
  /** in order */
  user?: [string, string][];
  maximumPacketSize?: number;
  wildcardAvailable?: number;
  subscriptionIdsAvailable?: number;
  sharedAvailable?: number;
}

type Kind = 'byte' | 'u16' | 'u32' | 'var' | 'text' | 'data' | 'pair';
type Name = keyof Properties;

const TABLE: [number, Name, Kind][] = [
  [0x01, 'payloadFormat', 'byte'],
  [0x02, 'messageExpiry', 'u32'],
  [0x03, 'contentType', 'text'],
  [0x08, 'responseTopic', 'text'],
  [0x09, 'correlationData', 'data'],
  [0x0b, 'subscriptionIds', 'var'],
  [0x11, 'sessionExpiry', 'u32'],
  [0x12, 'assignedClientId', 'text'],
  [0x13, 'serverKeepAlive', 'u16'],
  [0x15, 'authMethod', 'text'],
  [0x16, 'authData', 'data'],
  [0x17, 'requestProblem', 'byte'],
  [0x18, 'willDelay', 'u32'],
  [0x19, 'requestResponse', 'byte'],
  [0x1a, 'responseInformation', 'text'],
  [0x1c, 'serverReference', 'text'],
  [0x1f, 'reasonString', 'text'],
  [0x21, 'receiveMaximum', 'u16'],
  [0x22, 'topicAliasMaximum', 'u16'],
  [0x23, 'topicAlias', 'u16'],
  [0x24, 'maximumQos', 'byte'],
  [0x25, 'retainAvailable', 'byte'],
  [0x26, 'user', 'pair'],
  [0x27, 'maximumPacketSize', 'u32'],
  [0x28, 'wildcardAvailable', 'byte'],
  [0x29, 'subscriptionIdsAvailable', 'byte'],
  [0x2a, 'sharedAvailable', 'byte'],
];
const BY_ID = new Map(TABLE.map((row) => [row[0], row]));

/** A one-byte integer. */
export function u8(value: number): Buffer {
  return Buffer.from([value]);
}

/** A two-byte integer. */
export function u16(value: number): Buffer {
  return Buffer.from([(value >> 8) & 0xff, value & 0xff]);
}

/** A four-byte integer. */
export function u32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}

/** A variable byte integer, in the fewest bytes [MQTT-1.5.5-1]. */
export function varint(value: number): Buffer {
  const bytes: number[] = [];
  do {
    const digit = value % 128;
    value = Math.floor(value / 128);
    bytes.push(value > 0 ? digit | 0x80 : digit);
  } while (value > 0);
  return Buffer.from(bytes);
}

/** Length-prefixed bytes; text is written as UTF-8. */
export function field(value: string | Buffer): Buffer {
  const bytes = typeof value === 'string' ? Buffer.from(value) : value;
  return Buffer.concat([u16(bytes.length), bytes]);
}

function encodeOne(id: number, kind: Kind, value: Properties[Name]): Buffer {
  const head = u8(id);
  switch (kind) {
    case 'byte':
      return Buffer.concat([head, u8(value as number)]);
    case 'u16':
      return Buffer.concat([head, u16(value as number)]);
    case 'u32':
      return Buffer.concat([head, u32(value as number)]);
    case 'var':
      return Buffer.concat((value as number[]).map((each) => Buffer.concat([head, varint(each)])));
    case 'pair':
      return Buffer.concat((value as [string, string][]).map(([name, text]) => Buffer.concat([head, field(name), field(text)])));
    default:
      return Buffer.concat([head, field(value as string | Buffer)]);
  }
}

/** A property block with its length in front. */
export function encodeProperties(properties: Properties = {}): Buffer {
  const parts = TABLE.filter(([, name]) => properties[name] !== undefined).map(([id, name, kind]) => encodeOne(id, kind, properties[name]));
  const body = Buffer.concat(parts);
  return Buffer.concat([varint(body.length), body]);
}

/** Reads a packet's body from front to back; reading past the end is an error. */
export class Reader {
  readonly bytes: Buffer;
  at = 0;

  constructor(bytes: Buffer) {
    this.bytes = bytes;
  }

  get left(): number {
    return this.bytes.length - this.at;
  }

  u8(): number {
    this.at++;
    return this.bytes.readUInt8(this.at - 1);
  }

  u16(): number {
    this.at += 2;
    return this.bytes.readUInt16BE(this.at - 2);
  }

  u32(): number {
    this.at += 4;
    return this.bytes.readUInt32BE(this.at - 4);
  }

  varint(): number {
    let value = 0;
    for (let factor = 1; ; factor *= 128) {
      const digit = this.u8();
      value += (digit & 0x7f) * factor;
      if ((digit & 0x80) === 0) return value;
      if (factor >= 128 ** 3) throw new Error('variable byte integer is too long');
    }
  }

  data(): Buffer {
    return this.take(this.u16());
  }

  text(): string {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(this.data());
  }

  take(length: number): Buffer {
    if (length > this.left) throw new Error(`${length} bytes wanted, ${this.left} left`);
    this.at += length;
    return this.bytes.subarray(this.at - length, this.at);
  }
}

function readOne(reader: Reader, kind: Kind): number | string | Buffer | [string, string] {
  switch (kind) {
    case 'byte':
      return reader.u8();
    case 'u16':
      return reader.u16();
    case 'u32':
      return reader.u32();
    case 'var':
      return reader.varint();
    case 'text':
      return reader.text();
    case 'data':
      return reader.data();
    case 'pair':
      return [reader.text(), reader.text()];
  }
}

/** Reads a property block with its length. @throws Error for an unknown or repeated property */
export function decodeProperties(reader: Reader): Properties {
  const block = new Reader(reader.take(reader.varint()));
  const properties: Record<string, unknown> = {};
  while (block.left > 0) {
    const id = block.varint();
    const row = BY_ID.get(id);
    if (row === undefined) throw new Error(`unknown property 0x${id.toString(16)}`);
    const [, name, kind] = row;
    const value = readOne(block, kind);
    if (name === 'user' || name === 'subscriptionIds') {
      const list = (properties[name] ?? []) as unknown[];
      list.push(value);
      properties[name] = list;
    } else if (name in properties) {
      throw new Error(`property ${name} is there twice`);
    } else {
      properties[name] = value;
    }
  }
  return properties as Properties;
}
