/** The HTTP request that asks for a WebSocket (RFC 6455 section 4.2), and its answer. */

import { createHash } from 'node:crypto';

/** Bytes of the request line and all headers together; no client needs more. */
export const HEAD_BYTES_MAX = 16 * 1024;
const SUBPROTOCOLS = ['mqtt', 'mqttv3.1'];
/** Name or address, with or without a port (RFC 9110 section 7.2). Names are never resolved. */
const HOST = /^(\[[0-9A-Za-z:.%]+\]|[^\s,@/?#[\]:]+)(:\d*)?$/;
const MAGIC = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11';

/** A request without its body. */
export interface UpgradeRequest {
  method: string;
  /** as in the request line */
  target: string;
  /** by lower-case name; repeated headers joined as in RFC 9110 section 5.3 */
  headers: ReadonlyMap<string, string>;
}

/** The answer that refuses a request. */
export interface UpgradeRefusal {
  /** code and phrase */
  status: string;
  body: string;
  /** beside Content-Type, Connection and Content-Length */
  headers: readonly (readonly [name: string, value: string])[];
  connection: string;
}

/** The parameters of a request that opens a WebSocket. */
export interface Upgrade {
  /** Sec-WebSocket-Key */
  key: string;
  /** the subprotocol chosen */
  protocol: string;
}

/** `isOpen`: the bytes after the request are frames; otherwise the connection ends after the answer. */
export interface UpgradeAnswer {
  bytes: Buffer;
  isOpen: boolean;
}

/**
 * @param head the request without the empty line at its end, latin1
 * @param path the endpoint's WebSocket path
 */
export function answerUpgrade(head: string, path: string): UpgradeAnswer {
  const judged = judgeHead(head, path);
  return 'key' in judged ? accept(judged) : { bytes: textOf(judged), isOpen: false };
}

/** Judges a request as answerUpgrade() does; the caller writes the answer. */
export function judgeHead(head: string, path: string): Upgrade | UpgradeRefusal {
  const [line = '', ...fields] = head.split('\r\n');
  const [method = '', target, version] = line.split(' ');
  const headers = readHeaders(fields);
  if (headers === null || target === undefined || !/^HTTP\/1\.[1-9]$/.test(version ?? '')) return refuse('400 Bad Request');
  return judgeUpgrade({ method, target, headers }, path);
}

/** Judges a request that another parser has read. @param path the endpoint's WebSocket path */
export function judgeUpgrade({ method, target, headers }: UpgradeRequest, path: string): Upgrade | UpgradeRefusal {
  // RFC 9112 section 3.2: no Host header, several of them, or one that names no host.
  if (!HOST.test(headers.get('host') ?? '')) return refuse('400 Bad Request', 'the Host header is missing or malformed');
  if (pathOf(target) !== path) return refuse('404 Not Found');
  const isUpgrade = hasToken(headers.get('upgrade'), 'websocket') && hasToken(headers.get('connection'), 'upgrade');
  if (method !== 'GET' || !isUpgrade) return requireUpgrade();
  if (headers.get('sec-websocket-version') !== '13') return requireUpgrade();
  // The body would be read as frames.
  if (hasBody(headers)) return refuse('400 Bad Request', 'a request for a WebSocket has no body');
  const key = headers.get('sec-websocket-key') ?? '';
  if (!/^[A-Za-z0-9+/]{22}==$/.test(key)) return refuse('400 Bad Request', 'Sec-WebSocket-Key is missing or malformed');
  const protocol = subprotocolOf(headers.get('sec-websocket-protocol') ?? '');
  // [MQTT-6.0.0-3]: the client MUST include "mqtt" in the list of subprotocols it offers.
  if (protocol === undefined) return refuse('400 Bad Request', 'the WebSocket subprotocol must be mqtt');
  return { key, protocol };
}

function accept({ key, protocol }: Upgrade): UpgradeAnswer {
  const proof = createHash('sha1').update(`${key}${MAGIC}`).digest('base64');
  const lines = ['HTTP/1.1 101 Switching Protocols', 'Upgrade: websocket', 'Connection: Upgrade', `Sec-WebSocket-Accept: ${proof}`];
  // [MQTT-6.0.0-4]: the server MUST indicate the selected subprotocol.
  lines.push(`Sec-WebSocket-Protocol: ${protocol}`);
  return { bytes: Buffer.from(`${lines.join('\r\n')}\r\n\r\n`, 'latin1'), isOpen: true };
}

/** The answer to a request whose header exceeds HEAD_BYTES_MAX. */
export function refuseLongHead(): UpgradeAnswer {
  return { bytes: textOf(refuse('431 Request Header Fields Too Large')), isOpen: false };
}

/** RFC 9110 section 15.5.22, RFC 6455 section 4.4. */
function requireUpgrade(): UpgradeRefusal {
  const headers = [
    ['Upgrade', 'websocket'],
    ['Sec-WebSocket-Version', '13'],
  ] as const;
  return { status: '426 Upgrade Required', body: '', headers, connection: 'Upgrade, close' };
}

function hasBody(headers: ReadonlyMap<string, string>): boolean {
  return headers.has('transfer-encoding') || (headers.get('content-length') ?? '0') !== '0';
}

function refuse(status: string, body = ''): UpgradeRefusal {
  return { status, body, headers: body === '' ? [] : [['Content-Type', 'text/plain']], connection: 'close' };
}

function textOf({ status, body, headers, connection }: UpgradeRefusal): Buffer {
  const fields = headers.map(([name, value]) => `${name}: ${value}\r\n`).join('');
  const head = `HTTP/1.1 ${status}\r\n${fields}Connection: ${connection}\r\nContent-Length: ${body.length}\r\n\r\n`;
  return Buffer.from(head + body, 'latin1');
}

/** Headers by lower-case name, repeated headers joined as in RFC 9110 section 5.3; null when a header is malformed. */
function readHeaders(fields: string[]): Map<string, string> | null {
  const headers = new Map<string, string>();
  for (const field of fields) {
    const colon = field.indexOf(':');
    // A space before the colon, or a folded line, is a way to smuggle headers.
    if (colon <= 0 || !/^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/.test(field.slice(0, colon))) return null;
    const name = field.slice(0, colon).toLowerCase();
    const value = field.slice(colon + 1).trim();
    const before = headers.get(name);
    headers.set(name, before === undefined ? value : `${before}, ${value}`);
  }
  return headers;
}

function hasToken(header: string | undefined, token: string): boolean {
  return header !== undefined && listOf(header).some((each) => each.toLowerCase() === token);
}

function subprotocolOf(header: string): string | undefined {
  return listOf(header).find((name) => SUBPROTOCOLS.includes(name));
}

function listOf(header: string): string[] {
  return header.split(',').map((each) => each.trim());
}

/** The path without its query, from the origin form or the absolute form. RFC 9112 section 3.2.2 demands that a server accepts both. */
function pathOf(target: string): string {
  return target.replace(/^https?:\/\/[^/?]*/i, '').split('?')[0] ?? '';
}
