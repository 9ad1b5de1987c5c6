/** The groups of client identifiers that the session worker decides about, and what of them an endpoint worker has yet to tell (src/thread/identifier-table.ts). */

import { steadyNow } from '../../src/kernel/clock.ts';
import type { IdentifierTable } from '../../src/thread/identifier-table.ts';
import type { Mesh } from '../mesh/mesh.ts';
import type { PeerLink } from '../mesh/peer-link.ts';

/** A group of which its former holder has not told yet what it holds. */
interface Unknown<T> {
  readonly holder: number;
  /** by steadyNow() */
  readonly since: number;
  readonly waiting: Set<T>;
}

/** @typeParam T what waits for a group */
export class HeldGroups<T> {
  readonly #mesh: Mesh;
  readonly #identifiers: IdentifierTable;
  /** group → identifiers that are known here */
  readonly #counts = new Map<number, number>();
  readonly #unknown = new Map<number, Unknown<T>>();

  constructor(mesh: Mesh, identifiers: IdentifierTable) {
    this.#mesh = mesh;
    this.#identifiers = identifiers;
  }

  /** One more identifier of the group is known here: with the first one the group is the session worker's. */
  enter(group: number): void {
    const count = this.#counts.get(group) ?? 0;
    this.#counts.set(group, count + 1);
    if (count > 0) return;
    const holder = this.#identifiers.takeForSessionWorker(group);
    if (holder === null) return;
    this.#unknown.set(group, { holder, since: steadyNow(), waiting: new Set() });
    // One that has not joined yet is asked when it does.
    this.#mesh.links.get(holder)?.control({ t: 'revoke', group });
  }

  leave(group: number): void {
    const count = this.#counts.get(group)! - 1;
    if (count > 0) {
      this.#counts.set(group, count);
      return;
    }
    this.#counts.delete(group);
    if (!this.#unknown.has(group)) this.#identifiers.giveFromSessionWorker(group);
  }

  /** True: nothing of the group may be decided yet; known() or onPeerRemoved() will return `who`. */
  waits(group: number, who: T): boolean {
    const unknown = this.#unknown.get(group);
    unknown?.waiting.add(who);
    return unknown !== undefined;
  }

  /** The peer has told what it held in the group. @returns who waited for that */
  known(group: number, peer: number): Iterable<T> {
    const unknown = this.#unknown.get(group);
    if (unknown === undefined || unknown.holder !== peer) return [];
    this.#unknown.delete(group);
    if (!this.#counts.has(group)) this.#identifiers.giveFromSessionWorker(group);
    return unknown.waiting;
  }

  onPeerAdded(peer: PeerLink): void {
    for (const [group, { holder }] of this.#unknown) if (holder === peer.id) peer.control({ t: 'revoke', group });
  }

  /** What the peer held is gone with it. @returns who waited for it */
  onPeerRemoved(peer: PeerLink): T[] {
    const groups = [...this.#unknown].filter(([, { holder }]) => holder === peer.id);
    return groups.flatMap(([group]) => [...this.known(group, peer.id)]);
  }

  /** Who has waited since before `oldest` (steadyNow()), and waits on. */
  stuck(oldest: number): T[] {
    return [...this.#unknown.values()].filter(({ since }) => since < oldest).flatMap(({ waiting }) => [...waiting]);
  }
}
