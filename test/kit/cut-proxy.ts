/** A TCP proxy that can be interrupted: it holds up all data silently, like a failing network, or resets all connections. */

import { connect, createServer, type Socket } from 'node:net';
import { freePort } from './free-port.ts';

export interface CutProxy {
  readonly port: number;
  /** Forwards data again, including data that was held up. */
  open(): void;
  /** Forwards nothing, and keeps every connection open. */
  hold(): void;
  /** Resets every connection, and refuses new ones. */
  reset(): void;
  close(): Promise<void>;
}

/** @param target port of the server on 127.0.0.1 */
export async function startCutProxy(target: number): Promise<CutProxy> {
  const port = await freePort();
  const sockets = new Set<Socket>();
  let state: 'open' | 'held' | 'reset' = 'open';
  const server = createServer({ noDelay: true }, (client) => {
    if (state === 'reset') return void client.resetAndDestroy();
    const upstream = connect({ port: target, host: '127.0.0.1', noDelay: true });
    const end = () => {
      for (const socket of [client, upstream]) {
        sockets.delete(socket);
        socket.destroy();
      }
    };
    for (const [from, to] of [
      [client, upstream],
      [upstream, client],
    ] as const) {
      sockets.add(from);
      from.on('data', (bytes) => to.write(bytes));
      from.on('error', end).on('close', () => {
        // While the line is held, the end of a server must stay unnoticed.
        if (state !== 'held') end();
      });
      if (state === 'held') from.pause();
    }
  });
  await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve));
  const reset = () => {
    for (const socket of sockets) socket.resetAndDestroy();
    sockets.clear();
  };
  return {
    port,
    open: () => {
      state = 'open';
      for (const socket of sockets) {
        if (socket.destroyed) socket.emit('close');
        else socket.resume();
      }
    },
    hold: () => {
      state = 'held';
      for (const socket of sockets) socket.pause();
    },
    reset: () => {
      state = 'reset';
      reset();
    },
    close: async () => {
      state = 'reset';
      reset();
      await new Promise<void>((resolve) => server.close(() => resolve()));
    },
  };
}
