/** The session worker's part in a cluster: agrees each claim of this node with all other nodes. */

import { steadyNow } from '../../src/kernel/clock.ts';
import type { Logger } from '../../src/kernel/logger.ts';
import { Pace } from '../../src/kernel/turns/pace.ts';
import type { ClaimCounts } from '../../src/thread/commands.ts';
import type { PeerLink } from '../shared/mesh/peer-link.ts';
import type { Claim, Control } from '../shared/wire/controls.ts';
import type { Ask, Finding, Held, IdentifierNews, SessionNews } from '../shared/wire/identifier-news.ts';
import { Arbiter, type Claimed } from './cluster/arbiter.ts';
import { Meetings } from './cluster/meetings.ts';
import { isBefore, Stamps } from './cluster/stamps.ts';
import { ClusterMoves, type ClusterMovesOptions, type TakeResult } from './cluster-moves.ts';
import { ClusterWills, type ClusterWillsOptions } from './cluster-wills.ts';
import { Evacuation } from './evacuation.ts';
import type { ClusterOfClaims } from './identifiers/contract.ts';
import type { Recall } from './identifiers/entry.ts';
import type { Registry } from './identifiers/registry.ts';

/** A claim of an endpoint worker of this node. */
interface LocalClaim extends Claimed {
  readonly claim: Claim;
  readonly claimant: PeerLink;
}

/** This node takes the session of an offline client from a node that stops. */
interface Adoption extends Claimed {
  readonly isAdoption: true;
  readonly from: string;
  isTaken: boolean;
}

export interface ClusterClaimsOptions {
  /** name of this node */
  node: string;
  /** number of this worker among the peers of the node */
  self: number;
  registry(): Pick<Registry, 'recall' | 'decide' | 'find' | 'all' | 'isComplete' | 'lend' | 'adoptOffline'>;
  logger(): Logger;
  /** Brings a session of another node here; absent: it stays there. */
  moves?: Pick<ClusterMovesOptions, 'mesh' | 'table' | 'durable'>;
  /** Wills are kept by other nodes, and theirs here; absent: not. */
  wills?: Omit<ClusterWillsOptions, 'node' | 'send' | 'registry'>;
  /** Steady time, ms; absent: of the process. */
  now?: () => number;
  /** Milliseconds since 1970; absent: of the process. */
  wall?: () => number;
}

export class ClusterClaims implements ClusterOfClaims {
  readonly #counts = { recalled: 0, moved: 0, duplicates: 0 };
  /** null: wills die with their node */
  readonly wills: ClusterWills | null;
  readonly #options: ClusterClaimsOptions;
  readonly #stamps: Stamps;
  readonly #moves: ClusterMoves | null;
  readonly #send: (nodes: readonly string[], news: IdentifierNews) => void;
  readonly #arbiter: Arbiter<LocalClaim | Adoption>;
  readonly #evacuation: Evacuation;
  #adoptions = 0;
  readonly #meetings: Meetings;
  /** the relay, which carries controls to other nodes */
  #relay: PeerLink | null = null;
  /** nodes that an earlier relay was linked with, and the present relay is not */
  #former = new Set<string>();
  #hasRelay = false;

  constructor(options: ClusterClaimsOptions) {
    this.#options = options;
    this.#stamps = new Stamps(options.wall);
    const { node } = options;
    const send = (nodes: readonly string[], news: IdentifierNews) => this.#relay?.control({ t: 'to-nodes', nodes, news });
    this.#send = send;
    const { moves, registry, logger } = options;
    const ports = { registry, logger, node, send: (to: string, news: SessionNews) => send([to], news) };
    const tellRelay = (control: Control) => this.#relay?.control(control);
    this.#moves =
      moves === undefined ? null : new ClusterMoves({ ...moves, ...ports, tellRelay, onLent: (session) => this.wills?.settled(session) });
    const { wills } = options;
    this.wills = wills === undefined ? null : new ClusterWills({ ...wills, node, registry, send: (to, news) => send([to], news) });
    this.#arbiter = new Arbiter<LocalClaim | Adoption>({
      self: node,
      stamps: this.#stamps,
      now: options.now ?? steadyNow,
      send,
      recall: (from, ask, then) => this.#recall(from, ask, then),
      serve: (local, stamp, holders) => {
        if ('from' in local) {
          void this.#adopt(local, stamp, holders);
          return;
        }
        local.claim.stamp = stamp;
        this.wills?.claimed({ ...local, stamp });
        if (holders.size === 0 || this.#moves === null) this.#options.registry().decide(local.claim, local.claimant);
        else void this.#bring(local, stamp, holders);
      },
      serveAgain(local) {
        if (!('from' in local)) registry().decide(local.claim, local.claimant);
      },
      deny: (local, reason) => {
        if ('from' in local) this.#tellAdopted(local);
        else local.claimant.control({ t: 'deny', connection: local.connection, reason });
      },
      missed: (to, local, stamp) => {
        const { namespace, clientId } = local;
        if (!('from' in local) || local.isTaken) this.#meetings.missed(to, { namespace, clientId, stamp });
      },
    });
    this.#evacuation = new Evacuation({ self: options.self, registry, up: () => this.#arbiter.up, send: (to, news) => send([to], news) });
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

