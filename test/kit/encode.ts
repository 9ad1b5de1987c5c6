/** Well-formed bytes of every packet that a client sends; tests corrupt them afterwards. */

import type { Properties } from './properties.ts';
import { encodeProperties, field, u8, u16, varint } from './properties.ts';

/** Protocol level byte: 3 = MQTT 3.1, 4 = 3.1.1, 5 = 5.0. */
export type Version = 3 | 4 | 5;
export type QoS = 0 | 1 | 2;

export interface WillOptions {
  topic: string;
  payload: string | Buffer;
  qos?: QoS;
  retain?: boolean;
  properties?: Properties;
}

export interface ConnectOptions {
  clientId?: string;
  /** clean session / clean start; default true */
  clean?: boolean;
  /** seconds; default 60 */
  keepAlive?: number;
  username?: string | undefined;
  password?: string | undefined;
  will?: WillOptions | undefined;
  /** MQTT 5 only */
  properties?: Properties;
}

export interface PublishOptions {
  qos?: QoS;
  retain?: boolean;
  dup?: boolean;
  id?: number;
  properties?: Properties | undefined;
}

export interface Filter {
  filter: string;
  qos?: QoS;
  noLocal?: boolean;
  retainAsPublished?: boolean;
  retainHandling?: 0 | 1 | 2;
}

/** A whole packet: first byte, remaining length, body. */
export function frame(first: number, ...body: Buffer[]): Buffer {
  const whole = Buffer.concat(body);
  return Buffer.concat([u8(first), varint(whole.length), whole]);
}

/** CONNECT. The client identifier defaults to the empty one. */
export function connect(version: Version, options: ConnectOptions = {}): Buffer {
  const { will } = options;
  let flags = (options.clean ?? true) ? 0x02 : 0;
  if (will) flags |= 0x04 | ((will.qos ?? 0) << 3) | (will.retain ? 0x20 : 0);
  if (options.password !== undefined) flags |= 0x40;
  if (options.username !== undefined) flags |= 0x80;
  const parts = [field(version === 3 ? 'MQIsdp' : 'MQTT'), u8(version), u8(flags), u16(options.keepAlive ?? 60)];
  if (version === 5) parts.push(encodeProperties(options.properties));
  parts.push(field(options.clientId ?? ''));
  if (will) {
    if (version === 5) parts.push(encodeProperties(will.properties));
    parts.push(field(will.topic), field(will.payload));
  }
  if (options.username !== undefined) parts.push(field(options.username));
  if (options.password !== undefined) parts.push(field(options.password));
  return frame(0x10, ...parts);
}

/** PUBLISH. */
export function publish(version: Version, topic: string, payload: string | Buffer, options: PublishOptions = {}): Buffer {
  const qos = options.qos ?? 0;
  const parts = [field(topic)];
  if (qos > 0) parts.push(u16(options.id ?? 1));
  if (version === 5) parts.push(encodeProperties(options.properties));
  parts.push(Buffer.from(payload));
  return frame(0x30 | (options.dup ? 8 : 0) | (qos << 1) | (options.retain ? 1 : 0), ...parts);
}

function acknowledge(first: number, id: number, code: number | undefined, properties: Properties | undefined): Buffer {
  if (code === undefined && properties === undefined) return frame(first, u16(id));
  return frame(first, u16(id), u8(code ?? 0), ...(properties === undefined ? [] : [encodeProperties(properties)]));
}

/** PUBACK; reason code and properties are for MQTT 5 only. */
export function puback(id: number, code?: number, properties?: Properties): Buffer {
  return acknowledge(0x40, id, code, properties);
}

/** PUBREC. */
export function pubrec(id: number, code?: number, properties?: Properties): Buffer {
  return acknowledge(0x50, id, code, properties);
}

/** PUBREL. */
export function pubrel(id: number, code?: number, properties?: Properties): Buffer {
  return acknowledge(0x62, id, code, properties);
}

/** PUBCOMP. */
export function pubcomp(id: number, code?: number, properties?: Properties): Buffer {
  return acknowledge(0x70, id, code, properties);
}

/** SUBSCRIBE. */
export function subscribe(version: Version, id: number, filters: Filter[], properties?: Properties): Buffer {
  const parts = [u16(id)];
  if (version === 5) parts.push(encodeProperties(properties));
  for (const each of filters) {
    const options = (each.qos ?? 0) | (each.noLocal ? 4 : 0) | (each.retainAsPublished ? 8 : 0) | ((each.retainHandling ?? 0) << 4);
    parts.push(field(each.filter), u8(options));
  }
  return frame(0x82, ...parts);
}

/** UNSUBSCRIBE. */
export function unsubscribe(version: Version, id: number, filters: string[], properties?: Properties): Buffer {
  const parts = [u16(id)];
  if (version === 5) parts.push(encodeProperties(properties));
  for (const filter of filters) parts.push(field(filter));
  return frame(0xa2, ...parts);
}

/** PINGREQ. */
export function pingreq(): Buffer {
  return frame(0xc0);
}

/** DISCONNECT; reason code and properties are for MQTT 5 only. */
export function disconnect(code?: number, properties?: Properties): Buffer {
  if (code === undefined && properties === undefined) return frame(0xe0);
  return frame(0xe0, u8(code ?? 0), ...(properties === undefined ? [] : [encodeProperties(properties)]));
}

/** AUTH. */
export function auth(code: number, properties: Properties): Buffer {
  return frame(0xf0, u8(code), encodeProperties(properties));
}
