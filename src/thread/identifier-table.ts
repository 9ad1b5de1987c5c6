/** The thread that decides about a client identifier: one word for each group of identifiers, in memory that main and all workers share. */

import { FNV_BASIS, fnv1a } from '../kernel/fnv.ts';

/** Number of groups. Two identifiers in one group cost speed, never correctness. */
const GROUPS = 2 ** 18;
/** No thread knows an identifier of the group. */
const FREE = 0;
/** The session worker decides. Higher values: the endpoint worker with this peer number decides. */
const SESSION_WORKER = -1;

/** A zeroed block: no identifier is known. */
export function createIdentifierTable(): SharedArrayBuffer {
  return new SharedArrayBuffer(GROUPS * Int32Array.BYTES_PER_ELEMENT);
}

/** The group of a client identifier: the same in every thread. */
export function identifierGroup(namespace: string, clientId: string): number {
  // A client whose identifiers collide slows down its own connections only.
  const hash = fnv1a(clientId, fnv1a(namespace, FNV_BASIS) ^ 0xff);
  return (hash ^ (hash >>> 15)) & (GROUPS - 1);
}

/**
 * An endpoint worker that holds a group decides about its identifiers alone and at once; no other thread decides while it does. About a group
 * of the session worker, every endpoint worker asks the session worker. Edges: FREE → worker (its first session); FREE or worker → session
 * worker (on behalf of a thread that needs its decision); back to FREE by the holder, when the group is empty.
 */
export class IdentifierTable {
  readonly #holders: Int32Array;

  constructor(memory: SharedArrayBuffer) {
    this.#holders = new Int32Array(memory);
  }

  /** For an endpoint worker: takes the group. Returns true when the worker holds it now. */
  take(group: number, peer: number): boolean {
    const holder = Atomics.compareExchange(this.#holders, group, FREE, peer);
    return holder === FREE || holder === peer;
  }

  /**
   * For an endpoint worker: hands the group to the session worker, unless another endpoint worker holds it.
   * @returns true when this worker held the group
   */
  handOver(group: number, peer: number): boolean {
    if (Atomics.compareExchange(this.#holders, group, peer, SESSION_WORKER) === peer) return true;
    Atomics.compareExchange(this.#holders, group, FREE, SESSION_WORKER);
    return false;
  }

  /** The session worker takes the group. @returns the endpoint worker that held it and has to report its sessions; null when none did */
  takeForSessionWorker(group: number): number | null {
    const holder = Atomics.exchange(this.#holders, group, SESSION_WORKER);
    return holder > 0 ? holder : null;
  }

  /** For an endpoint worker whose last session of the group ended. Does nothing when the worker no longer holds the group. */
  give(group: number, peer: number): void {
    Atomics.compareExchange(this.#holders, group, peer, FREE);
  }

  /** For the session worker, when its last session of the group ended. */
  giveFromSessionWorker(group: number): void {
    Atomics.compareExchange(this.#holders, group, SESSION_WORKER, FREE);
  }

  /** Frees the groups of a worker that has ended; its sessions ended with it. */
  forget(peer: number): void {
    const holders = this.#holders;
    for (let group = holders.indexOf(peer); group >= 0; group = holders.indexOf(peer, group + 1)) this.give(group, peer);
  }
}
