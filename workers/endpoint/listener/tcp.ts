/** MQTT over TCP and WebSocket, plain or with TLS, on one accepting socket that switches between them without closing. */

import type { X509Certificate } from 'node:crypto';
import type net from 'node:net';
import type { TLSSocket } from 'node:tls';
import { loadUws } from '../../../src/internals/uws/load.ts';
import { plainAddress } from '../../../src/kernel/address.ts';
import { steadyNow } from '../../../src/kernel/clock.ts';
import {
  type Admission,
  type Connection,
  type ConnectionClient,
  type EarlyAdmission,
  type Listener,
  type ListenerHost,
  PLACE,
} from '../connection/connection.ts';
import { type Departing, departLater } from '../connection/departures.ts';
import { UwsSockets } from '../uws/uws-sockets.ts';
import { WebSockets } from '../websocket/web-socket.ts';
import { SocketAcceptor } from './accept.ts';
import { SecureServer } from './secure-server.ts';

const NOTHING = Buffer.alloc(0);
/** A peer that does not close its side, or does not read what is left, is cut off after this time. */
const END_DEADLINE_MS = 5_000;
/** Bytes that may wait for TLS beside the write under way. The kernel takes this much for an unencrypted connection. */
const HELD_BYTES_MAX = 256 * 1024;

/** A socket that knows its connection: all sockets share the same handlers, without a closure each. */
interface OwnedSocket extends net.Socket {
  fluxmq?: TcpConnection;
}

class TcpConnection implements Connection, Departing {
  readonly address: string;
  readonly acceptedAt: number;
  readonly #socket: net.Socket;
  /** the socket below TLS, or the same socket; null closes without a reset */
  readonly #toReset: net.Socket | null;
  client: ConnectionClient | null = null;
  hadError = false;
  #isResetting = false;

  constructor(socket: net.Socket, toReset: net.Socket | null, acceptedAt: number) {
    this.#socket = socket;
    this.acceptedAt = acceptedAt;
    this.#toReset = toReset;
    this.address = plainAddress(socket.remoteAddress);
  }

  send(bytes: Buffer): boolean {
    const socket = this.#socket;
    if (socket.destroyed || socket.writableEnded) return true;
    socket.write(bytes);
    if (socket.writableLength === 0) return true;
    // 'drain' fires only above the high-water mark. The callback of an empty write fires once everything before it has gone out.
    socket.write(NOTHING, (error) => {
      if (!error) this.client?.onDrain();
    });
    return false;
  }

  pause(): void {
    this.#socket.pause();
  }

  resume(): void {
    this.#socket.resume();
  }

