/** A health check from outside: a real MQTT 3.1.1 CONNECT and PINGREQ over TCP or WebSocket, with TLS where there is. */

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

/** Alerts with which a server asks for the client certificate that a probe does not have: it works. */
const WANTS_CERTIFICATE = /ALERT_(CERTIFICATE_REQUIRED|HANDSHAKE_FAILURE)/;

/** With what the client identifiers of a process's probes begin: its workers do not take such a client for one that tries logins. */
export function newProbePrefix(): string {
  return `fluxmq-probe-${randomBytes(8).toString('hex')}-`;
}

/** CONNECT of MQTT 3.1.1 without a login: clean session, keep alive 30 s. The server is FluxMQ itself, which takes long identifiers. */
function connectPacket(prefix: string): Buffer {
  const id = Buffer.from(`${prefix}${randomBytes(4).toString('hex')}`);
  const head = Buffer.from([0, 4, 0x4d, 0x51, 0x54, 0x54, 4, 2, 0, 30, 0, id.length]);
  return Buffer.concat([Buffer.of(0x10, head.length + id.length), head, id]);
}

/**
 * Speaks with an endpoint. Never rejects: each failure is a reason.
 * @param prefix of the client identifier: see newProbePrefix
 * @param timeoutMs for the whole conversation, 1..2147483647
 */
export function probeMqtt(target: ProbeTarget, prefix: string, timeoutMs: number): Promise<ProbeOutcome> {
  return new Promise((resolve) => {
    const startedAt = steadyNow();
    let received = Buffer.alloc(0);
    let wire: Wire | null = null;
    const finish = (reason: string | null, answered: boolean) => {
      clearTimeout(timer);
      // Closing a WebSocket that is not open yet reports an error at once: it must find nobody.
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

/** The address to reach a listener that is bound to every address. */
function reachable(host: string): string {
  if (host === '0.0.0.0') return '127.0.0.1';
  return host === '::' ? '::1' : host;
}

/** This very process is asked: whose certificate it is need not be proved. */
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