  get counts(): ClaimCounts {
    return { ...this.#counts, ...(this.wills?.counts ?? { willsKept: 0, willsPublished: 0, willsRefused: 0 }) };
  }

  /** See ClusterOfClaims. */
  readonly claim = (claim: Claim, claimant: PeerLink): void => {
    const { connection, namespace, clientId, user, cleanStart } = claim;
    this.#arbiter.claim({ connection, namespace, clientId, user, cleanStart, claim, claimant });
  };

  readonly decided = (claim: Claim): void => {
    const entry = this.#options.registry().find(claim.namespace, claim.clientId);
    const isGranted = entry !== undefined && entry.owner !== null && claim.stamp !== undefined && entry.stamp === claim.stamp;
    if (isGranted) this.wills?.granted(claim);
    this.#arbiter.finished(claim);
  };

  readonly complete = (): void => {
    this.#arbiter.complete();
    this.#judgeReady();
  };

  /** Closes the client here that has the identifier, unless its later claim was granted without the other node. */
  #recall(
    node: string,
    { namespace, clientId, user, cleanStart, stamp, isAdoption = false }: Ask,
    then: (found: Finding, since: number) => void,
  ): void {
    let isLater = false;
    let since = 0;
    const recall: Recall = {
      by: isAdoption ? null : { user },
      discard: cleanStart,
      isDue: (entry) => {
        since = entry.stamp;
        if (isAdoption && entry.owner !== this.#options.self) return false;
        isLater = !isBefore(entry.stamp, this.#options.node, stamp, node);
        if (!isLater && !isAdoption) this.#counts.recalled++;
        return !isLater;
      },
      answer: (found) => {
        if (!isLater && !isAdoption && (found === 'none' || found === 'held')) this.wills?.left(namespace, clientId);
        then(isLater ? 'later' : found, since);
      },
    };
    this.#options.registry().recall(namespace, clientId, recall);
  }

  /** The other node has a later claim: the session here ends, and its client is closed. */
  #evict({ namespace, clientId, stamp }: Held, node: string): void {
    const isDue: Recall['isDue'] = (entry) => {
      if (!isBefore(entry.stamp, this.#options.node, stamp, node)) return false;
      this.#counts.duplicates++;
      this.wills?.cancel(namespace, clientId);
      const fields = { namespace, clientId, node };
      this.#options.logger().warn('Another node has a later claim of the same client identifier: the session here ends', fields);
      return true;
    };
    this.#options.registry().recall(namespace, clientId, { by: null, discard: true, isDue, answer() {} });
  }

  /** Brings the session of the latest claim here, then lets this node decide. Older ones, which only splits leave behind, end. */
  async #bring({ claim, claimant }: LocalClaim, stamp: number, holders: ReadonlyMap<string, number>): Promise<void> {
    const { namespace, clientId } = claim;
    const registry = this.#options.registry();
    const nodes = [...holders.keys()].sort((a, b) => holders.get(b)! - holders.get(a)!);
    const [latest] = nodes;
    const own = registry.find(namespace, clientId);
    const hasOwn = own !== undefined && own.owner !== null;
    if (latest !== undefined && (!hasOwn || own.stamp < holders.get(latest)!)) {
      if (hasOwn) await this.#endOwn(namespace, clientId);
      const result = await this.#take(latest, namespace, clientId, stamp);
      if (result === 'failed' && this.#arbiter.up.has(latest)) {
        claimant.control({ t: 'deny', connection: claim.connection, reason: 'busy' });
        this.#arbiter.finished(claim);
        return;
      }
    }
    const older = nodes.filter((node) => node !== latest || hasOwn);
    if (older.length > 0) this.#send(older, { t: 'meet', held: [{ namespace, clientId, stamp }], upTo: 0 });
    registry.decide(claim, claimant);
  }

  /** Takes the session from the node that stops, unless it is here, or on a third node since a later claim. */
  async #adopt(adoption: Adoption, stamp: number, holders: ReadonlyMap<string, number>): Promise<void> {
    const { namespace, clientId, from } = adoption;
    const since = holders.get(from);
    const owner = this.#options.registry().find(namespace, clientId)?.owner ?? null;
    const isNewest = since !== undefined && owner === null && [...holders.values()].every((other) => other <= since);
    if (isNewest && this.#moves !== null) adoption.isTaken = (await this.#take(from, namespace, clientId, stamp)) === 'taken';
    if (adoption.isTaken) this.wills?.adopted(namespace, clientId);
    this.#arbiter.finished(adoption);
    this.#tellAdopted(adoption);
  }

  #tellAdopted({ namespace, clientId, from, isTaken }: Adoption): void {
    this.#send([from], { t: 'adopted', namespace, clientId, isTaken });
  }

  /** See Evacuation.run(). */
  evacuate(nodes: readonly string[], timeoutMs: number): Promise<{ moved: number; left: number }> {
    return this.#evacuation.run(nodes, timeoutMs);
  }

  #onAdopt(from: string, namespace: string, clientId: string): void {
    const adoption: Adoption = {
      connection: -++this.#adoptions,
      namespace,
      clientId,
      user: null,
      cleanStart: false,
      isAdoption: true,
      from,
      isTaken: false,
    };
    if (this.#evacuation.isLeaving) this.#tellAdopted(adoption);
    else this.#arbiter.claim(adoption);
  }

  /** A lost link is back at once, as a rule. */
  async #take(node: string, namespace: string, clientId: string, stamp: number): Promise<TakeResult> {
    let result = await this.#moves!.take(node, namespace, clientId, stamp);
    if (result === 'failed' && this.#arbiter.up.has(node)) result = await this.#moves!.take(node, namespace, clientId, stamp);
    if (result === 'taken') this.#counts.moved++;
    return result;
  }

  #endOwn(namespace: string, clientId: string): Promise<void> {
    this.#counts.duplicates++;
    return new Promise((resolve) => {
      const recall: Recall = { by: null, discard: true, isDue: () => true, answer: () => resolve() };
      this.#options.registry().recall(namespace, clientId, recall);
    });
  }

