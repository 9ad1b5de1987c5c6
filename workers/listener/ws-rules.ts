/** What MQTT over WebSocket is like, whichever library carries it, and the bounds of an encrypted connection. */

/** Larger frames than any packet: the size limit is MQTT's, told with its own reason code. */
export const FRAME_BYTES_MAX = 300 * 1024 * 1024;
export const SUBPROTOCOLS = ['mqtt', 'mqttv3.1'];
/** A peer that does not close its side, or does not read what is left, is cut off after this time. */
export const END_DEADLINE_MS = 5_000;
/** From the end of the TLS handshake to the request for a WebSocket. */
export const UPGRADE_MS = 10_000;
/** Close code of a connection that was ended by the MQTT layer (RFC 6455 section 7.4.1: normal closure). */
export const NORMAL_CLOSURE = 1000;
export const UNSUPPORTED_DATA = 1003;
/** What may wait for TLS beside the write under way; of an unencrypted connection the kernel takes that much. */
export const HELD_BYTES_MAX = 256 * 1024;

/** The first subprotocol of a header that is MQTT's. */
export function subprotocolOf(header: string): string | undefined {
  return header
    .split(',')
    .map((name) => name.trim())
    .find((name) => SUBPROTOCOLS.includes(name));
}

/** The path of a request's URL, without its query. */
export function pathOf(url: string | undefined): string {
  return url?.split('?')[0] ?? '';
}
