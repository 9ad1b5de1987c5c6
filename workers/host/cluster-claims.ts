/** Joins the claims of this node with those of all others: the session worker's part in a cluster. */

import { steadyNow } from '../../src/kernel/clock.ts';
import type { Logger } from '../../src/kernel/logger.ts';
import { Pace } from '../../src/kernel/turns/pace.ts';
import type { ClaimCounts } from '../../src/thread/commands.ts';
import type { PeerLink } from '../shared/mesh/peer-link.ts';
import type { Claim, Control } from '../shared/wire/controls.ts';
import type { Ask, Finding, Held, IdentifierNews } from '../shared/wire/identifier-news.ts';
import { Arbiter, type Claimed } from './cluster/arbiter.ts';
import { Meetings } from './cluster/meetings.ts';
import { isBefore, Stamps } from './cluster/stamps.ts';
import type { ClusterOfClaims } from './identifiers/contract.ts';
import type { Recall } from './identifiers/entry.ts';
import type { Registry } from './identifiers/registry.ts';

/** A claim of an endpoint worker of this node. */
interface LocalClaim extends Claimed {
  readonly claim: Claim;
  readonly claimant: PeerLink;
}

export interface ClusterClaimsOptions {
  /** name of this node */
  node: string;
  registry(): Pick<Registry, 'recall' | 'decide' | 'find' | 'all' | 'isComplete'>;
  logger(): Logger;
  /** Steady time, ms; absent: of the process. */
  now?: () => number;
  /** Milliseconds since 1970; absent: of the process. */
  wall?: () => number;
}

export class ClusterClaims implements ClusterOfClaims {
  readonly counts: ClaimCounts = { recalled: 0, duplicates: 0 };
  readonly #options: ClusterClaimsOptions;
  readonly #stamps: Stamps;
  readonly #arbiter: Arbiter<LocalClaim>;
  readonly #meetings: Meetings;
  /** for what this worker tells other nodes */
  #relay: PeerLink | null = null;
  /** nodes that an earlier relay was linked with, and this one not yet */
  #former = new Set<string>();
  #hasRelay = false;

