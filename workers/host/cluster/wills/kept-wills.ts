/**
 * The wills that this node keeps for the clients of other nodes, and publishes when such a node has died. A pure state machine.
 *
 * The rules by which a will is published once: each will has one keeper. The keeper publishes it when its node has been down for the grace, or is
 * known to have died because a new process has its name, unless the identifier has been claimed since. Then it tells all nodes, and remembers it for
 * those that come: a node that returns drops these wills before its clients may claim anything, and a node that was cut off while another one became
 * the keeper in its place publishes none of them. A node that sees less than half of its cluster publishes none.
 */

import { sessionKey } from '../../../shared/session/keys.ts';
import type { PublishedWill, WillName, WillNews, WillToKeep } from '../../../shared/wire/will-news.ts';
import { bytesOfWill, WILLS_BYTES_MAX } from './own-wills.ts';

/** When this node was cut off itself, other nodes may need so long to find NATS again, and to tell what they published, ms. */
const RELINK_MS = 4_000;
const APART_MS = 500;
/** A new process has named the identifiers that it knows after this time, ms. */
const MEETING_MS = 1_000;
/** Published wills that are remembered for nodes that return, and for how long, ms. */
const TOLD_MAX = 50_000;
const TOLD_MS = 24 * 3_600_000;
/** Wills that one control names. */
const NAMED_AT_ONCE = 500;

export interface KeptWillsPorts {
  /** name of this node */
  readonly self: string;
  /** Steady time, ms. */
  now(): number;
  send(node: string, news: WillNews): void;
  publish(will: WillToKeep): void;
  /** A will is not kept: too many bytes are. */
  refused(): void;
}

/** Another node. */
interface Holder {
  /** number of its process; null: not known */
  process: number | null;
  isUp: boolean;
  /** null: up, or this node itself is cut off */
  downAt: number | null;
  /** this node itself was cut off, and no news has come from the other one since */
  isUnknown: boolean;
  /** it was down for the grace while this node saw half of the cluster: it is not counted any longer */
  hasLeft: boolean;
  readonly wills: Map<string, WillToKeep>;
}

/** A will of a process that has ended. */
interface Orphan {
  readonly node: string;
  readonly will: WillToKeep;
  readonly dueAt: number;
}

export class KeptWills {
  readonly #ports: KeptWillsPorts;
  readonly #graceMs: number;
  readonly #bytesMax: number;
  readonly #holders = new Map<string, Holder>();
  readonly #orphans = new Map<string, Orphan>();
  /** the oldest first */
  readonly #told = new Map<string, PublishedWill & { at: number }>();
  #bytes = 0;

  constructor(ports: KeptWillsPorts, graceMs: number, bytesMax = WILLS_BYTES_MAX) {
    this.#ports = ports;
    this.#graceMs = graceMs;
    this.#bytesMax = bytesMax;
  }

  /** Wills that are kept. */
  get size(): number {
    let size = this.#orphans.size;
    for (const { wills } of this.#holders.values()) size += wills.size;
    return size;
  }

  #holder(node: string): Holder {
    let holder = this.#holders.get(node);
    if (holder === undefined) {
      holder = { process: null, isUp: false, downAt: 0, isUnknown: false, hasLeft: true, wills: new Map() };
      this.#holders.set(node, holder);
    }
    return holder;
  }

