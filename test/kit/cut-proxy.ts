/** A TCP proxy that can be cut: everything is held up without a word, as by a network that lost its way, or reset, as by one that says so. */

import { connect, createServer, type Socket } from 'node:net';
import { freePort } from './free-port.ts';

export interface CutProxy {
  readonly port: number;
  /** What is sent arrives, what was held up as well. */
  open(): void;
  /** Nothing arrives, and no connection ends. */
  hold(): void;
  /** Every connection is reset, and no new one is taken. */
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
        // A server that ends is not heard of while the line is cut.
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
