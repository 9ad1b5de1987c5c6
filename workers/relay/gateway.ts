/**
 * The relay without its thread: joins the workers of this node with all other nodes. To the workers it is one more peer, with the interest of
 * all other nodes. A message that came from a node never goes to another node.
 */

import { GOODBYE } from '../../src/link/contract.ts';
import type { Run } from '../shared/messages/run.ts';
import type { Namespace } from '../shared/routing/namespace.ts';
import type { PeerPublish } from '../shared/routing/peer.ts';
import type { Control, InterestNews } from '../shared/wire/controls.ts';
import { Arrivals } from './arrivals.ts';
import { Barriers, Flushes } from './barriers.ts';
import type { GatewayOptions, Worker } from './contract.ts';
import { OwnInterest } from './interest/own-interest.ts';
import { Ledger } from './kept/ledger.ts';
import { NodeInput } from './node-input.ts';
import { Outgoing } from './outgoing.ts';
import { RemoteInterest } from './remote-interest.ts';
import { RemoteNode } from './remote-node.ts';
import { SharedPlaces } from './shared-places.ts';

interface Member {
  readonly node: RemoteNode;
  readonly incoming: NodeInput;
  /** main sees it */
  isExpected: boolean;
  /** the whole interest of the node is known */
  isKnown: boolean;
  /** request of the interest that the node got when the link began; 0: the node knows that interest */
  told: number;
  /** this node has the retained messages that the other node had when the link began */
  isCompared: boolean;
  /** this side has ended the session of the link for a new one, and waits for that until this steady time; null: it does not wait */
  returnsUntil: number | null;
}

/** A node that does not begin the new session of its link after this time is silent (ms). */
const RETURNS_MS = 4_000;

export class Gateway {
  readonly arrivals: Arrivals;
  readonly ledger = new Ledger();
  readonly interest: RemoteInterest;
  readonly #options: GatewayOptions;
  readonly #members = new Map<string, Member>();
  readonly #own = new OwnInterest();
  readonly #barriers = new Barriers();
  readonly #flushes: Flushes;
  readonly shared: SharedPlaces;
  readonly #outgoing: Outgoing;
  /** source → floor of the messages from other nodes */
  readonly #floors = new Map<number, number>();
  readonly #touched = new Set<RemoteNode>();
  readonly #toSettle = new Set<NodeInput>();
  #isScheduled = false;
  #hasView = false;
  #isIsolated = false;
  #hasSession = false;
  #isLinked = false;
  #nextId = 1;

  constructor(options: GatewayOptions) {
    this.#options = options;
    const { local, logger } = options;
    this.interest = new RemoteInterest((news) => local.announce(news));
    this.arrivals = new Arrivals({
      namespace: (name) => local.namespace(name),
      keeper: () => this.#keeper(),
      onClosed: () => this.#settleAll(),
      giveOn: (...lost) => this.shared.bounces.fromDead(...lost),
      logger,
    });
    this.#flushes = new Flushes(local, this.#members);
    this.shared = new SharedPlaces(options, this.interest);
    this.#outgoing = new Outgoing(this.#members, this.interest, this.shared.bounces, this.ledger);
  }

  #keeper(): Worker | null {
    for (const worker of this.#options.local.links.values()) if (worker.role === 'session') return worker;
    return null;
  }

  get isLinked(): boolean {
    return this.#isLinked;
  }

  /** The wire has had no connection for so long that this node works alone. */
  get isIsolated(): boolean {
    return this.#isIsolated;
  }

  /** Filters and groups that this node announces. */
  get ownInterest(): number {
    return this.#own.size;
  }

