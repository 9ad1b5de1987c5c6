/** Membership of the cluster: sends and hears heartbeats; notices nodes that come, leave, fall silent, restart, or share a name. */

import type { Bus } from '../../bus/bus.ts';
import type { Subjects } from '../../bus/subjects.ts';
import { steadyNow, wallNow } from '../../kernel/clock.ts';
import { Emitter, type Subscribable } from '../../kernel/emitter.ts';
import type { Logger } from '../../kernel/logger.ts';
import type { ClusterMember, NodeFacts } from './notices.ts';
import { readFacts } from './read-notice.ts';

/** Interval of heartbeats: keeps an idle cluster far below five notices per second and node, receipts included. */
const HEARTBEAT_MS = 1_000;
/** Silence of more than three heartbeats. */
const SILENT_MS = 3_500;
/** When a second node of one name comes, the first one, if alive, sends a heartbeat within this time. */
const REPLACED_MS = 1_500;
/** A notice that was in transit when a node died arrives within this time, and does not make the node alive. */
const TWIN_MS = 500;
/** A node that is down stays in answers this long. */
const FORGET_MS = 3_600_000;
/** A node that was stopped in order leaves the answers after this time. */
const FORGET_LEFT_MS = 600_000;
/** More nodes are a mistake, or a client that invents names. */
const MEMBERS_MAX = 1_000;

export interface MembersOptions {
  bus: Bus;
  subjects: Subjects;
  /** identity of this node */
  self: { readonly name: string; readonly incarnation: string };
  /** identity and present state of this node */
  facts: () => NodeFacts;
  logger: Logger;
}

interface Known {
  facts: NodeFacts;
  isUp: boolean;
  /** the node announced that it leaves */
  hasLeft: boolean;
  /** steady milliseconds of the first and the last notice */
  since: number;
  heardAt: number;
  lastSeen: number;
}

export class Members {
  readonly #moved = new Emitter<[member: NodeFacts, isUp: boolean]>();
  readonly #heartbeat = new Emitter<[member: NodeFacts]>();
  /** A node came or left. */
  readonly moved: Subscribable<[member: NodeFacts, isUp: boolean]> = this.#moved;
  /** A heartbeat of another node arrived. */
  readonly heartbeat: Subscribable<[member: NodeFacts]> = this.#heartbeat;
  readonly #options: MembersOptions;
  readonly #since = steadyNow();
  /** by incarnation */
  readonly #known = new Map<string, Known>();
  /** superseded incarnations, the latest last → time of the first notice that arrived since (steady milliseconds), or null */
  readonly #replaced = new Map<string, number | null>();
  /** incarnations that a warning has named */
  readonly #twins = new Set<string>();
  readonly #timer: NodeJS.Timeout;
  #isFull = false;
  #isClosed = false;
  #tickedAt = steadyNow();
  /** silence before this moment proves nothing */
  #excusedAt = 0;

