/** A health check from outside: a real MQTT 3.1.1 CONNECT and PINGREQ over TCP or WebSocket, with TLS where the endpoint has it. */

import { randomBytes } from 'node:crypto';
import { connect, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import type { SslConfig } from '../../endpoint/endpoint.ts';
import { steadyNow } from '../../kernel/clock.ts';
import { joinWebSocket, type Wire, type WireEvents } from './web-socket.ts';

export interface ProbeTarget {
  host: string;
  port: number;
  useWebsocket: boolean;
  path: string;
  sslConfig: Pick<SslConfig, 'enabled' | 'clientAuth'>;
}

export interface ProbeOutcome {
  healthy: boolean;
  /** why the endpoint is unhealthy; null when healthy */
  reason: string | null;
  /** ms from CONNECT to the last answer; null without an answer */
  latencyMs: number | null;
}

const CONNACK = 0x20;
const PINGRESP = 0xd0;
const PINGREQ = Buffer.of(0xc0, 0);
const DISCONNECT = Buffer.of(0xe0, 0);
/** CONNACK codes of MQTT 3.1.1 of a working endpoint that demands a login [MQTT-3.2.2-5]. */
const WANTS_LOGIN = new Set([4, 5]);
const REFUSALS: Record<number, string> = { 1: 'unacceptable protocol version', 2: 'identifier rejected', 3: 'server unavailable' };

/** TLS alerts of a working server that demands a client certificate, which a probe does not have. */
const WANTS_CERTIFICATE = /ALERT_(CERTIFICATE_REQUIRED|HANDSHAKE_FAILURE)/;

/** Makes the secret prefix of this process's probe identifiers. Workers do not count a client with the prefix as a failed login. */
export function newProbePrefix(): string {
  return `fluxmq-probe-${randomBytes(8).toString('hex')}-`;
}

/** CONNECT of MQTT 3.1.1 without a login: clean session, keep alive 30 s. fluxmq accepts the long identifier. */
function connectPacket(prefix: string): Buffer {
  const id = Buffer.from(`${prefix}${randomBytes(4).toString('hex')}`);
  const head = Buffer.from([0, 4, 0x4d, 0x51, 0x54, 0x54, 4, 2, 0, 30, 0, id.length]);
  return Buffer.concat([Buffer.of(0x10, head.length + id.length), head, id]);
}

/**
 * Connects to an endpoint and pings it. Never rejects: each failure is a reason.
 * @param prefix prefix of the client identifier; see newProbePrefix
 * @param timeoutMs deadline of the whole check, 1..2147483647
 */
export function probeMqtt(target: ProbeTarget, prefix: string, timeoutMs: number): Promise<ProbeOutcome> {
  return new Promise((resolve) => {
    const startedAt = steadyNow();
    let received = Buffer.alloc(0);
    let wire: Wire | null = null;
    const finish = (reason: string | null, answered: boolean) => {
      clearTimeout(timer);
      // A WebSocket that is closed before it is open reports an error at once; the listener must be gone before that.
      const open = wire;
      wire = null;
      open?.close();
      resolve({ healthy: reason === null, reason, latencyMs: answered ? Math.round((steadyNow() - startedAt) * 10) / 10 : null });
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
    const events = {
      onOpen: () => wire?.send(connectPacket(prefix)),
      onData,
      onEnd: (reason: string | null) => finish(reason, reason === null),
    };
    wire = open(target, events);
  });
}

/** The address that reaches a listener bound to every address. */
function reachable(host: string): string {
  if (host === '0.0.0.0') return '127.0.0.1';
  return host === '::' ? '::1' : host;
}

/** The probe connects to its own process, so it does not verify the certificate. */
function openSocket({ host, port, sslConfig }: ProbeTarget): { socket: Socket; ready: 'connect' | 'secureConnect' } {
  const to = { host: reachable(host), port };
  if (!sslConfig.enabled) return { socket: connect({ ...to, noDelay: true }), ready: 'connect' };
  return { socket: connectTls({ ...to, rejectUnauthorized: false }).setNoDelay(true), ready: 'secureConnect' };
}

function open(target: ProbeTarget, events: WireEvents): Wire {
  const { socket, ready } = openSocket(target);
  const mayBeRefused = target.sslConfig.enabled && target.sslConfig.clientAuth === 'required';
  socket.on('error', (error: NodeJS.ErrnoException) => {
    events.onEnd(mayBeRefused && WANTS_CERTIFICATE.test(error.code ?? '') ? null : error.message);
  });
  socket.on('close', () => events.onEnd('the connection was closed without an answer'));
  if (target.useWebsocket) return joinWebSocket(socket, ready, target, events);
  socket.on(ready, events.onOpen);
  socket.on('data', events.onData);
  return { send: (bytes) => socket.write(bytes), close: () => socket.destroySoon() };
}