  /** True while an awaited node has not taken all its messages. */
  get hasOnTheWay(): boolean {
    for (const { node } of this.#members.values()) if (node.isAwaited && node.waiting > 0) return true;
    return false;
  }

  nodes(): IterableIterator<Readonly<Pick<Member, 'node' | 'incoming' | 'isExpected' | 'isCompared'>>> {
    return this.#members.values();
  }

  /**
   * Sets the other nodes that carry messages. A missing node is forgotten, with all that was kept for it.
   * @param nodes `isUp`: main sees it
   */
  setNodes(nodes: readonly { name: string; isUp: boolean }[]): void {
    this.#hasView = true;
    const names = new Set(nodes.map(({ name }) => name));
    for (const [name, member] of this.#members) {
      if (names.has(name)) continue;
      this.shared.gone(member.node);
      this.#members.delete(name);
      this.#options.links.remove(name);
      member.node.forget();
      this.#tellSession({ t: 'node-down', node: name, isCutOff: this.#isIsolated });
      this.#barriers.forget(member.node);
      this.#flushes.forget(member.node);
      this.interest.forget(member.node);
    }
    for (const { name, isUp } of nodes) {
      const member = this.#members.get(name) ?? this.#add(name);
      member.isExpected = isUp;
      if (!isUp && !member.node.isUp && !this.#isIsolated) this.shared.down(member.node);
    }
    this.#schedule();
    this.#judgeLinked();
  }

  #add(name: string): Member {
    const { links, hold, logger, now } = this.#options;
    const node = new RemoteNode(this.#nextId++, name, hold, this.ledger, {
      now,
      write: (lane, packet) => links.write(name, lane, packet),
      touched: (touched) => this.#touch(touched),
    });
    const incoming = new NodeInput(node, this.arrivals, this.#incomingHooks(name), logger);
    const member: Member = { node, incoming, isExpected: true, isKnown: false, told: 0, isCompared: false, returnsUntil: null };
    this.#members.set(name, member);
    links.add(name, {
      up: (incarnation) => this.#up(member, incarnation),
      down: (reason) => this.#down(member, reason),
      deliver: (lane, packet, number) => incoming.deliver(lane, packet, number),
      acked: (lane, count) => node.acked(lane, count),
      room: () => this.#touch(node),
    });
    return member;
  }

  #incomingHooks(name: string): ConstructorParameters<typeof NodeInput>[2] {
    const gateway = this;
    const { local, links, now } = this.#options;
    return {
      now,
      take: (upTo) => links.take(name, upTo),
      touched(incoming) {
        gateway.#toSettle.add(incoming);
        gateway.#schedule();
      },
      get isBusy() {
        if (!gateway.#hasSession) return 'lost';
        return local.isOverloaded ? 'behind' : null;
      },
      raise: (source, floor) => void this.#floors.set(source, floor),
      onBegin: (node, relay) => {
        this.shared.begun(node, relay);
        this.interest.begin(node);
      },
      onNews: (node, news) => {
        if (this.shared.noteMembers(news)) this.#schedule();
        return this.interest.apply(node, news);
      },
      onEnd: (node) => this.#ended(node),
      onKnown: (node, request) => this.#known(node, request),
      onFlush: (node, request, to) => void this.#flushes.answerNode(node, request, to),
      onFlushed: (node, request) => this.#flushes.answered(node, request),
      onIdentifiers: (node, news) => this.#tellSession({ t: 'from-node', node: node.name, news }),
      onCompare: (node, frame, clockShift) => this.#tellSession({ t: 'retained-frame', node: node.name, frame, clockShift }),
      onBounce: (node, bounce) => this.shared.bounces.fromNode(node, bounce),
      onOrphans: (node, namespace, record, groups) => this.shared.bounces.orphans(node, namespace, record, groups),
      onSettled: (node, settlements) => this.shared.settlements.fromNode(node, settlements),
      onName: (node, request, names) => this.shared.settlements.known(node, request, names),
      onNamed: (node, request) => this.shared.settlements.answered(node, request),
    };
  }

  #up(member: Member, incarnation: number): void {
    const { node, incoming } = member;
    this.#options.logger.info(`Cluster: messages cross to and from node ${node.name}`);
    incoming.begin(incarnation);
    member.isKnown = false;
    member.returnsUntil = null;
    member.isCompared = this.#keeper() === null;
    this.#tellSession({ t: 'retained-node', node: node.name, isUp: true });
    this.shared.up(node, incarnation);
    node.up();
    if (!this.#isIsolated) this.#await(node);
    node.control({ t: 'begin', relay: this.shared.relay });
    this.shared.settlements.askAgain(node);
    // The whole interest includes the news that wait.
    for (const { news } of this.#own.pieces()) node.control({ t: 'news', request: 0, news: [news] });
    member.told = this.#barriers.begin([node]);
    node.control({ t: 'end', request: member.told });
    this.#flushes.again(node);
  }

  #down(member: Member, reason: string): void {
    const { node, incoming } = member;
    incoming.end();
    this.#tellSession({ t: 'retained-node', node: node.name, isUp: false });
    node.down();
    if (reason === GOODBYE) this.shared.ended(node);
    // Without this node in between, a claim would miss the sessions there, and an acknowledgement its subscribers.
    if (member.returnsUntil !== null) return;
    // A new session may begin in the same turn: then the other node has a new relay, and stays awaited.
    this.#options.soon(() => {
      if (!node.isUp && this.#members.get(node.name) === member) this.#giveUp(node, reason);
    });
  }

