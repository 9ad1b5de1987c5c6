/** The client side of a WebSocket for health probes: one upgrade, small frames (RFC 6455). */

import { randomBytes } from 'node:crypto';
import { isIPv6, type Socket } from 'node:net';

/** The transport of a probe: TCP or WebSocket. */
export interface Wire {
  send(bytes: Uint8Array): void;
  close(): void;
}

export interface WireEvents {
  onOpen(): void;
  onData(bytes: Uint8Array): void;
  /** @param reason null: the end shows that the endpoint works */
  onEnd(reason: string | null): void;
}

const HEAD_BYTES_MAX = 16 * 1024;
const BINARY_FRAME = 0x82;
const CLOSE_FRAME = 0x88;
/** Longest payload with a one-byte length, which every packet to a probe fits. */
const PAYLOAD_BYTES_MAX = 125;
const MASK_BYTES = 4;

/** Encodes one frame; a client masks its frames (RFC 6455 section 5.3). */
function frame(kind: number, payload: Uint8Array): Buffer {
  const mask = randomBytes(MASK_BYTES);
  const masked = payload.map((byte, index) => byte ^ (mask[index % MASK_BYTES] ?? 0));
  return Buffer.concat([Buffer.of(kind, 0x80 | payload.length), mask, masked]);
}

/** @param ready event that allows writing to the socket */
export function joinWebSocket(
  socket: Socket,
  ready: 'connect' | 'secureConnect',
  target: { host: string; port: number; path: string },
  events: WireEvents,
): Wire {
  let isOpen = false;
  let received = Buffer.alloc(0);
  const host = isIPv6(target.host) ? `[${target.host}]` : target.host;
  socket.on(ready, () => {
    const lines = [
      `GET ${target.path} HTTP/1.1`,
      `Host: ${host}:${target.port}`,
      'Upgrade: websocket',
      'Connection: Upgrade',
      `Sec-WebSocket-Key: ${randomBytes(16).toString('base64')}`,
      'Sec-WebSocket-Version: 13',
      'Sec-WebSocket-Protocol: mqtt',
    ];
    socket.write(`${lines.join('\r\n')}\r\n\r\n`);
  });
  socket.on('data', (bytes) => {
    received = Buffer.concat([received, bytes]);
    if (!isOpen) {
      const end = received.indexOf('\r\n\r\n');
      if (end < 0 && received.length < HEAD_BYTES_MAX) return;
      const status = /^HTTP\/1\.1 (\d{3})/.exec(received.toString('latin1', 0, 16))?.[1];
      if (status !== '101' || end < 0) {
        events.onEnd(`the WebSocket was refused with ${status ?? 'something that is not HTTP'}`);
        return;
      }
      isOpen = true;
      received = received.subarray(end + 4);
      events.onOpen();
    }
    for (let size = wholeFrame(received); size > 0; size = wholeFrame(received)) {
      const payload = received.subarray(2, size);
      if (received[0] !== BINARY_FRAME) events.onEnd('a frame came that holds no MQTT packet [MQTT-6.0.0-1]');
      received = received.subarray(size);
      events.onData(payload);
    }
  });
  return {
    send: (bytes) => socket.write(frame(BINARY_FRAME, bytes)),
    close() {
      if (isOpen) socket.write(frame(CLOSE_FRAME, Buffer.of(0x03, 0xe8)));
      socket.destroySoon();
    },
  };
}

/** Size of the first frame in bytes; 0 while the frame is incomplete. */
function wholeFrame(bytes: Buffer): number {
  const length = bytes[1];
  if (length === undefined || length > PAYLOAD_BYTES_MAX || bytes.length < 2 + length) return 0;
  return 2 + length;
}
