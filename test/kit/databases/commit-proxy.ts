/** A TCP proxy in front of a database server that breaks a connection at the moment of a COMMIT. */

import { connect, createServer, type Socket } from 'node:net';
import { freePort } from '../free-port.ts';

/**
 * The fault of the next COMMIT. cut-before: both sides are cut, and the server never sees the COMMIT; cut-after: the server gets it, the
 * answer is lost; swallow: the server never sees it, and nothing is cut; mute: the server gets it, and sends nothing from then on;
 * away-after: as cut-after, and new connections are refused.
 */
export type CommitFault = 'cut-before' | 'cut-after' | 'swallow' | 'mute' | 'away-after';

export interface CommitProxy {
  readonly port: number;
  /** number of faults that took effect */
  readonly met: number;
  /** Sets the fault of the next COMMIT; null: no fault. */
  arm(fault: CommitFault | null): void;
  /** Accepts connections again after `away-after`. */
  comeBack(): void;
  close(): Promise<void>;
}

/** Both protocols send COMMIT as plain text in a message of its own. */
const COMMIT = 'COMMIT';

export async function startCommitProxy(target: number): Promise<CommitProxy> {
  const port = await freePort();
  const pairs = new Set<Socket>();
  let armed: CommitFault | null = null;
  let met = 0;
  let isAway = false;

  const server = createServer((client) => {
    if (isAway) return client.destroy();
    const upstream = connect({ port: target, host: '127.0.0.1', noDelay: true });
    let isMute = false;
    const cut = () => [client, upstream].forEach((socket) => void socket.destroy());
    for (const socket of [client, upstream]) {
      pairs.add(socket);
      // cuts the other side too, as a real network does
      socket.on('error', cut).on('close', cut);
    }
    upstream.on('data', (bytes) => {
      if (isMute) client.destroy();
      else client.write(bytes);
    });
    client.on('data', (bytes) => {
      const fault = bytes.includes(COMMIT) ? armed : null;
      if (fault === null) return void upstream.write(bytes);
      armed = null;
      met += 1;
      if (fault === 'swallow') return;
      if (fault === 'cut-before') return cut();
      isAway = fault === 'away-after';
      upstream.write(bytes);
      if (fault === 'mute') return void upstream.removeAllListeners('data').resume();
      // the answer proves that the server has committed; it is not forwarded
      isMute = true;
    });
  });
  await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve));
  return {
    port,
    get met() {
      return met;
    },
    arm: (fault) => {
      armed = fault;
    },
    comeBack: () => {
      isAway = false;
    },
    close: async () => {
      for (const socket of pairs) socket.destroy();
      await new Promise<void>((resolve) => server.close(() => resolve()));
    },
  };
}