  #giveUp(node: RemoteNode, reason: string): void {
    this.#options.logger.warn(`Cluster: messages do not cross to node ${node.name}`, { reason });
    this.#release(node);
    if (!this.#isIsolated) this.shared.down(node);
  }

  /** The process of the node has ended; its link ends, too. */
  ended(name: string): void {
    const member = this.#members.get(name);
    if (member !== undefined) this.shared.ended(member.node);
  }

  /** Publishers, subscribers and claims of this node wait for the other node. */
  #await(node: RemoteNode): void {
    node.await(true);
    this.#tellSession({ t: 'node-up', node: node.name, incarnation: this.#options.incarnation });
  }

  #tellSession(control: Control): void {
    this.#keeper()?.control(control);
  }

  /** Publishers, subscribers and claims no longer wait for the other node. */
  #release(node: RemoteNode): void {
    node.await(false);
    this.shared.released(node);
    this.#tellSession({ t: 'node-down', node: node.name, isCutOff: this.#isIsolated });
    this.#barriers.forget(node);
    this.#flushes.forget(node);
    this.#schedule();
    this.#judgeLinked();
  }

  /** True: NATS is away, and this node works alone until NATS is back. */
  setIsolated(isIsolated: boolean): void {
    if (this.#isIsolated === isIsolated) return;
    this.#isIsolated = isIsolated;
    for (const { node, isKnown } of this.#members.values())
      if (isIsolated) this.#release(node);
      else if (node.isUp) {
        if (isKnown) this.interest.setAway(node, false);
        this.#await(node);
      }
    this.#tellDown();
    this.#judgeLinked();
  }

  async #ended(node: RemoteNode): Promise<void> {
    await this.interest.end(node);
    const member = this.#members.get(node.name);
    if (member?.node !== node) return;
    member.isKnown = true;
    if (node.isAwaited) this.interest.setAway(node, false);
    this.#judgeLinked();
  }

  #known(node: RemoteNode, request: number): void {
    this.#barriers.known(node, request);
    const member = this.#members.get(node.name);
    if (member === undefined || request < member.told) return;
    member.told = 0;
    this.#judgeLinked();
  }

  #judgeLinked(): void {
    if (this.#isLinked || !this.#hasSession) return;
    const isReady = ({ node, isExpected, isKnown, told, isCompared }: Member) =>
      !isExpected || (node.isUp && isKnown && told === 0 && isCompared);
    if (this.#isIsolated || (this.#hasView && [...this.#members.values()].every(isReady))) this.link();
  }

  /** Messages may come to the gateway, whether or not all nodes are linked. */
  link(): void {
    if (this.#isLinked) return;
    this.#isLinked = true;
    this.#options.onLinked();
    this.#flushes.linked();
    this.#tellDown();
  }

  /** The session worker may know nodes that are down from an earlier relay, or from before this node was cut off. */
  #tellDown(): void {
    if (this.#isIsolated) return;
    for (const { node } of this.#members.values()) if (!node.isUp) this.#tellSession({ t: 'node-down', node: node.name, isCutOff: false });
  }

  /**
   * The interest of workers has changed.
   * @returns resolves when all awaited nodes know this change and all earlier ones; null: they know already
   */
  localNews(news: readonly InterestNews[]): Promise<void> | null {
    if (this.shared.noteMembers(news)) this.#schedule();
    for (const { namespace, filters, shares } of news)
      this.localChange(this.#options.local.namespace(namespace), [...filters, ...shares.map(([filter]) => filter)]);
    return this.#own.spread ?? this.#barriers.all;
  }

  localChange(namespace: Namespace, filters: Iterable<string>): void {
    if (this.#own.add(namespace, filters)) this.#schedule();
  }

  #spreadNews(): void {
    const collected = this.#own.take();
    if (collected === null) return;
    const { news, markSpread } = collected;
    const nodes = [...this.#members.values()].filter(({ node }) => node.isUp).map(({ node }) => node);
    // A node whose link begins anew gets these news with the whole interest.
    const request = this.#barriers.begin([...this.#members.values()].map(({ node }) => node).filter(({ isAwaited }) => isAwaited));
    for (const node of nodes) node.control({ t: 'news', request, news });
    void (this.#barriers.all ?? Promise.resolve()).then(markSpread);
  }

  /** Sends a worker's message to the nodes that want it, and a retained message to all nodes. */
  publish(worker: Worker, name: string, record: PeerPublish): void {
    this.#outgoing.publish(worker, name, record);
    this.#schedule();
  }

  publishRun(name: string, run: Run): void {
    this.#outgoing.publishRun(name, run);
  }

  /** @returns false when the control is none for a relay */
  onControl(worker: Worker, control: Control): boolean {
    if (control.t === 'stored') this.arrivals.stored(control.count);
    else if (control.t === 'kept') this.arrivals.kept(worker, control);
    else if (control.t === 'flush') void this.#flushes.answer(worker, control);
    else if (control.t === 'to-nodes')
      for (const name of control.nodes) this.#members.get(name)?.node.control({ t: 'identifiers', news: control.news });
    else if (control.t === 'bounce') this.shared.bounces.fromWorker(worker, control);
    else if (control.t === 'shared-settled') this.shared.settlements.fromWorker(control);
    else if (control.t === 'shared-named') void this.shared.settlements.name(worker, control);
    else if (control.t === 'retained-frame') this.#members.get(control.node)?.node.compare(control.frame);
    else if (control.t === 'retained-compared') this.#compared(control.node);
    else if (control.t === 'unstored') this.#options.logger.error('Cluster: a message of another node could not be stored here');
    else return false;
    return true;
  }

  /** Sends a joining session worker the nodes that are up. */
  sessionInformed(worker: Worker): void {
    for (const { node } of this.#members.values())
      if (node.isAwaited) worker.control({ t: 'node-up', node: node.name, incarnation: this.#options.incarnation });
  }

  #compared(name: string): void {
    const member = this.#members.get(name);
    if (member !== undefined) member.isCompared = true;
    this.#judgeLinked();
  }

  /** A new session worker takes messages from now on. */
  sessionKnown(): void {
    this.#hasSession = true;
    // Messages that came while no session worker ran were not taken: new sessions of the links bring them again.
    this.#restartLinks('this node has a new session worker');
    this.#judgeLinked();
  }

  workerRemoved(worker: Worker): void {
    this.arrivals.peerRemoved(worker);
    this.ledger.forget(worker.id);
    this.shared.gone(worker);
    if (worker.role !== 'session') return;
    this.#hasSession = false;
    // Messages that it had not stored come again, for its successor.
    this.#restartLinks('the session worker of this node is being replaced');
  }

  #restartLinks(reason: string): void {
    for (const member of this.#members.values()) {
      if (!member.node.isUp) continue;
      if (member.node.isAwaited) member.returnsUntil = this.#options.now() + RETURNS_MS;
      this.#options.links.restart(member.node.name, reason);
    }
  }

  /** To be called several times a second: gives up nodes that have not begun the new session of their link. */
  tick(): void {
    for (const member of this.#members.values()) {
      if (member.returnsUntil === null || member.returnsUntil > this.#options.now()) continue;
      member.returnsUntil = null;
      this.#giveUp(member.node, 'its link did not begin anew');
    }
  }

  /** The workers have caught up. */
  relieved(): void {
    this.#settleAll();
  }

  /** See BatchForm.floorOf, for messages on their way to workers. */
  floorOf(source: number): number {
    return this.shared.bounces.floorOf(source) ?? this.#floors.get(source) ?? -1;
  }

  #settleAll(): void {
    for (const { incoming } of this.#members.values()) this.#toSettle.add(incoming);
    this.#schedule();
  }

  #touch(node: RemoteNode): void {
    this.#touched.add(node);
    this.#schedule();
  }

  #schedule(): void {
    if (this.#isScheduled) return;
    this.#isScheduled = true;
    this.#options.soon(() => this.#flush());
  }

  #flush(): void {
    this.#isScheduled = false;
    this.#spreadNews();
    if (!this.#isIsolated) this.shared.retry();
    const touched = [...this.#touched];
    this.#touched.clear();
    for (const node of touched) node.flush();
    const settling = [...this.#toSettle];
    this.#toSettle.clear();
    for (const incoming of settling) incoming.settle();
    this.ledger.flush();
  }
}
