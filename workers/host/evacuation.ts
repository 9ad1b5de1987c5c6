/** The node stops: its offline sessions go to other nodes, each by a claim of the other node that no client stands behind. */

import { Deadline } from '../../src/kernel/deadline.ts';
import { sessionKey } from '../shared/session/keys.ts';
import type { IdentifierNews } from '../shared/wire/identifier-news.ts';
import type { Registry } from './identifiers/registry.ts';

/** Sessions on their way at once: their small packets to every node travel together. Each has at most 256 KiB of messages under way. */
const AT_ONCE = 128;
/** A node that has not taken a session after this time is not asked for it again, ms. Longer than the deadline of a claim. */
const GIVE_MS = 9_000;

export interface EvacuationPorts {
  /** number of this worker: sessions of offline clients are here */
  readonly self: number;
  registry(): Pick<Registry, 'all' | 'find'>;
  /** nodes that are linked */
  up(): ReadonlySet<string>;
  send(node: string, news: IdentifierNews): void;
}

/** A session that a node was asked to take. */
interface Offered {
  readonly node: string;
  resolve(isTaken: boolean): void;
}

interface Place {
  readonly namespace: string;
  readonly clientId: string;
}

export class Evacuation {
  readonly #ports: EvacuationPorts;
  readonly #offered = new Map<string, Offered>();
  #isLeaving = false;
  #turn = 0;

  constructor(ports: EvacuationPorts) {
    this.#ports = ports;
  }

  /** This node stops: it takes no session. */
  get isLeaving(): boolean {
    return this.#isLeaving;
  }

  /**
   * Gives away what waits here for offline clients, in turns to these nodes.
   * @param nodes that stay up
   * @returns sessions that left, and sessions that are still here
   */
  async run(nodes: readonly string[], timeoutMs: number): Promise<{ moved: number; left: number }> {
    this.#isLeaving = true;
    const deadline = new Deadline(timeoutMs);
    const places = [...this.#ports.registry().all()].filter(({ owner, expirySeconds }) => owner === this.#ports.self && expirySeconds > 0);
    const rest = places[Symbol.iterator]();
    const lanes = Array.from({ length: AT_ONCE }, async () => {
      for (const place of rest) if (!(await this.#place(place, nodes, deadline))) return;
    });
    await Promise.all(lanes);
    const left = places.filter((place) => this.#isHere(place)).length;
    return { moved: places.length - left, left };
  }

  /** @returns false when there is no time, or no node, for more */
  async #place(place: Place, nodes: readonly string[], deadline: Deadline): Promise<boolean> {
    const up = this.#ports.up();
    const targets = nodes.filter((node) => up.has(node));
    const first = this.#turn++;
    for (let tried = 0; tried < targets.length && this.#isHere(place); tried++) {
      const given = this.#give(place, targets[(first + tried) % targets.length]!);
      if (!(await deadline.reaches(given))) return false;
      if (await given) break;
    }
    return targets.length > 0;
  }

  async #give({ namespace, clientId }: Place, node: string): Promise<boolean> {
    const key = sessionKey(namespace, clientId);
    const taken = new Promise<boolean>((resolve) => this.#offered.set(key, { node, resolve }));
    this.#ports.send(node, { t: 'adopt', namespace, clientId });
    const isAnswered = await new Deadline(GIVE_MS).reaches(taken);
    this.#offered.delete(key);
    return isAnswered && taken;
  }

  /** A client may have claimed it, too. */
  #isHere({ namespace, clientId }: Place): boolean {
    return this.#ports.registry().find(namespace, clientId)?.owner === this.#ports.self;
  }

  /** The answer to `adopt`. */
  adopted(from: string, { namespace, clientId }: Place, isTaken: boolean): void {
    const offered = this.#offered.get(sessionKey(namespace, clientId));
    if (offered?.node === from) offered.resolve(isTaken);
  }

  /** The link to the node is lost: what it had not taken is here. */
  nodeLost(node: string): void {
    for (const offered of this.#offered.values()) if (offered.node === node) offered.resolve(false);
  }
}
