/** One shared subscription group of one filter: its members here and at the peers, and the order of their turns. */

import type { Peer } from './peer.ts';
import { type Grant, type GroupHome, grantOf, type Subscriber, type Subscription } from './subscriber.ts';

/** Members of a shared group at a worker or a node; 0/0 = none. */
export type ShareItem = [filter: string, group: string, connected: number, away: number, durable: number];

/** Number of members that a peer has in the group. */
export interface MemberCount {
  connected: number;
  away: number;
  /** members, connected or away, with a session on disk */
  durable: number;
}

export const NO_MEMBERS: MemberCount = { connected: 0, away: 0, durable: 0 };

/** A member of this worker. */
export interface Member {
  readonly subscriber: Subscriber;
  readonly subscription: Subscription;
  readonly grant: Grant;
}

/** Kinds of members in the order in which they are chosen. A leaving member moves to another worker, which counts the member as well. */
type Kind = 'connected' | 'away' | 'leaving';

function kindOf({ subscriber }: Member): Kind {
  if (subscriber.isConnected) return 'connected';
  return subscriber.isLeaving ? 'leaving' : 'away';
}

/** Each message goes to exactly one member of the group [MQTT-4.8.2-4]; connected members come before offline sessions. */
export class ShareGroup implements GroupHome {
  readonly namespace: string;
  readonly filter: string;
  readonly name: string;
  /** key of the group in records between peers */
  readonly id: string;
  #members: Member[] = [];
  readonly remote = new Map<Peer, MemberCount>();
  /** offline members of a peer that move to another worker */
  #leaving: Map<Peer, number> | null = null;
  #turn = 0;

  constructor(namespace: string, filter: string, name: string) {
    this.namespace = namespace;
    this.filter = filter;
    this.name = name;
    this.id = `${filter}\0${name}`;
  }

  get isEmpty(): boolean {
    return this.#members.length === 0 && this.remote.size === 0;
  }

  /** Members of this worker. */
  get localSize(): number {
    return this.#members.length;
  }

  /** True when every member is at this peer. */
  isServedOnlyBy(peer: Peer): boolean {
    return this.#members.length === 0 && this.remote.size === 1 && this.remote.has(peer);
  }

  /** Adds a member of this worker, or replaces its subscription. */
  join(subscriber: Subscriber, subscription: Subscription): void {
    const member = { subscriber, subscription, grant: grantOf(subscription) };
    const at = this.#members.findIndex((known) => known.subscriber === subscriber);
    if (at < 0) this.#members.push(member);
    else this.#members[at] = member;
  }

  leave(subscriber: Subscriber): void {
    this.#members = this.#members.filter((member) => member.subscriber !== subscriber);
  }

  /** The members of a peer, as it counts them. */
  setRemote(peer: Peer, count: MemberCount): void {
    this.#leaving?.delete(peer);
    if (this.#leaving?.size === 0) this.#leaving = null;
    if (count.connected + count.away > 0) this.remote.set(peer, count);
    else this.remote.delete(peer);
  }

  /**
   * An offline member of the peer moves to another worker, and both count it until the peer has sent its state. Chosen in turns, the two places
   * would get every other message of a publisher, and the state goes before everything that has come to the new place.
   */
  memberMoves(peer: Peer): void {
    this.#leaving ??= new Map();
    this.#leaving.set(peer, (this.#leaving.get(peer) ?? 0) + 1);
  }

  localCount(): MemberCount {
    const connected = this.#countLocal('connected');
    return { connected, away: this.#members.length - connected, durable: this.#members.filter(isDurable).length };
  }

  /** The members of all peers. */
  remoteCount(): MemberCount {
    const sum: MemberCount = { connected: 0, away: 0, durable: 0 };
    for (const { connected, away, durable } of this.remote.values()) {
      sum.connected += connected;
      sum.away += away;
      sum.durable += durable;
    }
    return sum;
  }

  /**
   * A peer that has members, connected ones first. Each has as many chances as members.
   * @param at picks among the chances: 0..2^32-1; the same number picks the same peer while the members are the same
   * @param exclude was chosen before and has no member left
   */
  choosePeer(at: number, exclude: Peer | null): Peer | null {
    return this.#peerAt('connected', at, exclude) ?? this.#peerAt('away', at, exclude) ?? this.#peerAt('leaving', at, exclude);
  }

  #peerAt(kind: Kind, at: number, exclude: Peer | null): Peer | null {
    const total = this.#countRemote(kind, exclude, null);
    return total === 0 ? null : this.#remoteAt(kind, at % total, exclude, null);
  }

  #countRemote(kind: Kind, exclude: Peer | null, far: Peer | null): number {
    let count = 0;
    for (const [peer, each] of this.remote) if (peer !== exclude && peer !== far && peer.isKnown) count += this.#countOf(peer, each, kind);
    return count;
  }

