/** One shared subscription group of one filter: its members here and at the peers, and whose turn it is. */

import type { Peer } from './peer.ts';
import type { GroupHome, Subscriber, Subscription } from './subscriber.ts';

/** How many members a peer has in the group. */
export interface MemberCount {
  connected: number;
  away: number;
}

/** Each message goes to exactly one member of the group [MQTT-4.8.2-4]; connected members come before sessions that are away. */
export class ShareGroup implements GroupHome {
  readonly namespace: string;
  readonly filter: string;
  readonly name: string;
  readonly local = new Map<Subscriber, Subscription>();
  readonly remote = new Map<Peer, MemberCount>();
  #turn = 0;

  constructor(namespace: string, filter: string, name: string) {
    this.namespace = namespace;
    this.filter = filter;
    this.name = name;
  }

  /** Key of the group in records between peers. */
  get id(): string {
    return `${this.filter}\0${this.name}`;
  }

  get isEmpty(): boolean {
    return this.local.size === 0 && this.remote.size === 0;
  }

  /** True when every member is at this peer. */
  isServedOnlyBy(peer: Peer): boolean {
    return this.local.size === 0 && this.remote.size === 1 && this.remote.has(peer);
  }

  localCount(): MemberCount {
    let connected = 0;
    for (const member of this.local.keys()) if (member.isConnected) connected++;
    return { connected, away: this.local.size - connected };
  }

  /** Whose turn it is: a member here, a peer, or nobody. `exclude` was tried and had no member left. */
  choose(exclude: Peer | null): Subscriber | Peer | null {
    return this.#pick('connected', exclude) ?? this.#pick('away', exclude);
  }

  /** Whose turn it is among the members of this worker. */
  chooseLocal(): Subscriber | null {
    return this.#pickLocal(true) ?? this.#pickLocal(false);
  }

  #pick(kind: keyof MemberCount, exclude: Peer | null): Subscriber | Peer | null {
    const here = this.localCount()[kind];
    let total = here;
    for (const [peer, count] of this.remote) if (peer !== exclude) total += count[kind];
    if (total === 0) return null;
    let turn = this.#turn++ % total;
    if (turn < here) return this.#nth(kind === 'connected', turn);
    turn -= here;
    for (const [peer, count] of this.remote) {
      if (peer === exclude) continue;
      if (turn < count[kind]) return peer;
      turn -= count[kind];
    }
    return null;
  }

  #pickLocal(connected: boolean): Subscriber | null {
    const count = this.localCount()[connected ? 'connected' : 'away'];
    return count === 0 ? null : this.#nth(connected, this.#turn++ % count);
  }

  #nth(connected: boolean, index: number): Subscriber | null {
    for (const member of this.local.keys()) if (member.isConnected === connected && index-- === 0) return member;
    return null;
  }
}
