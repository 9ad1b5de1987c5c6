/**
 * The wills of this node's clients. One other node keeps each will, and publishes it if this node dies; this node publishes those of clients whose
 * worker died. A pure state machine.
 */

import { FNV_BASIS, fnv1a } from '../../../../src/kernel/fnv.ts';
import { sessionKey } from '../../../shared/session/keys.ts';
import type { WillName, WillNews, WillToKeep } from '../../../shared/wire/will-news.ts';

/** After a node has come, others may follow: wills without a keeper wait so long for them, ms. */
const GATHERING_MS = 1_000;
/** Wills that get a keeper in one call of tick(). */
const ASSIGNED_AT_ONCE = 2_000;
/** Cost of a will beside its texts, bytes. */
const WILL_BYTES = 200;

/** Largest memory for the wills of a node's clients, and for those of other nodes, bytes. */
export const WILLS_BYTES_MAX = 64 * 1024 * 1024;

export function bytesOfWill({ namespace, clientId, body }: WillToKeep): number {
  return namespace.length + clientId.length + body.length + WILL_BYTES;
}

export interface OwnWillsPorts {
  /** Steady time, ms. */
  now(): number;
  send(node: string, news: WillNews): void;
  /** No node keeps this will: too many bytes are kept. */
  refused(): void;
  /** The worker of this client died, and the delay of the will is over. */
  publish(will: WillToKeep): void;
}

interface OwnWill {
  readonly will: WillToKeep;
  connection: number;
  keeper: string | null;
  /** the keeper until its link ended */
  former: string | null;
  /** the worker of the client died: the will is published then, by steady time */
  dueAt: number;
}

export class OwnWills {
  readonly #ports: OwnWillsPorts;
  readonly #bytesMax: number;
  readonly #wills = new Map<string, OwnWill>();
  readonly #up = new Set<string>();
  /** keys of wills without a keeper */
  readonly #orphans = new Set<string>();
  /** keys of wills whose clients' worker died */
  readonly #due = new Set<string>();
  #gathersUntil = 0;
  #bytes = 0;

  constructor(ports: OwnWillsPorts, bytesMax = WILLS_BYTES_MAX) {
    this.#ports = ports;
    this.#bytesMax = bytesMax;
  }

  /** A client is connected with this will. @param connection 0: not known, or the client has left */
  owe(will: WillToKeep, connection: number): void {
    const key = sessionKey(will.namespace, will.clientId);
    const former = this.#wills.get(key);
    if (former?.will.stamp === will.stamp) {
      if (connection !== 0) former.connection = connection;
      // The session exists after all: its place publishes the will.
      this.#due.delete(key);
      return;
    }
    this.#settle(key);
    const bytes = bytesOfWill(will);
    if (this.#bytes + bytes > this.#bytesMax) {
      this.#ports.refused();
      return;
    }
    this.#bytes += bytes;
    const own: OwnWill = { will, connection, keeper: null, former: null, dueAt: 0 };
    this.#wills.set(key, own);
    if (this.#up.size > 0) this.#assign(key, own, keeperOf(key, this.#up));
    else this.#orphans.add(key);
  }

  #assign(key: string, own: OwnWill, keeper: string): void {
    this.#orphans.delete(key);
    own.keeper = keeper;
    this.#ports.send(keeper, { t: 'will-keep', ...own.will });
  }

  /** The will is published, or is not due any more. @param connection of the client; absent: whichever it is */
  settled(namespace: string, clientId: string, connection?: number): void {
    const key = sessionKey(namespace, clientId);
    const own = this.#wills.get(key);
    if (own !== undefined && (connection === undefined || own.connection === connection)) this.#settle(key);
  }

