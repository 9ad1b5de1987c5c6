/**
 * Serialises claims of client identifiers over all nodes: one claim in the cluster at a time (docs/internals/nodes.md, Identifiers in a
 * cluster). A pure state machine: it reads no clock but its stamps, and everything else goes through its ports.
 *
 * The node of a claim asks every linked node. A node answers when no client of its own has the identifier, and defers the answer while an
 * earlier claim of its own is under way. Each node gives later stamps than it has seen, so all nodes grant in the order of the stamps, the
 * last claim wins, and no two claims wait for each other. A node that is not linked is not asked; Meetings settle such claims later.
 */

import { sessionKey } from '../../shared/session/keys.ts';
import type { Ask, Finding, IdentifierNews } from '../../shared/wire/identifier-news.ts';
import { isBefore, type Stamps } from './stamps.ts';

/** Claims that may wait for one identifier on this node. */
const WAITING_MAX = 64;
/** A claim that has not been granted after this time is refused (ms). A silent node is given up after 4 s. */
const DEADLINE_MS = 8_000;

type Answer = Extract<IdentifierNews, { t: 'answer' }>;

/** A claim of a client of this node. */
export interface Claimed {
  readonly connection: number;
  readonly namespace: string;
  readonly clientId: string;
  readonly user: string | null;
  readonly cleanStart: boolean;
  /** see Ask */
  readonly isAdoption?: boolean;
}

export interface ArbiterPorts<T extends Claimed> {
  /** name of this node */
  readonly self: string;
  readonly stamps: Stamps;
  /** Steady time, ms. */
  now(): number;
  send(nodes: readonly string[], news: IdentifierNews): void;
  /** Closes the client of this node that has the identifier, and calls `then` when it has gone. */
  recall(node: string, ask: Ask, then: (found: Finding, since: number) => void): void;
  /**
   * The claim may be decided on this node; finished() follows.
   * @param holders nodes with an offline session of the identifier, and the stamps of the claims that these were granted to
   */
  serve(claim: T, stamp: number, holders: ReadonlyMap<string, number>): void;
  /** The claim is decided already and was repeated: the place that the session came from has ended. */
  serveAgain(claim: T): void;
  deny(claim: T, reason: 'busy' | 'foreign'): void;
  /** A claim was granted without these nodes. */
  missed(nodes: readonly string[], claim: T, stamp: number): void;
}

interface Turn<T> {
  readonly key: string;
  readonly claim: T;
  readonly stamp: number;
  /** by now() */
  readonly since: number;
  /** nodes that have not answered */
  readonly waiting: Set<string>;
  /** nodes that have answered */
  readonly asked: Set<string>;
  readonly holders: Map<string, number>;
  refusal: 'busy' | 'foreign' | null;
  isServed: boolean;
}

/** One identifier while somebody claims it. */
interface Place<T> {
  turn: Turn<T> | null;
  readonly waiting: { readonly claim: T; readonly since: number }[];
  /** node → its claim, which comes after the turn of this node */
  readonly deferred: Map<string, Ask>;
}

export class Arbiter<T extends Claimed> {
  readonly #ports: ArbiterPorts<T>;
  readonly #places = new Map<string, Place<T>>();
  readonly #asking = new Map<number, Turn<T>>();
  readonly #up = new Set<string>();
  /** asks that came before this node could answer */
  readonly #early = new Map<string, { node: string; ask: Ask }>();
  #isReady = false;
  #isComplete = false;

  constructor(ports: ArbiterPorts<T>) {
    this.#ports = ports;
  }

  /** Nodes that are asked. */
  get up(): ReadonlySet<string> {
    return this.#up;
  }

  /** Claims that wait for other nodes. */
  get asking(): number {
    return this.#asking.size;
  }