  constructor(options: MembersOptions) {
    this.#options = options;
    const { bus, subjects } = options;
    bus.subscribe(subjects.heartbeat, (body) => this.#heard(body));
    bus.subscribe(subjects.hello, (body) => {
      this.#heard(body);
      this.beat();
    });
    bus.subscribe(subjects.bye, (body) => this.#left(body));
    bus.onState(({ connected }) => {
      // Silence without a connection says nothing about the others.
      this.#excuseSilence();
      if (connected && !this.#isClosed) bus.publish(subjects.hello, options.facts());
    });
    this.#timer = setInterval(() => this.#tick(), HEARTBEAT_MS);
  }

  /** This node and all known nodes, by name, without nodes down for an hour and without superseded incarnations. */
  list(): ClusterMember[] {
    const self = this.#options.facts();
    const others = [...this.#known.values()].map(
      ({ facts, isUp, lastSeen }): ClusterMember => ({ ...facts, isUp, isSelf: false, isTwin: this.isTwin(facts), lastSeen }),
    );
    const own: ClusterMember = { ...self, isUp: true, isSelf: true, isTwin: this.isTwin(self), lastSeen: wallNow() };
    return [own, ...others].sort((a, b) => (a.name === b.name ? a.upSince - b.upSince : a.name < b.name ? -1 : 1));
  }

  /** Other nodes that are up. */
  others(): NodeFacts[] {
    return [...this.#known.values()].filter(({ isUp }) => isUp).map(({ facts }) => facts);
  }

  /** Known other nodes that are down; a superseded incarnation does not count. `hasLeft`: the node was stopped in order */
  missing(): (NodeFacts & { hasLeft: boolean })[] {
    const up = new Set([this.#options.self.name, ...this.others().map(({ name }) => name)]);
    const names = new Map<string, NodeFacts & { hasLeft: boolean }>();
    for (const { facts, isUp, hasLeft } of this.#known.values())
      if (!isUp && !up.has(facts.name)) names.set(facts.name, { ...facts, hasLeft });
    return [...names.values()];
  }

  /** Name of a node in answers; nodes that share a name add address and incarnation. */
  labelOf(facts: NodeFacts): string {
    return this.isTwin(facts) ? `${facts.name} (${facts.address}, ${facts.incarnation.slice(0, 8)})` : facts.name;
  }

  /** True when another node that is up has the same name, and both sent a notice since the later one came. */
  isTwin({ name, incarnation }: Pick<NodeFacts, 'name' | 'incarnation'>): boolean {
    const own = this.#presenceOf(incarnation);
    if (own === null) return false;
    const { self } = this.#options;
    const others = [self, ...this.others()].filter((other) => other.name === name && other.incarnation !== incarnation);
    return others.some((other) => {
      const theirs = this.#presenceOf(other.incarnation);
      if (theirs === null) return false;
      const both = Math.max(own.since, theirs.since) + TWIN_MS;
      return own.heardAt >= both && theirs.heardAt >= both;
    });
  }

  /** Sends a heartbeat at once. */
  beat(): void {
    const { bus, subjects, facts } = this.#options;
    if (bus.state.connected && !this.#isClosed) bus.publish(subjects.heartbeat, facts());
  }

  /** Announces that this node leaves, and sends nothing more. */
  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    clearInterval(this.#timer);
    const { bus, subjects, facts } = this.#options;
    bus.publish(subjects.bye, facts());
  }

  /** Null when the node is not up. */
  #presenceOf(incarnation: string): { since: number; heardAt: number } | null {
    if (incarnation === this.#options.self.incarnation) return { since: this.#since, heardAt: steadyNow() };
    const known = this.#known.get(incarnation);
    return known?.isUp === true ? known : null;
  }

  #heard(body: unknown): void {
    const facts = readFacts(body);
    if (facts === null || facts.incarnation === this.#options.self.incarnation || this.#isClosed) return;
    const now = steadyNow();
    let known = this.#known.get(facts.incarnation);
    if (known === undefined) {
      if (this.#isLate(facts.incarnation, now) || !this.#hasRoom()) return;
      known = { facts, isUp: false, hasLeft: false, since: now, heardAt: now, lastSeen: wallNow() };
      this.#known.set(facts.incarnation, known);
    }
    // This notice was in transit when the node left.
    if (known.hasLeft) return;
    known.facts = facts;
    known.heardAt = now;
    known.lastSeen = wallNow();
    if (!known.isUp) {
      known.isUp = true;
      this.#options.logger.info(`Cluster: node ${facts.name} is up`, { address: facts.address, version: facts.version });
      this.#moved.emit(facts, true);
      this.#forgetReplaced();
    }
    this.#heartbeat.emit(facts);
    this.#warnOfTwin(facts);
  }

  #left(body: unknown): void {
    const facts = readFacts(body);
    const known = facts === null ? undefined : this.#known.get(facts.incarnation);
    if (known === undefined) return;
    known.hasLeft = true;
    if (known.isUp) this.#went(known, 'it was stopped');
  }

  #went(known: Known, why: string): void {
    known.isUp = false;
    this.#options.logger.warn(`Cluster: node ${known.facts.name} is down`, { reason: why });
    this.#moved.emit(known.facts, false);
  }

  #tick(): void {
    this.beat();
    const now = steadyNow();
    // This process itself was stopped or blocked, so heartbeats of the others are still unread.
    if (now - this.#tickedAt > 2 * HEARTBEAT_MS) this.#excuseSilence();
    this.#tickedAt = now;
    if (!this.#options.bus.state.connected) return;
    for (const [incarnation, known] of this.#known) {
      const silent = now - Math.max(known.heardAt, this.#excusedAt);
      if (known.isUp && silent > SILENT_MS) this.#went(known, `no heartbeat for ${Math.round(silent / 100) / 10} s`);
      else if (known.isUp && silent > REPLACED_MS && this.#isReplaced(known)) this.#went(known, 'it was started anew');
      else if (!known.isUp && silent > (known.hasLeft ? FORGET_LEFT_MS : FORGET_MS)) this.#known.delete(incarnation);
    }
    this.#forgetReplaced();
  }

  #excuseSilence(): void {
    this.#excusedAt = steadyNow() - TWIN_MS;
  }

  /** True when another incarnation of its name is up and came after this one's last notice. */
  #isReplaced({ facts, heardAt }: Known): boolean {
    const { self } = this.#options;
    if (facts.name === self.name && heardAt < this.#since + TWIN_MS) return true;
    const later = (other: Known) => other.isUp && other.facts.name === facts.name && heardAt < other.since + TWIN_MS;
    return [...this.#known.values()].some(later);
  }

  /** A restarted node counts once: its former incarnation is superseded, not down. */
  #forgetReplaced(): void {
    for (const [incarnation, known] of this.#known) {
      if (known.isUp || !this.#isReplaced(known)) continue;
      this.#known.delete(incarnation);
      this.#replaced.set(incarnation, null);
    }
    for (const incarnation of this.#replaced.keys()) {
      if (this.#replaced.size <= MEMBERS_MAX) break;
      this.#replaced.delete(incarnation);
    }
  }

  /**
   * True for a notice of a superseded incarnation that was in transit when its process died. A process whose notices keep
   * coming lives beside the newer one, and counts as a node again.
   */
  #isLate(incarnation: string, now: number): boolean {
    const first = this.#replaced.get(incarnation);
    if (first === undefined) return false;
    if (first === null) this.#replaced.set(incarnation, now);
    else if (now - first >= TWIN_MS) this.#replaced.delete(incarnation);
    return this.#replaced.has(incarnation);
  }

  #hasRoom(): boolean {
    if (this.#known.size < MEMBERS_MAX) return true;
    for (const [incarnation, { isUp }] of this.#known) {
      if (isUp) continue;
      this.#known.delete(incarnation);
      return true;
    }
    if (!this.#isFull) this.#options.logger.warn(`Cluster: more than ${MEMBERS_MAX} nodes are up; further ones are not counted`);
    this.#isFull = true;
    return false;
  }

  #warnOfTwin(facts: NodeFacts): void {
    const { name, incarnation, address } = facts;
    if (this.#twins.has(incarnation) || !this.isTwin(facts)) return;
    this.#twins.add(incarnation);
    const message = `Cluster: two nodes are called ${name}: give each node a name of its own (node.name), else answers and history cannot tell them apart`;
    this.#options.logger.warn(message, { address, incarnation });
  }
}