  constructor(options: ClusterClaimsOptions) {
    this.#options = options;
    this.#stamps = new Stamps(options.wall);
    const { node } = options;
    const send = (nodes: readonly string[], news: IdentifierNews) => this.#relay?.control({ t: 'to-nodes', nodes, news });
    this.#arbiter = new Arbiter<LocalClaim>({
      self: node,
      stamps: this.#stamps,
      now: options.now ?? steadyNow,
      send,
      recall: (from, ask, then) => this.#recall(from, ask, then),
      serve: ({ claim, claimant }, stamp) => {
        claim.stamp = stamp;
        this.#options.registry().decide(claim, claimant);
      },
      serveAgain: ({ claim, claimant }) => this.#options.registry().decide(claim, claimant),
      deny: ({ connection, claimant }, reason) => claimant.control({ t: 'deny', connection, reason }),
      missed: (nodes, { namespace, clientId }, stamp) => this.#meetings.missed(nodes, { namespace, clientId, stamp }),
    });
    this.#meetings = new Meetings({
      self: node,
      send,
      stampOf: (namespace, clientId) => {
        const entry = this.#options.registry().find(namespace, clientId);
        return entry === undefined || entry.owner === null ? null : entry.stamp;
      },
      evict: (held, from) => this.#evict(held, from),
    });
  }

  /** See ClusterOfClaims. */
  readonly claim = (claim: Claim, claimant: PeerLink): void => {
    const { connection, namespace, clientId, user, cleanStart } = claim;
    this.#arbiter.claim({ connection, namespace, clientId, user, cleanStart, claim, claimant });
  };

  readonly decided = (claim: Claim): void => this.#arbiter.finished(claim);

  readonly complete = (): void => {
    this.#arbiter.complete();
    this.#judgeReady();
  };

  /** Closes the client here that has the identifier, unless it was granted without the other node, and later. */
  #recall(node: string, { namespace, clientId, user, cleanStart, stamp }: Ask, then: (found: Finding) => void): void {
    let isLater = false;
    const recall: Recall = {
      by: { user },
      discard: cleanStart,
      isDue: (entry) => {
        isLater = !isBefore(entry.stamp, this.#options.node, stamp, node);
        if (!isLater) this.counts.recalled++;
        return !isLater;
      },
      answer: (found) => {
        then(isLater ? 'later' : found);
      },
    };
    this.#options.registry().recall(namespace, clientId, recall);
  }

  /** The other node has a later claim: the session here ends, and its client is closed. */
  #evict({ namespace, clientId, stamp }: Held, node: string): void {
    const isDue: Recall['isDue'] = (entry) => {
      if (!isBefore(entry.stamp, this.#options.node, stamp, node)) return false;
      this.counts.duplicates++;
      const fields = { namespace, clientId, node };
      this.#options.logger().warn('Another node has a later claim of the same client identifier: the session here ends', fields);
      return true;
    };
    this.#options.registry().recall(namespace, clientId, { by: null, discard: true, isDue, answer() {} });
  }

  #judgeReady(): void {
    this.#arbiter.setReady(this.#hasRelay && this.#options.registry().isComplete);
  }

  /** See MeshHooks.onRelay. */
  onRelay(state: PeerLink | 'away' | 'missed'): void {
    if (state === 'away') {
      this.#hasRelay = false;
      this.#former = new Set(this.#arbiter.up);
    } else {
      this.#hasRelay = true;
      for (const node of this.#former) this.#nodeDown(node);
      this.#former.clear();
    }
    this.#judgeReady();
  }

  /** @returns false when the control is not about client identifiers of other nodes */
  onControl(peer: PeerLink, control: Control): boolean {
    if (peer.role !== 'relay') return false;
    this.#relay = peer;
    if (control.t === 'node-up') this.#nodeUp(control.node);
    else if (control.t === 'node-down') this.#nodeDown(control.node);
    else if (control.t === 'from-node') this.#onNews(control.node, control.news);
    else return false;
    return true;
  }

  #nodeUp(node: string): void {
    this.#former.delete(node);
    this.#meetings.nodeDown(node, this.#agreedWith(node));
    this.#arbiter.nodeUp(node);
    void this.#meet(node);
  }

  #nodeDown(node: string): void {
    this.#meetings.nodeDown(node, this.#agreedWith(node));
    this.#arbiter.nodeDown(node);
  }

  /** The stamp up to which the node has answered every claim, while it is linked. */
  #agreedWith(node: string): number {
    const open = this.#arbiter.firstOpen(node);
    return open === null ? this.#stamps.last : open - 1;
  }

  async #meet(node: string): Promise<void> {
    const relay = this.#relay;
    const pace = new Pace();
    for (const news of this.#meetings.nodeUp(node, this.#held(), this.#stamps.last)) {
      if (pace.isOver) await pace.next();
      if (this.#relay !== relay || !this.#arbiter.up.has(node)) return;
      if (news !== null) relay?.control({ t: 'to-nodes', nodes: [node], news });
    }
  }

  *#held(): IterableIterator<Held> {
    for (const { owner, namespace, clientId, stamp } of this.#options.registry().all())
      if (owner !== null) yield { namespace, clientId, stamp };
  }

  #onNews(node: string, news: IdentifierNews): void {
    switch (news.t) {
      case 'ask':
        this.#arbiter.onAsk(node, news);
        return;
      case 'answer':
        this.#arbiter.onAnswer(node, news.stamp, news.how, news.latest);
        return;
      case 'meet':
        for (const { stamp } of news.held) this.#stamps.see(stamp);
        this.#meetings.onMeet(node, news.held, news.upTo);
        return;
      case 'met':
        this.#meetings.onMet(node, news.upTo);
        return;
    }
  }

  /** Claims that wait for other nodes. */
  get waiting(): number {
    return this.#arbiter.asking;
  }

  /** To be called a few times a second. */
  sweep(): void {
    this.#arbiter.sweep();
  }
}
