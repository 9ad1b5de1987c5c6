/** Groups of client identifiers that the session worker decides about, and reports that endpoint workers owe (src/thread/identifier-table.ts). */

import { steadyNow } from '../../../src/kernel/clock.ts';
import type { IdentifierTable } from '../../../src/thread/identifier-table.ts';
import type { Mesh } from '../../shared/mesh/mesh.ts';
import type { PeerLink } from '../../shared/mesh/peer-link.ts';

/** A group whose former holder has not reported its sessions yet. */
interface Unknown<T> {
  readonly holder: number;
  /** by steadyNow() */
  readonly since: number;
  readonly waiting: Set<T>;
}

/** @typeParam T the kind of object that waits for a group */
export class HeldGroups<T> {
  readonly #mesh: Mesh;
  readonly #identifiers: IdentifierTable;
  /** group → number of known identifiers */
  readonly #counts = new Map<number, number>();
  readonly #unknown = new Map<number, Unknown<T>>();

  constructor(mesh: Mesh, identifiers: IdentifierTable) {
    this.#mesh = mesh;
    this.#identifiers = identifiers;
  }

  /** Adds an identifier of the group. With the first one the session worker takes the group. */
  enter(group: number): void {
    const count = this.#counts.get(group) ?? 0;
    this.#counts.set(group, count + 1);
    if (count > 0) return;
    const holder = this.#identifiers.takeForSessionWorker(group);
    if (holder === null) return;
    this.#unknown.set(group, { holder, since: steadyNow(), waiting: new Set() });
    // A worker that has not joined yet is asked when it joins.
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

  /** True while nothing in the group may be decided: known() or onPeerRemoved() will return `who`. */
  waits(group: number, who: T): boolean {
    const unknown = this.#unknown.get(group);
    unknown?.waiting.add(who);
    return unknown !== undefined;
  }

  /** The peer has reported its sessions in the group. @returns the objects that waited for the report */
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

  /** The sessions of a dead peer are gone. @returns the objects that waited for its reports */
  onPeerRemoved(peer: PeerLink): T[] {
    const groups = [...this.#unknown].filter(([, { holder }]) => holder === peer.id);
    return groups.flatMap(([group]) => [...this.known(group, peer.id)]);
  }

  /** The objects that have waited since before `oldest` (steadyNow()); they continue to wait. */
  stuck(oldest: number): T[] {
    return [...this.#unknown.values()].filter(({ since }) => since < oldest).flatMap(({ waiting }) => [...waiting]);
  }
}
