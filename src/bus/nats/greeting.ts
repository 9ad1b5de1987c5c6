/** Asks whether a NATS server speaks at all. A frozen process accepts connections, because its system does, and says nothing. */

import { createConnection } from 'node:net';

/**
 * False when the server accepts a connection, or takes it in silence, and does not speak within `ms`. A server that refuses greets too: the
 * attempt to connect gets the reason. nats.js keeps the socket of an attempt that timed out open, so a silent server must not get one.
 * @param address `host:port`, `[address]:port`
 */
export function greets(address: string, ms: number): Promise<boolean> {
  const colon = address.lastIndexOf(':');
  const host = address.slice(0, colon).replace(/^\[|\]$/g, '');
  return new Promise((resolve) => {
    const socket = createConnection({ host, port: Number(address.slice(colon + 1)) });
    const done = (speaks: boolean) => {
      clearTimeout(timer);
      socket.destroy();
      resolve(speaks);
    };
    const timer = setTimeout(done, ms, false);
    socket.once('data', () => done(true));
    socket.once('end', () => done(true));
    socket.on('error', () => done(true));
  });
}
