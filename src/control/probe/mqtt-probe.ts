/** A health check from outside: a real MQTT 3.1.1 CONNECT and PINGREQ over TCP or WebSocket. */

import { randomUUID } from 'node:crypto';
import { connect, isIPv6 } from 'node:net';

export interface ProbeTarget {
  host: string;
  port: number;
  useWebsocket: boolean;
  path: string;
}

export interface ProbeOutcome {
  healthy: boolean;
  /** why not; null when healthy */
  reason: string | null;
  /** CONNECT to the last answer; null when nothing answered */
  latencyMs: number | null;
}

const CONNACK = 0x20;
const PINGRESP = 0xd0;
const PINGREQ = Buffer.of(0xc0, 0);
const DISCONNECT = Buffer.of(0xe0, 0);
/** CONNACK codes of MQTT 3.1.1 with which an endpoint says that it works and wants a login [MQTT-3.2.2-5]. */
const WANTS_LOGIN = new Set([4, 5]);
const REFUSALS: Record<number, string> = { 1: 'unacceptable protocol version', 2: 'identifier rejected', 3: 'server unavailable' };

/** What both transports offer to the conversation. */
interface Wire {
  send(bytes: Uint8Array): void;
  close(): void;
}

/** CONNECT of MQTT 3.1.1: clean session, keep alive 30 s, identifier of 23 characters at most [MQTT-3.1.3-5]. */
function connectPacket(): Buffer {
  const id = Buffer.from(`fluxmq-probe-${randomUUID().slice(0, 8)}`);
  const head = Buffer.from([0, 4, 0x4d, 0x51, 0x54, 0x54, 4, 2, 0, 30, 0, id.length]);
  return Buffer.concat([Buffer.of(0x10, head.length + id.length), head, id]);
}

/**
 * Speaks with an endpoint. Never rejects: each failure is a reason.
 * @param timeoutMs for the whole conversation, 1..2147483647
 */
export function probeMqtt(target: ProbeTarget, timeoutMs: number): Promise<ProbeOutcome> {
  return new Promise((resolve) => {
    const startedAt = performance.now();
    let received = Buffer.alloc(0);
    let wire: Wire | null = null;
    const finish = (reason: string | null, answered: boolean) => {
      clearTimeout(timer);
      // Closing a WebSocket that is not open yet reports an error at once: it must find nobody.
      const open = wire;
      wire = null;
      open?.close();
      resolve({ healthy: reason === null, reason, latencyMs: answered ? Math.round((performance.now() - startedAt) * 10) / 10 : null });
    };
    const timer = setTimeout(() => finish(`no answer within ${timeoutMs} ms`, false), timeoutMs);
    const onData = (bytes: Uint8Array) => {
      received = Buffer.concat([received, bytes]);
      if (received.length < 4) return;
      const code = received[3]!;
      if (received[0] !== CONNACK) finish('the answer to CONNECT is not a CONNACK', true);
      else if (WANTS_LOGIN.has(code)) finish(null, true);
      else if (code !== 0) finish(`CONNECT refused: ${REFUSALS[code] ?? `code ${code}`}`, true);
      else if (received.length === 4) wire?.send(PINGREQ);
      else if (received.length >= 6) {
        wire?.send(DISCONNECT);
        finish(received[4] === PINGRESP ? null : 'the answer to PINGREQ is not a PINGRESP', true);
      }
    };
    const events = { onOpen: () => wire?.send(connectPacket()), onData, onEnd: (reason: string) => finish(reason, false) };
    wire = target.useWebsocket ? openWebSocket(target, events) : openTcp(target, events);
  });
}

interface WireEvents {
  onOpen(): void;
  onData(bytes: Uint8Array): void;
  onEnd(reason: string): void;
}

/** The address to reach a listener that is bound to every address. */
function reachable(host: string): string {
  if (host === '0.0.0.0') return '127.0.0.1';
  return host === '::' ? '::1' : host;
}

function openTcp(target: ProbeTarget, events: WireEvents): Wire {
  const socket = connect({ host: reachable(target.host), port: target.port, noDelay: true });
  socket.on('connect', events.onOpen);
  socket.on('data', events.onData);
  socket.on('error', (error) => events.onEnd(error.message));
  socket.on('close', () => events.onEnd('the connection was closed without an answer'));
  return { send: (bytes) => socket.write(bytes), close: () => socket.destroySoon() };
}

function openWebSocket(target: ProbeTarget, events: WireEvents): Wire {
  const host = reachable(target.host);
  const socket = new WebSocket(`ws://${isIPv6(host) ? `[${host}]` : host}:${target.port}${target.path}`, 'mqtt');
  socket.binaryType = 'arraybuffer';
  socket.addEventListener('open', events.onOpen);
  socket.addEventListener('message', (event: MessageEvent<unknown>) => {
    if (event.data instanceof ArrayBuffer) events.onData(new Uint8Array(event.data));
    else events.onEnd('a text frame came where MQTT wants binary ones [MQTT-6.0.0-1]');
  });
  socket.addEventListener('error', () => events.onEnd('the WebSocket could not be opened'));
  socket.addEventListener('close', () => events.onEnd('the connection was closed without an answer'));
  return { send: (bytes) => socket.send(Uint8Array.from(bytes)), close: () => socket.close() };
}