  /** The peer of a member by its place among those of all peers; null: there are fewer. */
  #remoteAt(kind: Kind, index: number, exclude: Peer | null, far: Peer | null): Peer | null {
    let left = index;
    for (const [peer, count] of this.remote) {
      if (peer === exclude || peer === far || !peer.isKnown) continue;
      const own = this.#countOf(peer, count, kind);
      if (left < own) return peer;
      left -= own;
    }
    return null;
  }

  /** Connected members of peers, without those of one peer. */
  connectedBut(exclude: Peer | null): number {
    return this.#countRemote('connected', exclude, null);
  }

  /** True when a message of the group may belong on disk: a member's session is durable. */
  get hasDurable(): boolean {
    for (const { durable } of this.remote.values()) if (durable > 0) return true;
    return this.#members.some(isDurable);
  }

  #countLocal(kind: Kind): number {
    let count = 0;
    for (let i = 0; i < this.#members.length; i++) if (kindOf(this.#members[i]!) === kind) count++;
    return count;
  }

  #countOf(peer: Peer, { connected, away }: MemberCount, kind: Kind): number {
    if (kind === 'connected') return connected;
    const leaving = this.#leaving === null ? 0 : Math.min(away, this.#leaving.get(peer) ?? 0);
    return kind === 'leaving' ? leaving : away - leaving;
  }

  /**
   * The next in turn: a member here, a peer, or nobody.
   * @param exclude was chosen before and has no member left
   * @param far the peer that comes after all others with a member of the same kind; null: all are alike
   */
  choose(exclude: Peer | null, far: Peer | null = null): Member | Peer | null {
    if (this.remote.size === 0) return this.chooseLocal();
    return this.#next('connected', exclude, far) ?? this.#next('away', exclude, far) ?? this.#next('leaving', exclude, far);
  }

  #next(kind: Kind, exclude: Peer | null, far: Peer | null): Member | Peer | null {
    return this.#pick(kind, exclude, far) ?? (far === null ? null : this.#pick(kind, exclude, null));
  }

  /** The next in turn among the members of this worker. @param except key of a session that must not get the message; '': none */
  chooseLocal(except = ''): Member | null {
    return this.#nextLocal(true, except) ?? this.#nextLocal(false, except);
  }

  #nextLocal(connected: boolean, except: string): Member | null {
    const members = this.#members;
    for (let tried = 0; tried < members.length; tried++) {
      const at = (this.#turn + tried) % members.length;
      const { subscriber } = members[at]!;
      if (subscriber.isConnected !== connected || (except !== '' && subscriber.key === except)) continue;
      this.#turn = at + 1;
      return members[at]!;
    }
    return null;
  }

  #pick(kind: Kind, exclude: Peer | null, far: Peer | null): Member | Peer | null {
    const here = this.#countLocal(kind);
    const total = here + this.#countRemote(kind, exclude, far);
    if (total === 0) return null;
    const turn = this.#turn % total;
    this.#turn = turn + 1;
    return turn < here ? this.#nth(kind, turn) : this.#remoteAt(kind, turn - here, exclude, far);
  }

  #nth(kind: Kind, index: number): Member | null {
    for (const member of this.#members) if (kindOf(member) === kind && index-- === 0) return member;
    return null;
  }
}

/** The filter and the name of a group by its `id`. */
export function groupOf(id: string): Pick<GroupHome, 'filter' | 'name'> {
  const end = id.indexOf('\0');
  return { filter: id.slice(0, end), name: id.slice(end + 1) };
}

function isDurable({ subscriber }: Member): boolean {
  return subscriber.isDurable;
}
