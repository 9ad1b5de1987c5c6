/** Judges the first bytes of a connection: whether they can begin a CONNECT, and which other protocol they look like. */

/** Fixed header of CONNECT; its flags are reserved [MQTT-2.1.3-1]. */
export const CONNECT_BYTE = 0x10;
/** Protocol names with their length prefix: MQTT 3.1.1 and 5, and MQTT 3.1. */
const NAMES = [Buffer.from('\0\x04MQTT', 'latin1'), Buffer.from('\0\x06MQIsdp', 'latin1')];
const LENGTH_BYTES_MAX = 4;

/** False as soon as buf[start, end) cannot be the beginning of a CONNECT. The bytes may be few. */
export function canBeConnect(buf: Buffer, start: number, end: number): boolean {
  if (start >= end) return true;
  if (buf[start] !== CONNECT_BYTE) return false;
  let at = start + 1;
  for (let count = 1; at < end && buf[at]! >= 0x80; count++, at++) if (count === LENGTH_BYTES_MAX) return false;
  at++;
  if (at >= end) return true;
  return NAMES.some((name) => {
    const length = Math.min(name.length, end - at);
    return buf.compare(name, 0, length, at, at + length) === 0;
  });
}

const HTTP = /^(GET|HEAD|POST|PUT|DELETE|OPTIONS|CONNECT|PATCH|TRACE|PRI) ?/;
/** Signature of the PROXY protocol, version 2. */
const PROXY_2 = '\r\n\r\n\0\r\nQUIT\n';
const SHOWN_BYTES = 16;

/**
 * Describes the protocol of a connection that does not begin with CONNECT, for the log.
 * @param expected the protocol of the port
 */
export function describeStranger(buf: Buffer, start: number, end: number, expected: 'MQTT' | 'WebSocket'): string {
  const head = buf.latin1Slice(start, Math.min(end, start + SHOWN_BYTES));
  if (head.startsWith('PROXY ') || head.startsWith(PROXY_2.slice(0, Math.max(1, head.length))))
    return 'it sent a PROXY protocol header, which this endpoint does not accept';
  if (head.charCodeAt(0) === 0x16 && (head.length === 1 || head.charCodeAt(1) === 0x03))
    return 'it began a TLS handshake, and this endpoint has no sslConfig';
  if (HTTP.test(head)) return 'it sent an HTTP request, and this endpoint has no useWebsocket';
  if (expected === 'WebSocket' && head.charCodeAt(0) === CONNECT_BYTE) return 'it sent MQTT, and this endpoint speaks MQTT over WebSocket';
  return `its first bytes are ${buf.toString('hex', start, Math.min(end, start + SHOWN_BYTES))}`;
}
