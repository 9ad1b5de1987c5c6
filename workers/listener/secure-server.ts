/** TLS on sockets that others have accepted: handshakes with a deadline, client certificates, and material that is exchanged under way. */

import type net from 'node:net';
import type tls from 'node:tls';
import { plainAddress } from '../../src/kernel/address.ts';
import { steadyNow } from '../../src/kernel/clock.ts';
import { FluxError, messageOf } from '../../src/kernel/errors.ts';
import { type TlsMaterial, toTlsOptions } from '../../src/thread/tls-material.ts';
import type { HandshakeFailure } from '../connection.ts';
import { alertFor, plainAlert, sealedAlert } from './tls-alert.ts';

/** Node's own limit begins anew with each byte: the sweep goes by the age of the connection instead. */
const NEVER_MS = 2 ** 31 - 1;
/** Characters of a subject in the log: its owner chose it. */
const SUBJECT_MAX = 200;
/** A client that was refused by an alert has this long to close; a connection that is cut sooner could take the alert with it. */
const LINGER_MS = 1_000;

export interface SecureHooks {
  /** @param acceptedAt steady milliseconds at which take() was called */
  onSecure(socket: tls.TLSSocket, raw: net.Socket, acceptedAt: number): void;
  /** Once for each socket that did not become secure; it is closed. */
  onFailure(failure: HandshakeFailure, detail: string, raw: net.Socket, reason: string | undefined): void;
}

/** A secure socket that knows the one below it, as Node 22 has it; there is no public name for it. */
interface LayeredSocket extends tls.TLSSocket {
  _parent?: net.Socket;
  /** what OpenSSL says of the client's certificate before the handshake is done */
  _handle?: { verifyError?(): NodeJS.ErrnoException | null } | null;
}

/** A handshake under way. */
interface Handshake {
  address: string;
  /** steady milliseconds */
  acceptedAt: number;
  /** why it failed, as soon as that is known */
  failure: HandshakeFailure;
  detail: string;
  /** TLS 1.3: with it an alert can be sealed; null: not known */
  serverSecret: Buffer | null;
  /** why its certificate is refused */
  refusal: CertificateRefusal | null;
}

/**
 * Never listens itself: sockets are given to it. Each exchange of material makes a new server of node's, so that handshakes under way
 * end with what they began with, and connections stay what they are.
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

  /** What the next handshakes use; null: none. @throws FluxError `unprocessable`: it goes on with what it had */
  use(material: TlsMaterial | null): void {
    if (material?.ticketKeys === this.#material?.ticketKeys && material?.digest === this.#material?.digest) return;
    this.#server = material === null ? null : this.#createServer(material);
    this.#material = material;
  }

  /** Begins a handshake; onSecure() or onFailure() follows. */
  take(raw: net.Socket): void {
    const handshake: Handshake = {
      address: plainAddress(raw.remoteAddress),
      acceptedAt: steadyNow(),
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
    // Node tells why it closed a socket right after that.
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
      handshake.detail = `the handshake was not done after ${timeoutMs} ms`;
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
      // Loaded only where an endpoint needs it, and here nobody can wait.
      server = process.getBuiltinModule('node:tls').createServer({
        ...toTlsOptions(material),
        requestCert: clientAuth !== 'none',
        // #onSecure() does that: Node would close without an alert.
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

  #pendingOf(socket: LayeredSocket): [raw: net.Socket, handshake: Handshake] | null {
    const raw = socket._parent;
    const handshake = raw === undefined ? undefined : this.#pending.get(raw);
    return raw === undefined || handshake === undefined ? null : [raw, handshake];
  }

  /**
   * A secret of the handshake is known. With TLS 1.2 that is when the client's certificate has been judged and the server has not changed to
   * its keys yet: the last moment for an alert that anybody can write.
   */
  #onSecret(line: Buffer, socket: LayeredSocket, clientAuth: TlsMaterial['clientAuth']): void {
    const pending = this.#pendingOf(socket);
    if (pending === null) return;
    const [raw, handshake] = pending;
    const [label, , secret = ''] = line.toString('latin1').trim().split(' ');
    if (label === 'SERVER_TRAFFIC_SECRET_0') handshake.serverSecret = Buffer.from(secret, 'hex');
    if (label !== 'CLIENT_RANDOM' || handshake.refusal !== null) return;
    const refusal = refusalOf(socket, clientAuth, socket._handle?.verifyError?.()?.code ?? null);
    if (refusal === null) return;
    raw.write(plainAlert(alertFor(refusal.error, 'TLSv1.2')));
    this.#refuse(raw, socket, handshake, refusal);
  }

  /** Called while OpenSSL has the rest of the handshake in its hands: what is written now goes out before that. */
  #onSecure(socket: LayeredSocket, clientAuth: TlsMaterial['clientAuth']): void {
    const pending = this.#pendingOf(socket);
    if (pending === null) {
      // The peer has gone already: its raw socket has told.
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

  /** The alert is on its way: nothing else is heard of this client, who may close first. */
  #refuse(raw: net.Socket, socket: tls.TLSSocket, handshake: Handshake, refusal: CertificateRefusal): void {
    handshake.refusal = refusal;
    handshake.failure = 'tls_client_certificate';
    handshake.detail = refusal.subject ?? 'no certificate';
    const cut = () => raw.destroy();
    socket.on('error', cut).on('end', cut).on('close', cut).resume();
    const timer = setTimeout(cut, LINGER_MS);
    raw.once('close', () => clearTimeout(timer));
    // OpenSSL writes the rest of its handshake first, which the client ignores.
    setImmediate(() => raw.end());
  }

  #onError(error: NodeJS.ErrnoException, socket: LayeredSocket): void {
    const handshake = this.#pendingOf(socket)?.[1];
    if (handshake?.refusal === null) handshake.detail = reasonOf(error);
    socket.destroy();
  }
}

interface CertificateRefusal {
  /** Node's name; null: there is no certificate */
  error: string | null;
  /** the same for people */
  reason: string;
  subject: string | null;
}

/** Why the client may not come in, or null. @param error what OpenSSL says of its certificate; null: nothing */
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
  return reason === 'wrong version number' ? `${reason}: its first bytes are no TLS` : reason;
}
