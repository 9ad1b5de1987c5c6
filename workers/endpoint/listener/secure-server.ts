/** TLS on accepted sockets: handshakes with a deadline, client certificates, and material that can be replaced at runtime. */

import type net from 'node:net';
import type tls from 'node:tls';
import { earlyVerdict, socketBelow } from '../../../src/internals/tls-sockets.ts';
import { plainAddress } from '../../../src/kernel/address.ts';
import { FluxError, messageOf } from '../../../src/kernel/errors.ts';
import { type TlsMaterial, toTlsOptions } from '../../../src/thread/tls-material.ts';
import type { HandshakeFailure } from '../connection/connection.ts';
import { alertFor, plainAlert, sealedAlert } from './tls-alert.ts';

/** Disables Node's handshake timeout, which starts again with each byte. The sweep judges the age of the connection instead. */
const NEVER_MS = 2 ** 31 - 1;
/** Characters of a certificate's subject in the log; its owner chose the text. */
const SUBJECT_MAX = 200;
/** Time that a client refused by an alert has to close. An earlier close by the server could discard the alert before it is read. */
const LINGER_MS = 1_000;

export interface SecureHooks {
  /** @param acceptedAt as given to take() */
  onSecure(socket: tls.TLSSocket, raw: net.Socket, acceptedAt: number): void;
  /** Called once for each socket whose handshake fails; the socket is closed. */
  onFailure(failure: HandshakeFailure, detail: string, raw: net.Socket, reason: string | undefined): void;
}

/** A handshake under way. */
interface Handshake {
  address: string;
  /** steady milliseconds */
  acceptedAt: number;
  /** the reason, as soon as the handshake fails */
  failure: HandshakeFailure;
  detail: string;
  /** TLS 1.3: the secret that seals an alert; null while unknown */
  serverSecret: Buffer | null;
  /** the reason when the client's certificate is refused */
  refusal: CertificateRefusal | null;
}

/**
 * Never listens itself: callers hand it sockets. New material makes a new Node server. Handshakes under way therefore finish with the
 * material that they began with, and established connections stay unchanged.
 */
export class SecureServer {
  readonly #hooks: SecureHooks;
  #server: tls.Server | null = null;
  #material: TlsMaterial | null = null;
  /** by raw socket, the oldest first */
  readonly #pending = new Map<net.Socket, Handshake>();

  constructor(hooks: SecureHooks) {
    this.#hooks = hooks;
  }

  get isOn(): boolean {
    return this.#server !== null;
  }