  #judgeReady(): void {
    this.#arbiter.setReady(this.#hasRelay && this.#options.registry().isComplete);
  }

  /** See MeshHooks.onRelay. */
  onRelay(state: PeerLink | 'away' | 'missed'): void {
    if (state === 'away') {
      this.#hasRelay = false;
      this.#moves?.relayLost();
      this.#former = new Set(this.#arbiter.up);
    } else {
      this.#hasRelay = true;
      // Whether they are down is not known: the relay says so.
      for (const node of this.#former) this.#nodeDown(node, true);
      this.#former.clear();
      this.wills?.linked();
    }
    this.#judgeReady();
  }

  /** @returns false when the control is not about client identifiers of other nodes */
  onControl(peer: PeerLink, control: Control): boolean {
    if (peer.role !== 'relay') return false;
    this.#relay = peer;
    if (control.t === 'node-up') {
      if (this.#moves !== null) this.#moves.incarnation = control.incarnation;
      // Before the claims of this node: the other one then knows what it may have to tell.
      this.wills?.nodeUp(control.node, control.incarnation);
      this.#nodeUp(control.node);
    } else if (control.t === 'flushed') this.#moves?.flushed(control.request);
    else if (control.t === 'node-down') this.#nodeDown(control.node, control.isCutOff);
    else if (control.t === 'from-node') this.#onNews(control.node, control.news);
    else return false;
    return true;
  }

  #nodeUp(node: string): void {
    this.#former.delete(node);
    this.#meetings.nodeDown(node, this.#agreedWith(node));
    this.#moves?.nodeLost(node);
    this.#evacuation.nodeLost(node);
    this.#arbiter.nodeUp(node);
    void this.#meet(node);
  }

  #nodeDown(node: string, isCutOff: boolean): void {
    this.wills?.nodeDown(node, isCutOff);
    this.#meetings.nodeDown(node, this.#agreedWith(node));
    this.#moves?.nodeLost(node);
    this.#evacuation.nodeLost(node);
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
        if (news.isAdoption !== true) this.wills?.claimed(news);
        this.#arbiter.onAsk(node, news);
        return;
      case 'answer':
        this.#arbiter.onAnswer(node, news);
        return;
      case 'meet':
        for (const held of news.held) {
          this.#stamps.see(held.stamp);
          this.wills?.met(held);
        }
        this.#meetings.onMeet(node, news.held, news.upTo);
        return;
      case 'met':
        this.#meetings.onMet(node, news.upTo);
        return;
      case 'adopt':
        this.#onAdopt(node, news.namespace, news.clientId);
        return;
      case 'adopted':
        this.#evacuation.adopted(node, news, news.isTaken);
        return;
      case 'will-holder':
      case 'will-keep':
      case 'will-drop':
      case 'will-told':
        this.wills?.onNews(node, news);
        return;
      default:
        if (this.#moves === null || this.#moves.onNews(node, news) || news.t !== 'taken') return;
        // This node had given up the move: the session here is the older one, unless a new claim has taken it.
        this.#meetings.onMeet(node, [{ namespace: news.namespace, clientId: news.clientId, stamp: news.move }], 0);
    }
  }

  /** Claims that wait for other nodes. */
  get waiting(): number {
    return this.#arbiter.asking;
  }

  /** To be called a few times a second. */
  sweep(): void {
    this.#arbiter.sweep();
    this.#moves?.sweep();
    this.wills?.sweep();
  }
}
