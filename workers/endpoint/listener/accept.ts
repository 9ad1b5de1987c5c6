/** Accepts TCP connections for an endpoint in this worker, from sockets that main has bound. Other modules speak the protocols. */

import net from 'node:net';
import type { Endpoint } from '../../../src/endpoint/endpoint.ts';
import type { SocketHandle } from '../../../src/internals/socket-passing.ts';
import { descriptorOf, relisten, type TcpHandle } from '../../../src/internals/tcp-handles.ts';
import { bindFailure } from '../../../src/kernel/system/bind-failure.ts';
import type { Connection, ConnectionClient, EarlyAdmission, Listener, ListenerHost, ListeningSocket } from '../connection/connection.ts';
import { acceptHandles } from './handle-connection.ts';

/** The part of a Listener that knows no protocol. */
export type Acceptor = Pick<Listener, 'accepted' | 'setBacklog' | 'acceptFrom' | 'drop' | 'stopAccepting'>;

/** Takes the accepted connections. */
export interface AcceptHooks {
  /** Takes or closes the connection, or returns it to the other hooks by `serve`; false: another hook gets the connection now. */
  takes(handle: TcpHandle, serve: (handle: TcpHandle, early: EarlyAdmission) => void): boolean;
  /** Takes a connection that needs no socket. Null: the acceptor closes the connection. */
  onHandle(connection: Connection, early: EarlyAdmission | null): ConnectionClient | null;
  onSocket(socket: net.Socket, early: EarlyAdmission | null): void;
}

/** Accepts connections. Each connection has the options of its endpoint before it is handed over. */
export class SocketAcceptor implements Acceptor {
  accepted = 0;
  readonly #host: ListenerHost;
  readonly #isPlain: () => boolean;
  readonly #hooks: AcceptHooks;
  /** by main's number for the socket */
  readonly #servers = new Map<number, net.Server>();
  #longestBacklog: number;
  #isAccepting = true;
  /** the handles of connections are looked at before the server makes sockets of them */
  #hasHandles = false;
  /** the admission of the socket that onSocket() gets next */
  #expected: EarlyAdmission | null = null;

  /** @param isPlain called for each connection: true when the connection needs no socket */
  constructor(host: ListenerHost, isPlain: () => boolean, hooks: AcceptHooks) {
    this.#host = host;
    this.#isPlain = isPlain;
    this.#hooks = hooks;
    this.#longestBacklog = host.endpoint.serverOptions.soBacklog;
  }

  async acceptFrom(sockets: readonly ListeningSocket[]): Promise<void> {
    await Promise.all(sockets.map((socket) => this.#acceptFrom(socket)));
  }

  async #acceptFrom({ key, handle }: ListeningSocket): Promise<void> {
    const server = net.createServer((socket) => this.#onSocket(socket));
    await listen(server, handle, this.#host.endpoint);
    if (!this.#isAccepting) {
      server.close();
      return;
    }
    this.#servers.set(key, server);
    this.#hasHandles = acceptHandles(server, {
      mayStay: (descriptor) => this.#mayStay(descriptor),
      isTaken: (connection, serve) => {
        const isTaken = this.#hooks.takes(connection, serve);
        if (isTaken) this.accepted++;
        return isTaken;
      },
      expectSocket: (early) => {
        this.#expected = early;
      },
      isWanted: this.#isPlain,
      longestBacklog: () => this.#longestBacklog,
      options: () => this.#host.endpoint.childOptions,
      accept: (connection, early) => {
        if (early === null) this.accepted++;
        return this.#hooks.onHandle(connection, early);
      },
    });
  }

  #mayStay(descriptor: number): boolean {
    if (this.#host.allowsDescriptor(descriptor)) return true;
    this.accepted++;
    return false;
  }

  #onSocket(socket: net.Socket): void {
    const early = this.#expected;
    this.#expected = null;
    if (!this.#hasHandles && !this.#mayStay(descriptorOf(socket))) {
      socket.destroy();
      return;
    }
    if (early === null) this.accepted++;
    const { tcpNodelay, soKeepalive } = this.#host.endpoint.childOptions;
    socket.setNoDelay(tcpNodelay);
    socket.setKeepAlive(soKeepalive, 60_000);
    this.#hooks.onSocket(socket, early);
  }

  drop(keys: readonly number[]): void {
    for (const key of keys) {
      this.#servers.get(key)?.close();
      this.#servers.delete(key);
    }
  }

  setBacklog(backlog: number): void {
    this.#longestBacklog = Math.max(this.#longestBacklog, backlog);
    for (const server of this.#servers.values()) relisten(server, backlog);
  }

  stopAccepting(): void {
    this.#isAccepting = false;
    this.drop([...this.#servers.keys()]);
  }
}

function listen(server: net.Server, handle: SocketHandle, { host, port, serverOptions }: Endpoint): Promise<void> {
  return new Promise((resolve, reject) => {
    // This listener stays: a failed accept (no file descriptor left) is an error event of the server, which would otherwise end the thread.
    server.on('error', (error) => reject(bindFailure(host, port, error)));
    server.listen(handle, serverOptions.soBacklog, resolve);
  });
}