  end(): void {
    const socket = this.#socket;
    if (socket.destroyed || socket.writableEnded || this.#isResetting) return;
    socket.resume();
    const toReset = this.#toReset;
    if (toReset === null) socket.end();
    else {
      // The kernel takes all sent bytes first. A FIN before the reset would turn it into an orderly close.
      this.#isResetting = true;
      socket.write(NOTHING, () => toReset.resetAndDestroy());
    }
    const timer = setTimeout(() => socket.destroy(), END_DEADLINE_MS);
    timer.unref();
    socket.once('close', () => clearTimeout(timer));
  }

  finish(): void {
    this.end();
    const socket = this.#socket;
    if (socket.destroyed || this.#isResetting) return;
    if (socket.writableFinished) socket.destroy();
    else socket.once('finish', () => socket.destroy());
  }

  destroy(): void {
    this.#socket.destroy();
  }

  /** The socket is closed already. */
  closeEnded(): void {
    this.client?.onClose(this.hadError);
  }
}

/** A TCP connection over TLS. A TLS write never finishes at once: its callback runs in the next loop iteration. */
class TlsConnection extends TcpConnection {
  readonly #secure: TLSSocket;

  constructor(secure: TLSSocket, toReset: net.Socket | null, acceptedAt: number) {
    super(secure, toReset, acceptedAt);
    this.#secure = secure;
  }

  clientCertificate(): X509Certificate | null {
    return this.#secure.authorized ? (this.#secure.getPeerX509Certificate() ?? null) : null;
  }

  override send(bytes: Buffer): boolean {
    const socket = this.#secure;
    if (socket.destroyed || socket.writableEnded) return true;
    const held = socket.writableLength;
    if (held >= HELD_BYTES_MAX) {
      socket.write(bytes, (error) => {
        if (!error) this.client?.onDrain();
      });
      return false;
    }
    // With no write under way, TLS encrypts the bytes in this call. Otherwise they wait and need a copy: the caller reuses its buffer.
    socket.write(held === 0 ? bytes : Buffer.from(bytes));
    return true;
  }
}

function onData(this: OwnedSocket, chunk: Buffer): void {
  this.fluxmq?.client?.onData(chunk, 0, chunk.length);
}

function onError(this: OwnedSocket): void {
  if (this.fluxmq !== undefined) this.fluxmq.hadError = true;
}

function onClose(this: OwnedSocket): void {
  if (this.fluxmq !== undefined) departLater(this.fluxmq);
}

function join(socket: OwnedSocket, connection: TcpConnection, client: ConnectionClient | null): void {
  socket.on('error', onError);
  if (client === null) {
    socket.destroy();
    return;
  }
  connection.client = client;
  socket.fluxmq = connection;
  socket.on('data', onData);
  socket.on('close', onClose);
}

/** A socket in a TLS handshake, with the protocol that follows. */
interface PromisedSocket extends net.Socket {
  speaks?: Spoken;
  admission?: Admission;
}

type Spoken = 'mqtt' | 'websocket' | 'either';

function spoken({ mayChangeProtocol, endpoint }: ListenerHost): Spoken {
  if (mayChangeProtocol) return 'either';
  return endpoint.useWebsocket ? 'websocket' : 'mqtt';
}

/**
 * Opens a listener without sockets; it accepts from the sockets that acceptFrom() gets. The endpoint decides at accept time which protocol a
 * connection speaks.
 * @throws FluxError `unprocessable`
 * @param stream `handle`: connections without TLS bypass Node's stream layer when this Node allows it; `socket`: they use the stream layer
 */
export function openTcpListener(host: ListenerHost, stream: 'handle' | 'socket' = 'handle'): Listener {
  const toReset = (socket: net.Socket) => (host.endpoint.childOptions.soLinger === 0 ? socket : null);
  const webSockets = new WebSockets(host);
  const uws = new UwsSockets(host, loadUws);
  const secure = new SecureServer({
    onSecure(socket, raw: PromisedSocket, acceptedAt) {
      const connection = new TlsConnection(socket, toReset(raw), acceptedAt);
      const isMqtt = raw.speaks === 'mqtt';
      const { admission = PLACE, speaks } = raw;
      join(socket, connection, isMqtt ? host.welcome(connection, admission) : webSockets.take(connection, admission, speaks === 'either'));
    },
    onFailure: (failure, detail, raw: PromisedSocket, reason) => host.leave(raw.admission ?? PLACE, failure, detail, reason),
  });
  secure.use(host.tls);
  const isPlain = () => stream === 'handle' && !secure.isOn;
  const accept = (connection: Connection, early: EarlyAdmission | null): ConnectionClient | null => {
    const speaks = spoken(host);
    if (early !== null) return webSockets.take(connection, early.admission, speaks !== 'websocket');
    if (speaks === 'mqtt') return host.accept(connection);
    const admission = host.admit(connection.address, true);
    return admission === null ? null : webSockets.take(connection, admission, speaks === 'either');
  };
  const acceptor = new SocketAcceptor(host, isPlain, {
    takes: (handle, serve) => stream === 'handle' && uws.take(handle, serve),
    onHandle: accept,
    onSocket(socket: PromisedSocket, early) {
      if (!secure.isOn) {
        const connection = new TcpConnection(socket, toReset(socket), early?.acceptedAt ?? steadyNow());
        join(socket, connection, accept(connection, early));
        return;
      }
      const admission = early === null ? host.admit(plainAddress(socket.remoteAddress), false) : early.admission;
      if (admission !== null) {
        socket.admission = admission;
        socket.speaks = early === null ? spoken(host) : 'websocket';
        secure.take(socket, early?.acceptedAt ?? steadyNow());
        // A client over a limit costs no handshake.
      } else socket.on('error', onError).destroy();
    },
  });
  return {
    get accepted() {
      return acceptor.accepted;
    },
    acceptFrom: (more) => acceptor.acceptFrom(more),
    drop: (keys) => acceptor.drop(keys),
    setBacklog: (backlog) => acceptor.setBacklog(backlog),
    setTls: (material) => secure.use(material),
    sweep(now) {
      const { handshakeTimeout } = host.endpoint;
      secure.sweep(now, handshakeTimeout);
      webSockets.sweep(now, handshakeTimeout);
      uws.sweep(now, handshakeTimeout);
    },
    stopAccepting: () => acceptor.stopAccepting(),
    close() {
      acceptor.stopAccepting();
      secure.close();
      webSockets.close();
      uws.close();
    },
  };
}
