/** Who decides about client identifiers: one word for each group of them, in memory that main and all mesh workers share. */

/** Identifiers are spread over so many groups; two in one group only cost the short way. */
const GROUPS = 2 ** 18;
/** Nobody knows an identifier of the group. */
const FREE = 0;
/** The session worker decides; above: the endpoint worker with this peer number. */
const SESSION_WORKER = -1;

/** A zeroed block: nobody knows any identifier. */
export function createIdentifierTable(): SharedArrayBuffer {
  return new SharedArrayBuffer(GROUPS * Int32Array.BYTES_PER_ELEMENT);
}

/** The group of a client identifier: the same in every thread. */
export function identifierGroup(namespace: string, clientId: string): number {
  // FNV-1a; who makes his identifiers collide makes only his own connections slower.
  const hash = hashOf(clientId, hashOf(namespace, 0x811c9dc5) ^ 0xff);
  return (hash ^ (hash >>> 15)) & (GROUPS - 1);
}

function hashOf(text: string, hash: number): number {
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
  return hash;
}

/**
 * An endpoint worker that holds a group decides about its identifiers alone and at once; a group is held by nobody else meanwhile. What
 * the session worker holds, all endpoint workers have to ask for. Edges: FREE → worker (its first session), FREE or worker → session
 * worker (by whoever needs it to decide), back to FREE by the holder, when nothing is left in the group.
 */
export class IdentifierTable {
  readonly #holders: Int32Array;

  constructor(memory: SharedArrayBuffer) {
    this.#holders = new Int32Array(memory);
  }

  /** For an endpoint worker: true when it holds the group now. */
  take(group: number, peer: number): boolean {
    const holder = Atomics.compareExchange(this.#holders, group, FREE, peer);
    return holder === FREE || holder === peer;
  }

  /**
   * For an endpoint worker: the session worker decides from now on, unless another endpoint worker does.
   * @returns true when this one did until now
   */
  handOver(group: number, peer: number): boolean {
    if (Atomics.compareExchange(this.#holders, group, peer, SESSION_WORKER) === peer) return true;
    Atomics.compareExchange(this.#holders, group, FREE, SESSION_WORKER);
    return false;
  }

  /** The session worker decides from now on. @returns the endpoint worker that decided until now and has to tell what it holds; null: none */
  takeForSessionWorker(group: number): number | null {
    const holder = Atomics.exchange(this.#holders, group, SESSION_WORKER);
    return holder > 0 ? holder : null;
  }

  /** The endpoint worker has nothing left in the group; one that it does not hold any more is left alone. */
  give(group: number, peer: number): void {
    Atomics.compareExchange(this.#holders, group, peer, FREE);
  }

  /** The session worker has nothing left in the group. */
  giveFromSessionWorker(group: number): void {
    Atomics.compareExchange(this.#holders, group, SESSION_WORKER, FREE);
  }

  /** A worker has ended: what it held is gone with it. */
  forget(peer: number): void {
    const holders = this.#holders;
    for (let group = holders.indexOf(peer); group >= 0; group = holders.indexOf(peer, group + 1)) this.give(group, peer);
  }
}
