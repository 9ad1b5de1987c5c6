/** A thread with uWebSockets.js that listens for WS and WSS, adopts what it accepts, and dies in the way that its owner asks for. */

import net from 'node:net';
import { parentPort, workerData } from 'node:worker_threads';
import { serverHandleOf, type TcpHandle } from '../../../src/internals/tcp-handles.ts';
import type { UwsApp } from '../../../src/internals/uws/contract.ts';
import { loadUws } from '../../../src/internals/uws/load.ts';
import { type Arriving, awaitArrival } from '../../../workers/endpoint/uws/arrivals.ts';
import type { Kind, Ports, Served } from './deaths.ts';

const { ws, wss, cert, key } = workerData as Ports;
const loaded = loadUws();
if (!loaded.available) throw new Error(loaded.reason);
const { uws, guard } = loaded;
// a second call, as of a thread that loads the guard twice, changes nothing
guard.guard();
const served: Served = { accepted: 0, adopted: 0, upgraded: 0, messages: 0 };
let isDoomed = false;
for (const [port, app] of [
  [ws, uws.App()],
  [wss, uws.SSLApp({ cert_file_name: cert, key_file_name: key })],
] as const) {
  await listen(port, withRoutes(app));
}

function withRoutes(app: UwsApp): UwsApp {
  app.filter(() => undefined);
  app.any('/*', (response) => response.end());
  return app.ws('/mqtt', {
    idleTimeout: 0,
    sendPingsAutomatically: false,
    open: () => {
      served.upgraded++;
    },
    message: (socket, message) => {
      served.messages++;
      socket.send(message, true);
    },
    close: () => {},
  });
}

/** As the broker's listeners do it: the handle keeps its own descriptor, and closes it. Every other connection waits for its first bytes. */
async function listen(port: number, app: UwsApp): Promise<void> {
  const server = net.createServer();
  await new Promise<void>((resolve) => server.listen({ port, host: '127.0.0.1', reusePort: true, backlog: 1024 }, resolve));
  serverHandleOf<Arriving>(server)!.onconnection = (_status, handle) => {
    if (handle === undefined) return;
    if (++served.accepted % 2 === 0) adopt(app, handle);
    else awaitArrival(handle, { onArrival: () => adopt(app, handle) });
  };
}

function adopt(app: UwsApp, handle: TcpHandle<Arriving>): void {
  const fd = guard.dup(handle.fd);
  handle.close();
  app.adoptSocket(fd);
  if (!guard.trace(fd)) throw new Error('an adopted descriptor cannot be traced');
  served.adopted++;
  // earlier bytes wait for their handshake
  if (isDoomed && served.adopted % 8 === 0) throw new Error('dies while it adopts');
}

const DEATHS: Record<Kind, () => void> = {
  terminate: () => {},
  throw: () => {
    isDoomed = true;
  },
  reject: () => void Promise.reject(new Error('nobody catches it')),
  exit: () => process.exit(5),
  block: () => {
    for (;;);
  },
  heap: () => {
    const all: unknown[] = [];
    for (;;) all.push(new Array(1_000).fill({ at: Math.random() }));
  },
};

parentPort!.on('message', (kind: Kind | 'tell') => {
  if (kind === 'tell') parentPort!.postMessage(served);
  else setImmediate(DEATHS[kind]);
});
parentPort!.postMessage('ready');
