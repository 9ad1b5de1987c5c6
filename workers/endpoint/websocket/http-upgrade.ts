/** The HTTP request that asks for a WebSocket (RFC 6455 section 4.2), and its answer. */

import { createHash } from 'node:crypto';

/** Bytes of the request line and all headers together; no client needs more. */
export const HEAD_BYTES_MAX = 16 * 1024;
const SUBPROTOCOLS = ['mqtt', 'mqttv3.1'];
/** Name or address, with or without a port (RFC 9110 section 7.2). Names are never resolved. */
const HOST = /^(\[[0-9A-Za-z:.%]+\]|[^\s,@/?#[\]:]+)(:\d*)?$/;
const MAGIC = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11';

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
  const [line = '', ...fields] = head.split('\r\n');
  const [method, target, version] = line.split(' ');
  const headers = readHeaders(fields);
  if (headers === null || target === undefined || !/^HTTP\/1\.[1-9]$/.test(version ?? '')) return refuse('400 Bad Request');
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
  const accept = createHash('sha1').update(`${key}${MAGIC}`).digest('base64');
  const lines = ['HTTP/1.1 101 Switching Protocols', 'Upgrade: websocket', 'Connection: Upgrade', `Sec-WebSocket-Accept: ${accept}`];
  // [MQTT-6.0.0-4]: the server MUST indicate the selected subprotocol.
  lines.push(`Sec-WebSocket-Protocol: ${protocol}`);
  return { bytes: Buffer.from(`${lines.join('\r\n')}\r\n\r\n`, 'latin1'), isOpen: true };
}

/** The answer to a request whose header exceeds HEAD_BYTES_MAX. */
export function refuseLongHead(): UpgradeAnswer {
  return refuse('431 Request Header Fields Too Large');
}

/** RFC 9110 section 15.5.22, RFC 6455 section 4.4. */
function requireUpgrade(): UpgradeAnswer {
  return refuse('426 Upgrade Required', '', 'Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n', 'Upgrade, close');
}

function hasBody(headers: Map<string, string>): boolean {
  return headers.has('transfer-encoding') || (headers.get('content-length') ?? '0') !== '0';
}

function refuse(status: string, body = '', extra = '', connection = 'close'): UpgradeAnswer {
  const type = body === '' ? '' : 'Content-Type: text/plain\r\n';
  const head = `HTTP/1.1 ${status}\r\n${extra}${type}Connection: ${connection}\r\nContent-Length: ${body.length}\r\n\r\n`;
  return { bytes: Buffer.from(head + body, 'latin1'), isOpen: false };
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
