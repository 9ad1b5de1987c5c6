/** Who is in the cluster: heartbeats sent and heard, nodes that come, go, fall silent, or carry a name that is taken. */

import type { Bus } from '../../bus/contract.ts';
import type { Subjects } from '../../bus/subjects.ts';
import type { Logger } from '../../kernel/logger.ts';
import type { Member, NodeFacts } from './contract.ts';
import { readFacts } from './read-notice.ts';

/** Together with the receipts it keeps an idle cluster far below five messages a second and node. */
const HEARTBEAT_MS = 1_000;
/** Silence of more than three heartbeats. */
const SILENT_MS = 3_500;
/** A node that is down stays in the answers so long. */
const FORGET_MS = 3_600_000;
/** More are a mistake, or somebody who makes names up. */
const MEMBERS_MAX = 1_000;

export interface MembersOptions {
  bus: Bus;
  subjects: Subjects;
  facts: () => NodeFacts;
  logger: Logger;
}

interface Known {
  facts: NodeFacts;
  isUp: boolean;
  /** steady milliseconds */
  heardAt: number;
  lastSeen: number;
}

export class Members {
  /** A node came or went. */
  onChange: (member: NodeFacts, isUp: boolean) => void = () => {};
  /** Another node runs a revision that is higher than that of this one. */
  onRevision: (revision: number) => void = () => {};
  readonly #options: MembersOptions;
  readonly #known = new Map<string, Known>();
  readonly #twins = new Set<string>();
  readonly #timer: NodeJS.Timeout;
  #isFull = false;

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
      // Silence while there was no connection says nothing of the others.
      for (const known of this.#known.values()) known.heardAt = performance.now();
      if (connected) bus.publish(subjects.hello, options.facts());
    });
    this.#timer = setInterval(() => this.#tick(), HEARTBEAT_MS);
  }

  /** This node and all it has heard of, by name; those down for an hour are forgotten. */
  list(): Member[] {
    const { facts } = this.#options;
    const self = facts();
    const others = [...this.#known.values()].map(
      ({ facts: theirs, isUp, lastSeen }): Member => ({ ...theirs, isUp, isSelf: false, isTwin: this.#isTwin(theirs), lastSeen }),
    );
    const own: Member = { ...self, isUp: true, isSelf: true, isTwin: this.#isTwin(self), lastSeen: Date.now() };
    return [own, ...others].sort((a, b) => (a.name === b.name ? a.upSince - b.upSince : a.name < b.name ? -1 : 1));
  }

  /** Others that are up, by incarnation. */
  others(): NodeFacts[] {
    return [...this.#known.values()].filter(({ isUp }) => isUp).map(({ facts }) => facts);
  }

  /** Others that are known and do not answer now; of a node that was started anew only the new incarnation counts. */
  missing(): NodeFacts[] {
    const up = new Set([this.#options.facts().name, ...this.others().map(({ name }) => name)]);
    const names = new Map<string, NodeFacts>();
    for (const { facts, isUp } of this.#known.values()) if (!isUp && !up.has(facts.name)) names.set(facts.name, facts);
    return [...names.values()];
  }

  /** Tells the others at once what this node is like now. */
  beat(): void {
    const { bus, subjects, facts } = this.#options;
    if (bus.state.connected) bus.publish(subjects.heartbeat, facts());
  }

  /** Says good-bye. */
  close(): void {
    clearInterval(this.#timer);
    const { bus, subjects, facts } = this.#options;
    bus.publish(subjects.bye, facts());
  }

  #heard(body: unknown): void {
    const facts = readFacts(body);
    const self = this.#options.facts();
    if (facts === null || facts.incarnation === self.incarnation) return;
    const known = this.#known.get(facts.incarnation);
    const now = performance.now();
    if (known === undefined) {
      if (!this.#hasRoom()) return;
      this.#known.set(facts.incarnation, { facts, isUp: true, heardAt: now, lastSeen: Date.now() });
    } else {
      known.facts = facts;
      known.heardAt = now;
      known.lastSeen = Date.now();
    }
    if (known === undefined || !known.isUp) this.#came(facts);
    if (facts.revision > self.revision) this.onRevision(facts.revision);
    this.#lookForTwins(facts);
  }

  #came(facts: NodeFacts): void {
    const known = this.#known.get(facts.incarnation);
    if (known !== undefined) known.isUp = true;
    this.#options.logger.info(`Cluster: node ${facts.name} is up`, { address: facts.address, version: facts.version });
    this.onChange(facts, true);
  }

  #left(body: unknown): void {
    const facts = readFacts(body);
    const known = facts === null ? undefined : this.#known.get(facts.incarnation);
    if (known?.isUp === true) this.#went(known, 'it was stopped');
  }

  #went(known: Known, why: string): void {
    known.isUp = false;
    this.#options.logger.warn(`Cluster: node ${known.facts.name} is down`, { reason: why });
    this.onChange(known.facts, false);
  }

  #tick(): void {
    const { bus } = this.#options;
    this.beat();
    if (!bus.state.connected) return;
    const now = performance.now();
    for (const [incarnation, known] of this.#known) {
      const silent = now - known.heardAt;
      if (known.isUp && silent > SILENT_MS) this.#went(known, `nothing was heard of it for ${Math.round(silent / 100) / 10} s`);
      else if (!known.isUp && silent > FORGET_MS) this.#known.delete(incarnation);
    }
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

  #isTwin({ name, incarnation }: NodeFacts): boolean {
    const self = this.#options.facts();
    return [self, ...this.others()].some((other) => other.name === name && other.incarnation !== incarnation);
  }

  #lookForTwins({ name, incarnation, address }: NodeFacts): void {
    const self = this.#options.facts();
    if (name !== self.name || this.#twins.has(incarnation)) return;
    this.#twins.add(incarnation);
    const message = `Cluster: another node is called ${name}, too: give each node its own name (node.name), or their answers cannot be told apart`;
    this.#options.logger.warn(message, { address });
  }
}