  /** Sets the material of the next handshakes; null for none. @throws FluxError `unprocessable`; the old material stays in use */
  use(material: TlsMaterial | null): void {
    if (material?.ticketKeys === this.#material?.ticketKeys && material?.digest === this.#material?.digest) return;
    this.#server = material === null ? null : this.#createServer(material);
    this.#material = material;
  }

  /** Begins a handshake; onSecure() or onFailure() follows. @param acceptedAt steady milliseconds */
  take(raw: net.Socket, acceptedAt: number): void {
    const handshake: Handshake = {
      address: plainAddress(raw.remoteAddress),
      acceptedAt,
      failure: 'tls_handshake',
      detail: 'the connection was closed during the handshake',
      serverSecret: null,
      refusal: null,
    };
    raw.on('error', () => raw.destroy());
    if (this.#server === null) {
      raw.destroy();
      this.#fail(handshake, raw);
      return;
    }
    this.#pending.set(raw, handshake);
    // Node reports the reason right after it closes a socket.
    raw.once('close', () =>
      setImmediate(() => {
        if (this.#pending.delete(raw)) this.#fail(handshake, raw);
      }),
    );
    this.#server.emit('connection', raw);
  }

  /** Ends handshakes that began more than `timeoutMs` ago. @param now steady milliseconds */
  sweep(now: number, timeoutMs: number): void {
    for (const [raw, handshake] of this.#pending) {
      if (now - handshake.acceptedAt <= timeoutMs) return;
      raw.destroy();
      if (handshake.refusal !== null) continue;
      handshake.failure = 'tls_timeout';
      handshake.detail = `the handshake did not finish within ${timeoutMs} ms`;
    }
  }

  /** Ends every handshake under way. */
  close(): void {
    for (const raw of [...this.#pending.keys()]) raw.destroy();
  }

  #fail({ failure, detail, address, refusal }: Handshake, raw: net.Socket): void {
    this.#hooks.onFailure(failure, `${address}: ${detail}`, raw, refusal?.reason);
  }

  #createServer(material: TlsMaterial): tls.Server {
    const { clientAuth, ticketKeys } = material;
    let server: tls.Server;
    try {
      // Loaded only when an endpoint needs it. This method is synchronous: import() is no choice.
      server = process.getBuiltinModule('node:tls').createServer({
        ...toTlsOptions(material),
        requestCert: clientAuth !== 'none',
        // #onSecure() refuses certificates instead: Node would close without an alert.
        rejectUnauthorized: false,
        ticketKeys: Buffer.from(ticketKeys),
        handshakeTimeout: NEVER_MS,
      });
    } catch (error) {
      const message = messageOf(error);
      throw new FluxError('unprocessable', `TLS cannot be used: ${message}`, { cause: error, issues: [{ path: 'sslConfig', message }] });
    }
    server.on('secureConnection', (socket) => this.#onSecure(socket, clientAuth));
    if (clientAuth !== 'none') server.on('keylog', (line, socket) => this.#onSecret(line, socket, clientAuth));
    server.on('tlsClientError', (error: NodeJS.ErrnoException, socket) => this.#onError(error, socket));
    return server;
  }

  #pendingOf(socket: tls.TLSSocket): [raw: net.Socket, handshake: Handshake] | null {
    const raw = socketBelow(socket) ?? this.#findBelow(socket);
    const handshake = raw === null ? undefined : this.#pending.get(raw);
    return raw === null || handshake === undefined ? null : [raw, handshake];
  }

  /** Finds the socket below by its addresses, for a Node that does not name it. A socket that has closed has no address. */
  #findBelow({ remotePort, remoteAddress, localPort, localAddress }: tls.TLSSocket): net.Socket | null {
    if (remotePort === undefined) return null;
    for (const raw of this.#pending.keys()) {
      const isPort = raw.remotePort === remotePort && raw.localPort === localPort;
      if (isPort && raw.remoteAddress === remoteAddress && raw.localAddress === localAddress) return raw;
    }
    return null;
  }

  /**
   * Takes a secret of the handshake. With TLS 1.2, OpenSSL has just judged the client's certificate, and the server has not switched to its
   * keys yet: this is the last moment for an unencrypted alert.
   */
  #onSecret(line: Buffer, socket: tls.TLSSocket, clientAuth: TlsMaterial['clientAuth']): void {
    const pending = this.#pendingOf(socket);
    if (pending === null) return;
    const [raw, handshake] = pending;
    const [label, , secret = ''] = line.toString('latin1').trim().split(' ');
    if (label === 'SERVER_TRAFFIC_SECRET_0') handshake.serverSecret = Buffer.from(secret, 'hex');
    if (label !== 'CLIENT_RANDOM' || handshake.refusal !== null) return;
    const refusal = refusalOf(socket, clientAuth, earlyVerdict(socket));
    if (refusal === null) return;
    raw.write(plainAlert(alertFor(refusal.error, 'TLSv1.2')));
    this.#refuse(raw, socket, handshake, refusal);
  }

  /** Called while OpenSSL still holds the rest of the handshake: a write to the raw socket goes out before it. */
  #onSecure(socket: tls.TLSSocket, clientAuth: TlsMaterial['clientAuth']): void {
    const pending = this.#pendingOf(socket);
    if (pending === null) {
      // The peer has gone: the raw socket's close has reported it.
      socket.destroy();
      return;
    }
    const [raw, handshake] = pending;
    if (handshake.refusal !== null) return;
    const refusal = socket.authorized ? null : refusalOf(socket, clientAuth, String(socket.authorizationError));
    if (refusal !== null) {
      const { serverSecret } = handshake;
      const alert = serverSecret && sealedAlert(socket.getCipher().name, serverSecret, alertFor(refusal.error, 'TLSv1.3'));
      if (alert !== null) raw.write(alert);
      this.#refuse(raw, socket, handshake, refusal);
      return;
    }
    this.#pending.delete(raw);
    this.#hooks.onSecure(socket, raw, handshake.acceptedAt);
  }

  /** The alert is on its way. Further input is ignored, and the client may close first. */
  #refuse(raw: net.Socket, socket: tls.TLSSocket, handshake: Handshake, refusal: CertificateRefusal): void {
    handshake.refusal = refusal;
    handshake.failure = 'tls_client_certificate';
    handshake.detail = refusal.subject ?? 'no certificate';
    const cut = () => raw.destroy();
    socket.on('error', cut).on('end', cut).on('close', cut).resume();
    const timer = setTimeout(cut, LINGER_MS);
    raw.once('close', () => clearTimeout(timer));
    // OpenSSL first writes the rest of its handshake, which the client ignores.
    setImmediate(() => raw.end());
  }

  #onError(error: NodeJS.ErrnoException, socket: tls.TLSSocket): void {
    const handshake = this.#pendingOf(socket)?.[1];
    if (handshake?.refusal === null) handshake.detail = reasonOf(error);
    socket.destroy();
  }
}

interface CertificateRefusal {
  /** Node's name of the error; null when there is no certificate */
  error: string | null;
  /** the same in plain words for the log */
  reason: string;
  subject: string | null;
}

/** The reason to refuse the client, or null. @param error OpenSSL's verdict on its certificate; null when there is none */
function refusalOf(socket: tls.TLSSocket, clientAuth: TlsMaterial['clientAuth'], error: string | null): CertificateRefusal | null {
  if (clientAuth === 'none') return null;
  const certificate = socket.getPeerX509Certificate();
  if (certificate === undefined) {
    return clientAuth === 'optional' ? null : { error: null, reason: 'none was presented', subject: null };
  }
  if (error === null) return null;
  const subject = certificate.subject.replaceAll('\n', ', ').slice(0, SUBJECT_MAX);
  return { error, reason: error, subject };
}

function reasonOf(error: NodeJS.ErrnoException): string {
  const reason = /:SSL routines:[^:]*:([^:]+):/.exec(error.message)?.[1] ?? error.message;
  return reason === 'wrong version number' ? `${reason}: its first bytes are not TLS` : reason;
}
