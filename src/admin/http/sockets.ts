/** Connections of the admin API, bounded in total and by address. When there is no room, the one that is idle longest is evicted. */

import type { Server, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { addressKey, isLoopback } from '../../kernel/address.ts';

export interface SocketLimits {
  /** sockets at once */
  all: number;
  /** sockets at once of one address; loopback is exempt */
  perAddress: number;
}

interface Entry {
  socket: Socket;
  /** null: exempt */
  address: bigint | null;
  /** requests under way */
  requests: number;
}

/** A request under way is never cut for another. A flood of idle sockets therefore locks nobody out, and busy sockets stay. */
export class Sockets {
  readonly #limits: SocketLimits;
  /** by the peer's address and port, which a TCP socket and the TLS socket on it share; longest idle first */
  readonly #entries = new Map<string, Entry>();
  readonly #byAddress = new Map<bigint, number>();
  #refused = 0;
  #evicted = 0;

  constructor(limits: SocketLimits) {
    this.#limits = limits;
  }

  /** Sockets closed for lack of room: refused new ones, and evicted idle ones. */
  get counts(): { refused: number; evicted: number } {
    return { refused: this.#refused, evicted: this.#evicted };
  }

  /** Watches a server. */
  watch(server: Server): void {
    server.on('connection', (socket) => this.#opened(socket));
    server.on('request', ({ socket }, response) => this.#requested(socket, response));
  }

  #opened(socket: Socket): void {
    const name = nameOf(socket);
    const address = addressOf(socket);
    const isCrowded = address !== null && (this.#byAddress.get(address) ?? 0) >= this.#limits.perAddress;
    const hasRoom =
      (!isCrowded || this.#evict((entry) => entry.address === address)) &&
      (this.#entries.size < this.#limits.all || this.#evict(() => true));
    if (!hasRoom) {
      this.#refused++;
      socket.destroy();
      return;
    }
    const entry = { socket, address, requests: 0 };
    this.#entries.set(name, entry);
    if (address !== null) this.#byAddress.set(address, (this.#byAddress.get(address) ?? 0) + 1);
    socket.once('close', () => this.#forget(name, entry));
  }

  #requested(socket: Socket, response: ServerResponse): void {
    const name = nameOf(socket);
    const entry = this.#entries.get(name);
    if (entry === undefined) return;
    entry.requests++;
    response.once('close', () => {
      entry.requests--;
      // The socket goes to the end of the order, because all other sockets have been idle for longer.
      if (this.#entries.get(name) !== entry) return;
      this.#entries.delete(name);
      this.#entries.set(name, entry);
    });
  }

  #evict(isMeant: (entry: Entry) => boolean): boolean {
    for (const [name, entry] of this.#entries) {
      if (entry.requests > 0 || !isMeant(entry)) continue;
      this.#forget(name, entry);
      entry.socket.destroy();
      this.#evicted++;
      return true;
    }
    return false;
  }

  #forget(name: string, entry: Entry): void {
    if (this.#entries.get(name) !== entry) return;
    this.#entries.delete(name);
    const { address } = entry;
    if (address === null) return;
    const left = (this.#byAddress.get(address) ?? 1) - 1;
    if (left > 0) this.#byAddress.set(address, left);
    else this.#byAddress.delete(address);
  }
}

function nameOf({ remoteAddress, remotePort }: Socket): string {
  return `${remoteAddress} ${remotePort}`;
}

function addressOf({ remoteAddress }: Socket): bigint | null {
  return remoteAddress === undefined || isLoopback(remoteAddress) ? null : addressKey(remoteAddress);
}