  #settle(key: string): void {
    const own = this.#forget(key);
    if (own === undefined || own.keeper === null) return;
    const { namespace, clientId, stamp } = own.will;
    this.#ports.send(own.keeper, { t: 'will-drop', namespace, clientId, stamp });
  }

  #forget(key: string): OwnWill | undefined {
    const own = this.#wills.get(key);
    if (own === undefined) return undefined;
    this.#wills.delete(key);
    this.#orphans.delete(key);
    this.#due.delete(key);
    this.#bytes -= bytesOfWill(own.will);
    return own;
  }

  /**
   * A worker died, and sessions with it: their wills are published after their delays, unless their clients come back before.
   * @param delayOf ms until the will of this connection is due; null: its session is elsewhere
   */
  workerDied(delayOf: (will: WillToKeep, connection: number) => number | null): void {
    const now = this.#ports.now();
    for (const [key, own] of this.#wills) {
      const delayMs = delayOf(own.will, own.connection);
      if (delayMs === null) continue;
      own.dueAt = now + delayMs;
      this.#due.add(key);
    }
    this.#publishDue();
  }

  /** A clean start ends the session that died with its worker, so its will is due now [MQTT-3.1.2-8]. */
  startsClean(namespace: string, clientId: string): void {
    const key = sessionKey(namespace, clientId);
    if (this.#due.has(key)) this.#publish(key);
  }

  #publishDue(): void {
    const now = this.#ports.now();
    for (const key of this.#due) if (this.#wills.get(key)!.dueAt <= now) this.#publish(key);
  }

  #publish(key: string): void {
    const { will } = this.#wills.get(key)!;
    this.#settle(key);
    this.#ports.publish(will);
  }

  /** Another node has claimed the identifier: the keeper was asked too, and knows. */
  left(namespace: string, clientId: string): void {
    this.#forget(sessionKey(namespace, clientId));
  }

  /** The keeper has published the will. */
  published({ namespace, clientId, stamp }: WillName): void {
    const key = sessionKey(namespace, clientId);
    if (this.#wills.get(key)?.will.stamp === stamp) this.#forget(key);
  }

  /** @param process number of the process of this node */
  nodeUp(node: string, process: number): void {
    this.nodeDown(node);
    this.#up.add(node);
    this.#ports.send(node, { t: 'will-holder', process });
    this.#gathersUntil = this.#ports.now() + GATHERING_MS;
    // A node has again at once the wills that it had before a cut.
    this.#assignSome((own) => (own.former === node ? node : null));
  }

  nodeDown(node: string): void {
    if (!this.#up.delete(node)) return;
    for (const [key, own] of this.#wills) {
      if (own.keeper !== node) continue;
      own.keeper = null;
      own.former = node;
      this.#orphans.add(key);
    }
  }

  /** Settles wills whose sessions are no longer as they were: a worker may have died with them. @param isThere whether the connection is known */
  prune(isThere: (will: WillName) => boolean): void {
    for (const [key, { will }] of this.#wills) if (!this.#due.has(key) && !isThere(will)) this.#settle(key);
  }

  /** Publishes what is due, and finds keepers. To be called a few times a second. */
  tick(): void {
    this.#publishDue();
    if (this.#orphans.size === 0 || this.#up.size === 0 || this.#ports.now() < this.#gathersUntil) return;
    this.#assignSome((_own, key) => keeperOf(key, this.#up));
  }

  #assignSome(choose: (own: OwnWill, key: string) => string | null): void {
    let left = ASSIGNED_AT_ONCE;
    for (const key of this.#orphans) {
      const own = this.#wills.get(key)!;
      const keeper = choose(own, key);
      if (keeper === null) continue;
      this.#assign(key, own, keeper);
      if (--left === 0) return;
    }
  }
}

/** Every identifier has an order of nodes of its own: the first that is up is the keeper. */
function keeperOf(key: string, nodes: Iterable<string>): string {
  const hash = fnv1a(key, FNV_BASIS);
  let chosen = '';
  let best = -1;
  for (const node of nodes) {
    const rank = Math.imul(fnv1a(node, hash), 0x9e3779b1) >>> 0;
    if (rank > best || (rank === best && node < chosen)) [chosen, best] = [node, rank];
  }
  return chosen;
}
