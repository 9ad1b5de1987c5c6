/** The listening sockets of one endpoint on this node: bound here, accepted from in workers, closed when no listener needs them. */

import type { Endpoint } from '../../endpoint/endpoint.ts';
import { bindSocket, type SocketHandle } from '../../internals/socket-passing.ts';
import { messageOf } from '../../kernel/errors.ts';
import type { Logger } from '../../kernel/logger.ts';
import { explainBind } from '../probe/port-probe.ts';

/** A socket and the listeners that accept from it. */
export interface BoundSocket {
  readonly key: number;
  readonly host: string;
  readonly port: number;
  readonly handle: SocketHandle;
  /** listeners with a duplicate of it */
  readonly holders: Set<object>;
}

type Address = Pick<Endpoint, 'host' | 'port'>;

/** A listener that accepts from sockets. */
export interface SocketHolder {
  readonly sockets: readonly BoundSocket[];
  readonly worker: { readonly name: string; readonly isUsable: boolean };
  takeSockets(sockets: readonly BoundSocket[], timeoutMs: number): Promise<void>;
  leaveSockets(sockets: readonly BoundSocket[], timeoutMs: number): Promise<void>;
}

/** Time for a listener to take sockets, or to leave them. */
const HAND_OVER_MS = 10_000;

let nextKey = 0;

export class BoundSockets {
  #sockets: BoundSocket[] = [];
  readonly #logger: Logger;

  constructor(logger: Logger) {
    this.#logger = logger;
  }

  /** True while a socket of this port is open. */
  has(port: number): boolean {
    return this.#sockets.some((socket) => socket.port === port);
  }

  /** Sockets that an endpoint with this address may accept from: those of its host, or of a host that its host includes. */
  of({ host, port }: Address): BoundSocket[] {
    return this.#sockets.filter((socket) => socket.port === port && includes(host, socket.host));
  }

  /**
   * Sockets for `count` new listeners, at least one each: sockets that no listener of `kept` accepts from, then surplus sockets of the
   * listeners with the most, then new sockets. One socket has exactly the host. Unused sockets stay open until `release` is called.
   * @param kept listeners that stay beside the new ones
   * @throws FluxError `port-in-use`, `unprocessable`
   */
  async reserve(address: Address, count: number, kept: readonly SocketHolder[]): Promise<{ shares: BoundSocket[][]; release: () => void }> {
    const reservation = {};
    const taken: BoundSocket[] = [];
    const take = (socket: BoundSocket): void => {
      socket.holders.add(reservation);
      taken.push(socket);
    };
    const release = (): void => {
      for (const { holders } of taken) holders.delete(reservation);
    };
    const known = this.of(address);
    for (const socket of known) if (!kept.some((holder) => socket.holders.has(holder))) take(socket);
    const mostSocketsFirst = kept.map(({ sockets }) => [...sockets]).sort((a, b) => b.length - a.length);
    for (const sockets of mostSocketsFirst) {
      while (taken.length < count && sockets.length > 1) take(sockets.pop()!);
    }
    const isExact = () => [...known, ...taken].some(({ host }) => host === address.host);
    try {
      while (taken.length < count || !isExact()) take(await this.#bind(address));
    } catch (error) {
      release();
      this.closeUnused();
      throw error;
    }
    return { shares: share(taken, count), release };
  }

  async #bind({ host, port }: Address): Promise<BoundSocket> {
    try {
      const socket = { key: nextKey++, host, port, handle: bindSocket(host, port), holders: new Set<object>() };
      this.#sockets.push(socket);
      return socket;
    } catch (error) {
      throw await explainBind(host, port, error);
    }
  }

  /** Gives up sockets of other addresses; with null, all. A socket closes as soon as the listeners that hold it stop. */
  keepOnly(address: Address | null): void {
    const kept = address === null ? [] : this.of(address);
    this.giveUp(this.#sockets.filter((socket) => !kept.includes(socket)));
  }

  /** Gives up sockets that no listener accepts from. */
  closeUnused(): void {
    this.giveUp(this.#sockets.filter(({ holders }) => holders.size === 0));
  }

  giveUp(sockets: readonly BoundSocket[]): void {
    for (const socket of sockets) if (this.keeps(socket)) socket.handle.close();
    this.#sockets = this.#sockets.filter((socket) => !sockets.includes(socket));
  }

  /** Makes the other listeners leave the sockets that new listeners accept from. Never rejects. */
  async settle(listeners: readonly SocketHolder[], added: readonly SocketHolder[]): Promise<void> {
    for (const listener of listeners) {
      if (added.includes(listener)) continue;
      const taken = listener.sockets.filter(({ holders }) => added.some((each) => holders.has(each)));
      try {
        if (taken.length > 0) await listener.leaveSockets(taken, HAND_OVER_MS);
      } catch (error) {
        // The listener continues to accept from them beside the new listener, which does no harm.
        if (listener.worker.isUsable) this.#logger.warn(`${listener.worker.name} kept a socket`, { reason: messageOf(error) });
      }
    }
  }

  /** Hands the sockets over that none of `listeners` accepts from. A refused socket is given up. Never rejects. */
  async handOver(sockets: readonly BoundSocket[], listeners: readonly SocketHolder[]): Promise<void> {
    const successors = listeners.filter(({ worker }) => worker.isUsable);
    if (successors.length === 0) return;
    const left = sockets.filter((socket) => this.keeps(socket) && !listeners.some((listener) => socket.holders.has(listener)));
    const shares = share(left, successors.length);
    for (const [index, successor] of successors.entries()) {
      const part = shares[index]!;
      try {
        if (part.length > 0) await successor.takeSockets(part, HAND_OVER_MS);
      } catch (error) {
        this.#logger.warn(`${successor.worker.name} did not take a socket over`, { reason: messageOf(error) });
        this.giveUp(part);
      }
    }
  }

  /** True until the socket is given up. */
  keeps(socket: BoundSocket): boolean {
    return this.#sockets.includes(socket);
  }
}

/** True when a socket bound to `wider` receives connections to `host`. */
function includes(wider: string, host: string): boolean {
  if (wider === host) return true;
  return wider === '::' || (wider === '0.0.0.0' && !host.includes(':'));
}

/** Distributes sockets to `count` listeners, at least one each while there are enough. */
function share(sockets: readonly BoundSocket[], count: number): BoundSocket[][] {
  const shares: BoundSocket[][] = Array.from({ length: count }, () => []);
  for (const [index, socket] of sockets.entries()) shares[index % count]!.push(socket);
  return shares;
}
