/** The other nodes that carry messages, and the process behind each name. */

import type { Bus } from '../../../bus/bus.ts';
import { processNumber, RELAY_VERSION, type RelayedNode } from '../../../bus/relay.ts';
import { Emitter, type Subscribable } from '../../../kernel/emitter.ts';
import type { Members } from '../members.ts';
import type { ClusterMember } from '../notices.ts';

/** Nodes that are up answer a new one within this time, ms. */
const ANSWERED_MS = 300;
/** A node that is forgotten, or turns out to be a twin, is noticed within this time (ms). */
const LOOK_MS = 1_000;

export class Relayed {
  readonly #changed = new Emitter<[nodes: readonly RelayedNode[]]>();
  readonly changed: Subscribable<[nodes: readonly RelayedNode[]]> = this.#changed;
  readonly #members: Members;
  readonly #self: string;
  readonly #timer: NodeJS.Timeout;
  #answered: NodeJS.Timeout | undefined;
  #hasView = false;
  #told = '';

  constructor(members: Members, bus: Bus, self: string) {
    this.#members = members;
    this.#self = self;
    this.#timer = setInterval(() => this.#look(), LOOK_MS);
    members.moved.subscribe(() => this.#look());
    bus.onState(({ connected }) => {
      if (!connected || this.#hasView) return;
      clearTimeout(this.#answered);
      this.#answered = setTimeout(() => {
        this.#hasView = true;
        this.#look();
      }, ANSWERED_MS);
    });
  }

  close(): void {
    clearInterval(this.#timer);
    clearTimeout(this.#answered);
  }

  #look(): void {
    if (!this.#hasView) return;
    const nodes = relayedNodes(this.#members.list(), this.#self);
    const told = JSON.stringify(nodes);
    if (told === this.#told) return;
    this.#told = told;
    this.#changed.emit(nodes);
  }
}

/** The process of each name: the newest, because older ones have ended; the first when two processes live. */
export function relayedNodes(members: readonly ClusterMember[], self: string): RelayedNode[] {
  const chosen = new Map<string, ClusterMember>();
  for (const member of members) {
    if (member.isSelf || member.name === self || member.messages !== RELAY_VERSION) continue;
    const known = chosen.get(member.name);
    if (known === undefined || isBetter(member, known)) chosen.set(member.name, member);
  }
  return [...chosen.values()].map(({ name, incarnation, isUp }) => ({ name, incarnation: processNumber(incarnation), isUp }));
}

function isBetter(one: ClusterMember, other: ClusterMember): boolean {
  if (one.isUp !== other.isUp) return one.isUp;
  return one.isTwin && other.isTwin ? one.upSince < other.upSince : one.upSince > other.upSince;
}