  /** A claim of a client of this node. */
  claim(claim: T): void {
    const key = sessionKey(claim.namespace, claim.clientId);
    const place = this.#place(key);
    if (place.turn?.isServed && place.turn.claim.connection === claim.connection) {
      this.#ports.serveAgain(claim);
      return;
    }
    if (place.waiting.length >= WAITING_MAX) {
      this.#ports.deny(claim, 'busy');
      return;
    }
    place.waiting.push({ claim, since: this.#ports.now() });
    this.#next(key, place);
  }

  #place(key: string): Place<T> {
    let place = this.#places.get(key);
    if (place === undefined) {
      place = { turn: null, waiting: [], deferred: new Map() };
      this.#places.set(key, place);
    }
    return place;
  }

  #next(key: string, place: Place<T>): void {
    if (place.turn !== null) return;
    // These claims are earlier than any stamp that this node gives now.
    for (const [node, ask] of place.deferred) this.#answer(node, ask);
    place.deferred.clear();
    if (place.waiting.length === 0) this.#places.delete(key);
    const next = this.#isReady ? place.waiting.shift() : undefined;
    if (next === undefined) return;
    const { claim, since } = next;
    const { stamps, send } = this.#ports;
    const stamp = stamps.next();
    const waiting = new Set(this.#up);
    const turn: Turn<T> = { key, claim, stamp, since, waiting, asked: new Set(), holders: new Map(), refusal: null, isServed: false };
    place.turn = turn;
    this.#asking.set(stamp, turn);
    if (waiting.size > 0) send([...waiting], askOf(turn));
    else this.#judge(turn);
  }

  /** The turn is over when every node that is linked has answered. */
  #judge(turn: Turn<T>): void {
    if (turn.waiting.size > 0 || turn.isServed || !this.#asking.delete(turn.stamp)) return;
    if (turn.refusal !== null) {
      this.#ports.deny(turn.claim, turn.refusal);
      this.#over(turn);
      return;
    }
    turn.isServed = true;
    this.#ports.serve(turn.claim, turn.stamp, turn.holders);
  }

  /** A served claim is granted, or refused for a reason of this node. */
  finished({ namespace, clientId, connection }: Pick<Claimed, 'namespace' | 'clientId' | 'connection'>): void {
    const turn = this.#places.get(sessionKey(namespace, clientId))?.turn;
    if (turn?.isServed !== true || turn.claim.connection !== connection) return;
    // These nodes were linked after the claim had been served.
    const late = [...this.#up].filter((node) => !turn.asked.has(node));
    if (late.length > 0) this.#ports.missed(late, turn.claim, turn.stamp);
    this.#over(turn);
  }

  #over(turn: Turn<T>): void {
    const place = this.#places.get(turn.key);
    if (place?.turn !== turn) return;
    place.turn = null;
    this.#next(turn.key, place);
  }

  onAsk(node: string, ask: Ask): void {
    const { stamps, self } = this.#ports;
    stamps.see(ask.stamp);
    const key = sessionKey(ask.namespace, ask.clientId);
    if (!this.#isComplete) {
      this.#early.set(`${node} ${key}`, { node, ask });
      return;
    }
    const place = this.#places.get(key);
    const turn = place?.turn ?? null;
    const comesLater = turn !== null && (turn.isServed || isBefore(turn.stamp, self, ask.stamp, node));
    if (place !== undefined && comesLater) place.deferred.set(node, ask);
    else this.#answer(node, ask);
  }

  #answer(node: string, ask: Ask): void {
    const { recall, send, stamps } = this.#ports;
    recall(node, ask, (how, since) => send([node], { t: 'answer', stamp: ask.stamp, how, latest: stamps.last, since }));
  }

  onAnswer(node: string, { stamp, how, latest, since }: Answer): void {
    this.#ports.stamps.see(latest);
    const turn = this.#asking.get(stamp);
    if (turn === undefined || !turn.waiting.delete(node)) return;
    if (how === 'later') {
      this.#again(turn);
      return;
    }
    turn.asked.add(node);
    if (how === 'held') turn.holders.set(node, since);
    else if (how !== 'none') turn.refusal = how;
    this.#judge(turn);
  }

  /** The node had granted a later claim before it was linked: this one, whose client waits, gets a new stamp. */
  #again(turn: Turn<T>): void {
    this.#asking.delete(turn.stamp);
    this.#places.get(turn.key)?.waiting.unshift(turn);
    this.#over(turn);
  }

  nodeUp(node: string): void {
    this.#up.add(node);
    // The node asks again, unless its process is new.
    this.#forgetAsks(node);
    for (const turn of this.#asking.values()) {
      // Its answers may have been about the sessions of an earlier session worker.
      turn.asked.delete(node);
      turn.holders.delete(node);
      turn.waiting.add(node);
      this.#ports.send([node], askOf(turn));
    }
  }

  nodeDown(node: string): void {
    if (!this.#up.delete(node)) return;
    this.#forgetAsks(node);
    for (const turn of [...this.#asking.values()]) {
      turn.holders.delete(node);
      turn.asked.delete(node);
      turn.waiting.delete(node);
      this.#judge(turn);
    }
  }

  #forgetAsks(node: string): void {
    for (const place of this.#places.values()) place.deferred.delete(node);
    for (const [key, early] of this.#early) if (early.node === node) this.#early.delete(key);
  }

  /** The first stamp, of claims under way, that the node has not agreed to; null: it has agreed to all. */
  firstOpen(node: string): number | null {
    let first: number | null = null;
    for (const { turn } of this.#places.values())
      if (turn !== null && !turn.asked.has(node) && (first === null || turn.stamp < first)) first = turn.stamp;
    return first;
  }

  /** Whether claims may be decided: not while the relay is away, since other nodes cannot be asked then. */
  setReady(isReady: boolean): void {
    this.#isReady = isReady;
    if (isReady) for (const [key, place] of [...this.#places]) this.#next(key, place);
  }

  /** This worker knows all sessions of its node: it can answer others. */
  complete(): void {
    if (this.#isComplete) return;
    this.#isComplete = true;
    const early = [...this.#early.values()];
    this.#early.clear();
    for (const { node, ask } of early) this.onAsk(node, ask);
  }

  /** Refuses claims over their deadline. */
  sweep(): void {
    const oldest = this.#ports.now() - DEADLINE_MS;
    for (const turn of [...this.#asking.values()]) {
      if (turn.since > oldest || !this.#asking.delete(turn.stamp)) continue;
      this.#ports.deny(turn.claim, 'busy');
      this.#over(turn);
    }
    for (const [key, place] of [...this.#places]) {
      const stale = place.waiting.filter(({ since }) => since <= oldest);
      for (const waiting of stale) {
        place.waiting.splice(place.waiting.indexOf(waiting), 1);
        this.#ports.deny(waiting.claim, 'busy');
      }
      this.#next(key, place);
    }
  }
}

function askOf<T extends Claimed>({ claim, stamp }: Turn<T>): IdentifierNews {
  const { namespace, clientId, user, cleanStart, isAdoption } = claim;
  return { t: 'ask', stamp, namespace, clientId, user, cleanStart, ...(isAdoption === true ? { isAdoption } : {}) };
}
