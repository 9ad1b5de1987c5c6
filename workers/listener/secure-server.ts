/** TLS on sockets that others have accepted: handshakes with a deadline, client certificates, and material that is exchanged under way. */

import type net from 'node:net';
import type tls from 'node:tls';
import { plainAddress } from '../../src/kernel/address.ts';
import { steadyNow } from '../../src/kernel/clock.ts';
import { FluxError } from '../../src/kernel/errors.ts';
import { type TlsMaterial, toTlsOptions } from '../../src/thread/tls-material.ts';
import type { HandshakeFailure } from '../connection.ts';

/** Node's own limit begins anew with each byte: the sweep goes by the age of the connection instead. */
const NEVER_MS = 2 ** 31 - 1;
/** OpenSSL's complaint when a client shows none where it must. */
const NO_CERTIFICATE = 'ERR_SSL_PEER_DID_NOT_RETURN_A_CERTIFICATE';

export interface SecureHooks {
  /** @param acceptedAt steady milliseconds at which take() was called */
  onSecure(socket: tls.TLSSocket, raw: net.Socket, acceptedAt: number): void;
  /** Once for each socket that did not become secure; it is closed. */
  onFailure(failure: HandshakeFailure, detail: string, raw: net.Socket): void;
}

/** A secure socket that knows the one below it, as Node 22 has it; there is no public name for it. */
interface LayeredSocket extends tls.TLSSocket {
  _parent?: net.Socket;
}

/** A handshake under way. */
interface Handshake {
  address: string;
  /** steady milliseconds */
  acceptedAt: number;
  /** why it failed, as soon as that is known */
  failure: HandshakeFailure;
  detail: string;
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
      handshake.failure = 'tls_timeout';
      handshake.detail = `the handshake was not done after ${timeoutMs} ms`;
      raw.destroy();
    }
  }

  /** Ends every handshake under way. */
  close(): void {
    for (const raw of [...this.#pending.keys()]) raw.destroy();
  }

  #fail({ failure, detail, address }: Handshake, raw: net.Socket): void {
    this.#hooks.onFailure(failure, `${address}: ${detail}`, raw);
  }

  #createServer(material: TlsMaterial): tls.Server {
    const { clientAuth, ticketKeys } = material;
    let server: tls.Server;
    try {
      // Loaded only where an endpoint needs it, and here nobody can wait.
      server = process.getBuiltinModule('node:tls').createServer({
        ...toTlsOptions(material),
        requestCert: clientAuth !== 'none',
        rejectUnauthorized: clientAuth === 'required',
        ticketKeys: Buffer.from(ticketKeys),
        handshakeTimeout: NEVER_MS,
      });
    } catch (error) {
      const message = error instanceof Error ? error.message : String(error);
      throw new FluxError('unprocessable', `TLS cannot be used: ${message}`, { cause: error, issues: [{ path: 'sslConfig', message }] });
    }
    server.on('secureConnection', (socket) => this.#onSecure(socket, clientAuth === 'optional'));
    server.on('tlsClientError', (error: NodeJS.ErrnoException, socket) => this.#onError(error, socket));
    return server;
  }

  #onSecure(socket: LayeredSocket, isOptional: boolean): void {
    const raw = socket._parent;
    const handshake = raw === undefined ? undefined : this.#pending.get(raw);
    if (raw === undefined || handshake === undefined) {
      // The peer has gone already: its raw socket has told.
      socket.destroy();
      return;
    }
    if (isOptional && !socket.authorized && socket.getPeerX509Certificate() !== undefined) {
      handshake.failure = 'tls_client_certificate';
      handshake.detail = `client certificate refused: ${String(socket.authorizationError)}`;
      socket.destroy();
      return;
    }
    this.#pending.delete(raw);
    this.#hooks.onSecure(socket, raw, handshake.acceptedAt);
  }

  #onError(error: NodeJS.ErrnoException, socket: LayeredSocket): void {
    const handshake = socket._parent === undefined ? undefined : this.#pending.get(socket._parent);
    if (handshake !== undefined) {
      // Typed as Error, but it is OpenSSL's code; null when the client was not to show a certificate, or a good one.
      const refused: unknown = socket.authorizationError;
      if (error.code === NO_CERTIFICATE || (refused !== null && refused !== undefined)) handshake.failure = 'tls_client_certificate';
      handshake.detail = refused !== null && refused !== undefined ? `client certificate refused: ${String(refused)}` : reasonOf(error);
    }
    socket.destroy();
  }
}

function reasonOf(error: NodeJS.ErrnoException): string {
  const reason = /:SSL routines:[^:]*:([^:]+):/.exec(error.message)?.[1] ?? error.message;
  return reason === 'wrong version number' ? `${reason}: its first bytes are no TLS` : reason;
}
