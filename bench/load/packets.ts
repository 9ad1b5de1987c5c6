/** The MQTT packets that the load generator sends, built once. */

import type { Load } from '../scenario.ts';

function text(value: string): Buffer {
  const bytes = Buffer.from(value);
  return Buffer.concat([Buffer.from([bytes.length >> 8, bytes.length & 255]), bytes]);
}

function varint(value: number): Buffer {
  const bytes: number[] = [];
  do {
    bytes.push((value & 127) | (value > 127 ? 128 : 0));
    value >>= 7;
  } while (value > 0);
  return Buffer.from(bytes);
}

function packet(first: number, ...parts: Buffer[]): Buffer {
  const body = Buffer.concat(parts);
  return Buffer.concat([Buffer.from([first]), varint(body.length), body]);
}

/** A clean session without keep-alive; v5: Receive Maximum and Session Expiry at their defaults. */
export function connect(load: Load, clientId: string): Buffer {
  const flags = 0x02 | (load.username === null ? 0 : 0x80) | (load.password === null ? 0 : 0x40);
  const parts = [text('MQTT'), Buffer.from([load.version, flags, 0, 0])];
  if (load.version === 5) parts.push(Buffer.from([0]));
  parts.push(text(clientId));
  if (load.username !== null) parts.push(text(load.username));
  if (load.password !== null) parts.push(text(load.password));
  return packet(0x10, ...parts);
}

export function subscribe(load: Load, packetId: number, filters: readonly string[]): Buffer {
  const properties = load.version === 5 ? Buffer.from([0]) : Buffer.alloc(0);
  const entries = filters.flatMap((filter) => [text(filter), Buffer.from([load.qos])]);
  return packet(0x82, Buffer.from([packetId >> 8, packetId & 255]), properties, ...entries);
}

/** The digits change with each message, so that no two property blocks are equal. */
const VARIABLE = 'value-0000';

/** A PUBLISH without its packet identifier and timestamp, which are filled in later. */
export interface Template {
  bytes: Buffer;
  /** offset of the packet identifier; -1 with QoS 0 */
  idAt: number;
  /** start of the payload: publisher (u16), unused (u16), sequence number (u32), microseconds of the clock (u32) */
  stampAt: number;
  /** offset of four digits in a user property that change with each message; -1: none */
  variableAt: number;
}

export function publish(load: Load, topic: string, publisher: number): Template {
  const name = text(topic);
  const properties: Buffer[] = [];
  for (let i = 0; i < load.userProperties; i++)
    properties.push(Buffer.from([0x26]), text(`property-${i}`), text(i === 0 ? VARIABLE : `value-${i}`));
  const block = Buffer.concat(properties);
  const parts = [name];
  if (load.qos > 0) parts.push(Buffer.alloc(2));
  if (load.version === 5) parts.push(varint(block.length), block);
  const payload = Buffer.alloc(load.payload, 0x2e);
  payload.writeUInt16BE(publisher, 0);
  const bytes = packet(0x30 | (load.qos << 1), ...parts, payload);
  const stampAt = bytes.length - load.payload;
  const idAt = load.qos === 0 ? -1 : bytes.indexOf(name) + name.length;
  const variable = load.userProperties > 0 ? bytes.indexOf(VARIABLE) : -1;
  return { bytes, idAt, stampAt, variableAt: variable < 0 ? -1 : variable + VARIABLE.length - 4 };
}

/** A client's WebSocket frame around `bytes`. Its mask is zero, which the standard allows and which leaves the bytes unchanged. */
export function frame(bytes: Buffer): Buffer {
  return Buffer.concat([frameHeader(bytes.length), bytes]);
}

function frameHeader(length: number): Buffer {
  if (length < 126) return Buffer.from([0x82, 0x80 | length, 0, 0, 0, 0]);
  const header = Buffer.alloc(length < 65_536 ? 8 : 14);
  header[0] = 0x82;
  if (length < 65_536) {
    header[1] = 0xfe;
    header.writeUInt16BE(length, 2);
  } else {
    header[1] = 0xff;
    header.writeUInt32BE(length, 6);
  }
  return header;
}

export function upgradeRequest(port: number): string {
  return (
    `GET /mqtt HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n` +
    'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: mqtt\r\n\r\n'
  );
}
