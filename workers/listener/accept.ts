/** Accepts TCP connections for an endpoint in this worker, on a port shared by SO_REUSEPORT; what is spoken on them is others' business. */

import net from 'node:net';
import type { Endpoint } from '../../src/endpoint/endpoint.ts';
import type { Connection, ConnectionClient, Listener, ListenerHost } from '../connection.ts';
import { toBindError } from './bind-error.ts';
import { acceptHandles } from './tcp-handle.ts';

/** The part of a Listener that knows no protocol. */
export type Acceptor = Pick<Listener, 'port' | 'accepted' | 'setBacklog' | 'stopAccepting'>;

/** Who takes what has been accepted. */
export interface AcceptHooks {
  /** Where no socket is needed. Null: the connection is closed. */
  onHandle(connection: Connection): ConnectionClient | null;
  onSocket(socket: net.Socket): void;
}

/**
 * Binds and accepts; each socket has its endpoint's options when it is handed over.
 * @param isPlain asked at each connection: true where no socket is needed
 * @throws FluxError `port-in-use`, `unprocessable`
 */
export async function acceptTcp(host: ListenerHost, isPlain: () => boolean, hooks: AcceptHooks): Promise<Acceptor> {
  let accepted = 0;
  let longestBacklog = host.endpoint.serverOptions.soBacklog;
  const server = net.createServer((socket) => {
    accepted++;
    const { tcpNodelay, soKeepalive } = host.endpoint.childOptions;
    if (tcpNodelay) socket.setNoDelay(true);
    if (soKeepalive) socket.setKeepAlive(true, 60_000);
    hooks.onSocket(socket);
  });
  await listen(server, host.endpoint);
  acceptHandles(server, {
    isWanted: isPlain,
    longestBacklog: () => longestBacklog,
    options: () => host.endpoint.childOptions,
    accept(connection) {
      accepted++;
      return hooks.onHandle(connection);
    },
  });
  const { port } = server.address() as net.AddressInfo;
  let isAccepting = true;
  return {
    port,
    get accepted() {
      return accepted;
    },
    setBacklog(backlog) {
      longestBacklog = Math.max(longestBacklog, backlog);
      relisten(server, backlog);
    },
    stopAccepting() {
      if (!isAccepting) return;
      isAccepting = false;
      server.close();
    },
  };
}

/** A server whose handle is a libuv TCP handle, as Node 22 has it. */
interface HandledServer extends net.Server {
  _handle?: { listen?(backlog: number): number } | null;
}

/** listen(2) on a socket that listens already changes its backlog and nothing else; Node has no public call for it. */
function relisten(server: HandledServer, backlog: number): void {
  server._handle?.listen?.(backlog);
}

function listen(server: net.Server, { host, port, serverOptions }: Endpoint): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', (error) => reject(toBindError(error, host, port)));
    server.listen({ host, port, backlog: serverOptions.soBacklog, reusePort: true }, resolve);
  });
}