  nodeUp(node: string): void {
    Object.assign(this.#holder(node), { isUp: true, downAt: null, hasLeft: false });
  }

  /** @param isCutOff this node has no connection itself, and cannot know about the other one: it says so again when it is connected */
  nodeDown(node: string, isCutOff: boolean): void {
    const holder = this.#holders.get(node);
    if (holder === undefined) return;
    holder.isUp = false;
    if (isCutOff) holder.downAt = null;
    else holder.downAt ??= this.#ports.now() + this.#pauseOf(holder);
    holder.isUnknown ||= isCutOff;
  }

  onNews(node: string, news: Exclude<WillNews, { t: 'will-told' }>): void {
    if (news.t === 'will-holder') this.#named(node, news.process);
    else if (news.t === 'will-keep') this.#keep(node, news);
    else if (this.#holders.get(node)?.wills.get(keyOf(news))?.stamp === news.stamp) this.#remove(this.#holder(node), keyOf(news));
  }

  #named(node: string, process: number): void {
    const holder = this.#holder(node);
    const pause = this.#pauseOf(holder);
    holder.isUnknown = false;
    for (const [key, will] of [...holder.wills]) {
      this.#remove(holder, key);
      // The same process names its wills again, and a new one has those of its disk.
      if (holder.process === process || will.isDurable) continue;
      this.#bytes += bytesOfWill(will);
      const now = this.#ports.now();
      const dueAt = Math.max(this.#dueAt((holder.downAt ?? now) + pause, will), now + MEETING_MS);
      this.#orphans.set(`${node}\0${key}`, { node, will, dueAt });
    }
    holder.process = process;
    const told = [...this.#told.values()].map(({ at, ...published }): PublishedWill => published);
    for (let at = 0; at === 0 || at < told.length; at += NAMED_AT_ONCE) {
      const isLast = at + NAMED_AT_ONCE >= told.length;
      this.#ports.send(node, { t: 'will-told', published: told.slice(at, at + NAMED_AT_ONCE), isLast });
    }
  }

  /** Another node has published the wills of clients of a third one. */
  onTold(published: readonly PublishedWill[]): void {
    for (const each of published) {
      const key = keyOf(each);
      const holder = this.#holders.get(each.node);
      if (holder?.wills.get(key)?.stamp === each.stamp) this.#remove(holder, key);
      const orphan = this.#orphans.get(`${each.node}\0${key}`);
      if (orphan?.will.stamp === each.stamp) this.#removeOrphan(`${each.node}\0${key}`, orphan);
      this.#remember(each);
    }
  }

  #keep(node: string, { namespace, clientId, stamp, user, isDurable, delayMs, body }: WillToKeep): void {
    const holder = this.#holder(node);
    const will: WillToKeep = { namespace, clientId, stamp, user, isDurable, delayMs, body };
    const key = keyOf(will);
    // The holder has not heard yet that it is published.
    if (this.#told.get(`${node}\0${key}`)?.stamp === stamp) return;
    for (const other of this.#holders.values()) if ((other.wills.get(key)?.stamp ?? 0) > stamp) return;
    this.#supersede(key, stamp, () => true);
    this.#remove(holder, key);
    const bytes = bytesOfWill(will);
    if (this.#bytes + bytes > this.#bytesMax) {
      this.#ports.refused();
      return;
    }
    this.#bytes += bytes;
    holder.wills.set(key, will);
  }

  /** A client claims the identifier, at any node: an earlier connection's will is its node's matter, or not due any more. */
  claimed(name: WillName, user: string | null, cleanStart: boolean): void {
    this.#supersede(keyOf(name), name.stamp, (will) => cleanStart || will.user === user);
  }

  #supersede(key: string, stamp: number, isOver: (will: WillToKeep) => boolean): void {
    for (const [node, holder] of this.#holders) {
      const will = holder.wills.get(key);
      if (will !== undefined && will.stamp < stamp && isOver(will)) this.#remove(holder, key);
      if (this.#orphans.size === 0) continue;
      const orphan = this.#orphans.get(`${node}\0${key}`);
      if (orphan !== undefined && orphan.will.stamp < stamp && isOver(orphan.will)) this.#removeOrphan(`${node}\0${key}`, orphan);
    }
  }

  #remove(holder: Holder, key: string): void {
    const will = holder.wills.get(key);
    if (will === undefined) return;
    holder.wills.delete(key);
    this.#bytes -= bytesOfWill(will);
  }

  #removeOrphan(key: string, { will }: Orphan): void {
    this.#orphans.delete(key);
    this.#bytes -= bytesOfWill(will);
  }

  /** Publishes what is due, unless this node is cut off. To be called a few times a second. */
  tick(): void {
    const now = this.#ports.now();
    const published: PublishedWill[] = [];
    /** they leave the view together: each of several nodes that are down at once counts until all have been looked at */
    const leaving: Holder[] = [];
    for (const { isUp, downAt } of this.#holders.values()) if (!isUp && downAt === null) return;
    for (const [node, holder] of this.#holders) {
      if (holder.isUp || holder.downAt === null || now < holder.downAt + this.#graceMs || !this.#seesEnough()) continue;
      leaving.push(holder);
      for (const [key, will] of holder.wills) {
        if (now < this.#dueAt(holder.downAt, will)) continue;
        this.#remove(holder, key);
        published.push(this.#publish(node, will));
      }
    }
    for (const holder of leaving) holder.hasLeft = true;
    for (const [key, orphan] of this.#orphans) {
      if (now < orphan.dueAt) continue;
      this.#removeOrphan(key, orphan);
      published.push(this.#publish(orphan.node, orphan.will));
    }
    if (published.length === 0) return;
    for (const [node, { isUp }] of this.#holders) if (isUp) this.#ports.send(node, { t: 'will-told', published, isLast: false });
  }

  /** Another node may have become the keeper in the place of this one: its word comes first. Nodes that were all cut off speak one by one. */
  #pauseOf({ isUnknown }: Holder): number {
    if (!isUnknown) return 0;
    let before = 0;
    for (const node of this.#holders.keys()) if (node < this.#ports.self) before++;
    return RELINK_MS + before * APART_MS;
  }

  #dueAt(since: number, { delayMs }: WillToKeep): number {
    return since + Math.max(delayMs, this.#graceMs);
  }

  /** Half of the nodes are enough. Those that had left before do not count. */
  #seesEnough(): boolean {
    let [seen, all] = [1, 1];
    for (const { isUp, hasLeft } of this.#holders.values()) {
      if (isUp) seen++;
      if (isUp || !hasLeft) all++;
    }
    return seen * 2 >= all;
  }

  #publish(node: string, will: WillToKeep): PublishedWill {
    const { namespace, clientId, stamp } = will;
    const published = { node, namespace, clientId, stamp };
    this.#remember(published);
    this.#ports.publish(will);
    return published;
  }

  #remember({ node, namespace, clientId, stamp }: PublishedWill): void {
    const now = this.#ports.now();
    const key = `${node}\0${sessionKey(namespace, clientId)}`;
    if ((this.#told.get(key)?.stamp ?? 0) > stamp) return;
    this.#told.delete(key);
    this.#told.set(key, { node, namespace, clientId, stamp, at: now });
    for (const [oldest, { at }] of this.#told) {
      if (this.#told.size <= TOLD_MAX && at > now - TOLD_MS) break;
      this.#told.delete(oldest);
    }
  }
}

function keyOf({ namespace, clientId }: WillName): string {
  return sessionKey(namespace, clientId);
}
