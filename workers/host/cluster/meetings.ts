/**
 * Settles claims granted while two nodes were not linked: when they meet, each names the claims that it granted without the other. When both
 * have a session of one identifier, the session of the later claim stays. A pure state machine.
 */

import type { Held, IdentifierNews } from '../../shared/wire/identifier-news.ts';
import { isBefore } from './stamps.ts';

/** Claims that one control names. */
const HELD_AT_ONCE = 500;

export interface MeetingPorts {
  /** name of this node */
  readonly self: string;
  send(nodes: readonly string[], news: IdentifierNews): void;
  /** The stamp of the claim of this node's session; null: no session. */
  stampOf(namespace: string, clientId: string): number | null;
  /** Ends the session of this node, because the other node has a later one, unless a new claim has taken the session. */
  evict(held: Held, node: string): void;
}

export class Meetings {
  readonly #ports: MeetingPorts;
  /** node → stamp up to which it had agreed to this node's claims at its last link */
  readonly #agreed = new Map<string, number>();
  /** node → stamp up to which it has been named all claims */
  readonly #named = new Map<string, number>();
  /** linked nodes that have confirmed these claims */
  readonly #met = new Set<string>();
  /** node → first claim named in addition that it has not confirmed */
  readonly #owed = new Map<string, number>();

  constructor(ports: MeetingPorts) {
    this.#ports = ports;
  }

  /** The link is lost, or is new. @param stamp the node has answered every claim up to this stamp */
  nodeDown(node: string, stamp: number): void {
    if (this.#met.delete(node)) this.#agreed.set(node, Math.min(stamp, (this.#owed.get(node) ?? Number.POSITIVE_INFINITY) - 1));
    this.#owed.delete(node);
    this.#named.delete(node);
  }

  /**
   * The claims that a node must know when its link begins.
   * @param all the sessions of this node
   * @param upTo the last stamp of this node: the node is asked about every later claim
   * @returns controls for the node, in order; null: time for a pause
   */
  *nodeUp(node: string, all: Iterable<Held>, upTo: number): IterableIterator<IdentifierNews | null> {
    const agreed = this.#agreed.get(node) ?? -1;
    let held: Held[] = [];
    let looked = 0;
    for (const each of all) {
      if (each.stamp > agreed) held.push(each);
      if (held.length >= HELD_AT_ONCE) {
        yield { t: 'meet', held, upTo: 0 };
        held = [];
      }
      if (++looked % HELD_AT_ONCE === 0) yield null;
    }
    this.#named.set(node, upTo);
    yield { t: 'meet', held, upTo };
  }

  /** A claim was granted without these nodes, which were linked since. */
  missed(nodes: readonly string[], held: Held): void {
    for (const node of nodes) this.#owed.set(node, Math.min(held.stamp, this.#owed.get(node) ?? held.stamp));
    this.#ports.send(nodes, { t: 'meet', held: [held], upTo: held.stamp });
  }

  onMet(node: string, upTo: number): void {
    if (this.#named.get(node) === upTo) this.#met.add(node);
    if ((this.#owed.get(node) ?? Number.POSITIVE_INFINITY) <= upTo) this.#owed.delete(node);
  }

  onMeet(node: string, theirs: readonly Held[], upTo: number): void {
    const { self, stampOf, evict, send } = this.#ports;
    const later: Held[] = [];
    for (const held of theirs) {
      const stamp = stampOf(held.namespace, held.clientId);
      if (stamp === null) continue;
      if (isBefore(stamp, self, held.stamp, node)) evict(held, node);
      else later.push({ ...held, stamp });
    }
    if (later.length > 0) send([node], { t: 'meet', held: later, upTo: 0 });
    if (upTo > 0) send([node], { t: 'met', upTo });
  }
}
