/** MQTT over TCP: a net server per endpoint and worker, on a port shared by SO_REUSEPORT. */

import net from 'node:net';
import type { ChildOptions, Endpoint } from '../../src/endpoint/endpoint.ts';
import type { ClientFactory, Connection, ConnectionClient, Listener } from '../connection.ts';
import { toBindError } from './bind-error.ts';

/** A peer that does not close its side, or does not read what is left, is cut off after this time. */
const END_DEADLINE_MS = 5_000;
const NOTHING = Buffer.alloc(0);

/** A socket that knows its connection, so that all sockets share the same handlers (no closures per socket). */
interface OwnedSocket extends net.Socket {
  fluxmq?: TcpConnection;
}

class TcpConnection implements Connection {
  readonly address: string;
  readonly #socket: net.Socket;
  readonly #resetOnClose: boolean;
  client: ConnectionClient | null = null;
  hadError = false;

  constructor(socket: net.Socket, resetOnClose: boolean) {
    this.#socket = socket;
    this.#resetOnClose = resetOnClose;
    this.address = plainAddress(socket.remoteAddress ?? '');
  }

  send(bytes: Buffer): boolean {
    const socket = this.#socket;
    if (socket.destroyed || socket.writableEnded) return true;
    socket.write(bytes);
    if (socket.writableLength === 0) return true;
    // 'drain' comes only above the high-water mark; the callback of an empty write comes when everything before it has gone out.
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
    if (socket.destroyed || socket.writableEnded) return;
    socket.resume();
    if (this.#resetOnClose) {
      socket.end(() => socket.resetAndDestroy());
      return;
    }
    socket.end();
    const timer = setTimeout(() => socket.destroy(), END_DEADLINE_MS);
    timer.unref();
    socket.once('close', () => clearTimeout(timer));
  }

  destroy(): void {
    this.#socket.destroy();
  }
}

function onData(this: OwnedSocket, chunk: Buffer): void {
  this.fluxmq?.client?.onData(chunk);
}

function onError(this: OwnedSocket): void {
  if (this.fluxmq !== undefined) this.fluxmq.hadError = true;
}

function onClose(this: OwnedSocket): void {
  const connection = this.fluxmq;
  connection?.client?.onClose(connection.hadError);
}

/** A server whose handle is a libuv TCP handle, as Node 22 has it. */
interface HandledServer extends net.Server {
  _handle?: { listen?(backlog: number): number } | null;
}

/** listen(2) on a socket that listens already changes its backlog and nothing else; Node has no public call for it. */
function relisten(server: HandledServer, backlog: number): void {
  server._handle?.listen?.(backlog);
}

/** IPv4 addresses of dual-stack sockets without their IPv6 wrapping. */
function plainAddress(address: string): string {
  return address.startsWith('::ffff:') ? address.slice(7) : address;
}

/**
 * Binds and accepts. @throws FluxError `port-in-use`, `unprocessable`
 * @param options read at each connection: a changed childOptions counts from the next one
 */
export async function openTcpListener(endpoint: Endpoint, options: () => ChildOptions, makeClient: ClientFactory): Promise<Listener> {
  let accepted = 0;
  const server = net.createServer((socket: OwnedSocket) => {
    accepted++;
    const { tcpNodelay, soKeepalive, soLinger } = options();
    if (tcpNodelay) socket.setNoDelay(true);
    if (soKeepalive) socket.setKeepAlive(true, 60_000);
    const connection = new TcpConnection(socket, soLinger === 0);
    socket.on('error', onError);
    const client = makeClient(connection);
    if (client === null) {
      socket.destroy();
      return;
    }
    connection.client = client;
    socket.fluxmq = connection;
    socket.on('data', onData);
    socket.on('close', onClose);
  });
  const { host, port } = endpoint;
  await new Promise<void>((resolve, reject) => {
    server.once('error', (error) => reject(toBindError(error, host, port)));
    server.listen({ host, port, backlog: endpoint.serverOptions.soBacklog, reusePort: true }, resolve);
  });
  const bound = (server.address() as net.AddressInfo).port;
  let isAccepting = true;
  const stopAccepting = (): void => {
    if (!isAccepting) return;
    isAccepting = false;
    server.close();
  };
  return {
    port: bound,
    get accepted() {
      return accepted;
    },
    setBacklog: (backlog) => relisten(server, backlog),
    stopAccepting,
    close: stopAccepting,
  };
}
