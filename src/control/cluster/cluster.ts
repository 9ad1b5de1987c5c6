/** This node's part of the cluster: announces and hears revisions, asks the other nodes, and describes them. */

import { type Bus, NOBODY } from '../../bus/bus.ts';
import { processNumber, type RelayedNode } from '../../bus/relay.ts';
import { type Subjects, subjectsOf } from '../../bus/subjects.ts';
import { BoundedMap } from '../../kernel/bounded-map.ts';
import { wallNow } from '../../kernel/clock.ts';
import type { Subscribable } from '../../kernel/emitter.ts';
import { FluxError, toWireError } from '../../kernel/errors.ts';
import type { Logger } from '../../kernel/logger.ts';
import type { SyncCounts } from '../../metrics/prometheus.ts';
import type { ClusterStatus, NodeOutcome, NodeView } from '../contract/answers.ts';
import type { DrainRequest } from '../contract/request-parts.ts';
import type { Refuge } from '../listening/drain/farewell.ts';
import type { EndpointSupervisors } from '../listening/endpoint-supervisors.ts';
import type { Reconciler } from '../listening/reconciler.ts';
import type { DesiredState } from '../state/desired-state.ts';
import { Announcer } from './announcer.ts';
import { EndpointEvents } from './endpoint-events.ts';
import { Members } from './members.ts';
import { crossingOf, type RelayView } from './messages/crossing.ts';
import { Relayed, relayedNodes } from './messages/relayed.ts';
import type { Announcement, NodeFacts } from './notices.ts';
import { type OwnFacts, toNodeView } from './own-facts.ts';
import { type AskedNode, type NodeAnswer, type NodeQuestion, QUESTIONS, readAnswer } from './questions.ts';

export interface ClusterOptions {
  bus: Bus;
  /** first word of the subjects */
  name: string;
  facts: OwnFacts;
  retryCount: number;
  node: string;
  desired: DesiredState;
  supervisors: EndpointSupervisors;
  reconciler: Reconciler;
  logger: Logger;
  /** null: messages do not cross */
  relay: RelayView | null;
}

/** Answers a question of another node. */
type Answering = (question: NodeQuestion, body: unknown) => Promise<unknown>;

const NO_ANSWER: Answering = async () => null;
/** Most incarnations remembered: each start of a node adds one, the oldest is evicted. */
const GONE_MAX = 1_000;

export class Cluster {
  #answering: Answering = NO_ANSWER;
  readonly #options: ClusterOptions;
  readonly #subjects: Subjects;
  readonly #members: Members;
  readonly #relayed: Relayed;
  readonly #announcer: Announcer;
  readonly #events: EndpointEvents;
  /** incarnations that this node saw leave and not come back */
  readonly #gone = new BoundedMap<string, true>(GONE_MAX);
  /** the variable part of the last heartbeat, without its times */
  #said = '';

  constructor(options: ClusterOptions) {
    this.#options = options;
    const { bus, name, logger, desired, supervisors, reconciler, retryCount, facts: own } = options;
    this.#subjects = subjectsOf(name);
    const self = { name: options.node, incarnation: own.incarnation };
    const common = { bus, subjects: this.#subjects, self };
    this.#members = new Members({ ...common, facts: () => own.read(), logger });
    this.#relayed = new Relayed(this.#members, bus, options.node);
    this.#announcer = new Announcer({
      ...common,
      members: this.#members,
      retryCount,
      outcomeOf: (announcement) => this.#outcomeOf(announcement),
      onAnnounced: ({ revision, ids, drain }) => reconciler.announced(revision, ids, drain),
    });
    this.#members.heartbeat.subscribe((facts) => this.#heardOf(facts));
    this.#members.moved.subscribe((facts, isUp) => this.#moved(facts, isUp));
    reconciler.roundEnded.subscribe(() => this.#reconciled());
    // Announcements made without a connection were lost.
    bus.onState(({ connected }) => connected && reconciler.wake());
    this.#events = new EndpointEvents({ desired, supervisors, reconciler, publish: (event, body) => this.#publish(event, body) });
    let isTold = false;
    bus.onState(({ connected }) => {
      if (connected && !isTold) this.#tellNode(own.read(), true);
      isTold ||= connected;
    });
    // NATS drops the subscription with this process, and says so to relays that ask.
    bus.subscribe(this.#subjects.alive(processNumber(own.incarnation)), () => {});
    for (const question of QUESTIONS) {
      bus.answer(this.#subjects.node(own.incarnation, question), (body) => this.#answer(question, body));
    }
  }

  /** Revisions that another node knows and this one does not. */
  get lag(): number {
    return this.#newest() - this.#options.desired.revision;
  }

  /** Announcements and receipts since the start. */
  get counts(): SyncCounts {
    return { ...this.#announcer.counts };
  }

  /**
   * Announces that a revision is in the store.
   * @param ids the changed endpoints; empty: the revision changed something else
   * @param drain for the clients of listeners that stop
   * @param waitMs longest wait for receipts; 0: does not wait
   * @returns an outcome for each other known node; never fails
   */
  spread(revision: number, ids: readonly string[], drain: DrainRequest, waitMs: number): Promise<NodeOutcome[]> {
    return this.#announcer.announce({ revision, ids, drain }, waitMs);
  }

  /** Publishes an event about an endpoint. */
  get events(): EndpointEvents {
    return this.#events;
  }

  /** Asks every other node. Never fails: the answer of a silent node is the reason. */
  async askAll(question: NodeQuestion, body: unknown, timeoutMs: number): Promise<NodeAnswer[]> {
    const asked = this.others().map(async (node): Promise<NodeAnswer> => {
      try {
        return { node: node.label, answer: await this.ask(node, question, body, timeoutMs), reason: null };
      } catch (error) {
        return { node: node.label, answer: null, reason: toWireError(error).message };
      }
    });
    return Promise.all(asked);
  }

  /** Every other known node, those that are up first. */
  others(): AskedNode[] {
    const members = this.#members;
    const up = members.others().map((facts) => ({ ...facts, label: members.labelOf(facts), hasLeft: false }));
    return [...up, ...members.missing().map((facts) => ({ ...facts, label: facts.name, incarnation: null }))];
  }

  /** The other nodes that are up: clients of this one may go there. */
  refuges(): Refuge[] {
    const { node } = this.#options;
    const others = this.#members.others().filter(({ name }) => name !== node);
    return [...new Map(others.map(({ name, address }) => [name, { name, address }])).values()];
  }

  /** False while NATS is away: other nodes cannot be asked, and new ones are not known. */
  get isConnected(): boolean {
    return this.#options.bus.state.connected;
  }

  /** Asks one node. @throws FluxError `unavailable`, `timeout`, `internal` (the failure of the node) */
  async ask({ incarnation, version }: AskedNode, question: NodeQuestion, body: unknown, timeoutMs: number): Promise<unknown> {
    if (incarnation === null) throw new FluxError('unavailable', 'the node is down');
    try {
      return readAnswer(await this.#options.bus.request(this.#subjects.node(incarnation, question), body, timeoutMs));
    } catch (error) {
      if (!(error instanceof FluxError) || error.data !== NOBODY) throw error;
      const text = `version ${version} of the node does not know this request, or the node has just ended`;
      throw new FluxError('unavailable', text, { cause: error });
    }
  }

  /**
   * First half of a change that all nodes must be able to make.
   * @param changes what each node tries in its answer to `prepare`
   * @throws FluxError `unprocessable` naming each node that cannot or does not answer, `unavailable` without NATS
   */
  async prepareAll(changes: unknown, timeoutMs: number): Promise<void> {
    const { state } = this.#options.bus;
    if (!state.connected)
      throw new FluxError('unavailable', `policy=all asks every node, and there is no connection to NATS: ${state.reason}`);
    const failed = (await this.askAll('prepare', changes, timeoutMs)).filter(({ reason }) => reason !== null);
    if (failed.length === 0) return;
    const issues = failed.map(({ node, reason }) => ({ path: `nodes.${node}`, message: reason ?? '' }));
    const reasons = failed.map(({ node, reason }) => `${node}: ${reason}`).join('; ');
    throw new FluxError('unprocessable', `not every node can make this change, and nothing was changed: ${reasons}`, { issues });
  }

  status(): ClusterStatus {
    const { bus, name, node, desired } = this.#options;
    const members = this.#members.list();
    const newest = this.#newest();
    const { state } = bus;
    return {
      name,
      node,
      enabled: true,
      nats: state.connected
        ? { connected: true, server: state.server, reason: null }
        : { connected: false, server: null, reason: state.reason },
      store: { ok: desired.storeError === null, reason: desired.storeError },
      revision: desired.revision,
      lag: newest - desired.revision,
      nodes: { total: members.length, up: members.filter(({ isUp }) => isUp).length },
      inStep: members.every(({ isUp, revision, failed }) => !isUp || (revision === newest && failed.length === 0)),
      sync: { ...this.counts },
      messages: crossingOf(
        this.#options.relay,
        relayedNodes(members, node).flatMap((each) => (each.isUp ? each.name : [])),
      ),
    };
  }

  nodes(): NodeView[] {
    const newest = this.#newest();
    return this.#members.list().map((member) => toNodeView(member, newest));
  }

  /** Questions of other nodes go to `answer` from now on. @returns undoes it: questions are answered with null then */
  answerWith(answer: Answering): () => void {
    this.#answering = answer;
    return () => {
      if (this.#answering === answer) this.#answering = NO_ANSWER;
    };
  }

  /** The other nodes that carry messages have changed. The first call waits until the nodes that are up have had time to answer. */
  get relayed(): Subscribable<[nodes: readonly RelayedNode[]]> {
    return this.#relayed.changed;
  }

  /** Announces that this node leaves. */
  close(): void {
    this.#relayed.close();
    this.#members.close();
    this.#tellNode(this.#options.facts.read(), false);
  }

  #heardOf(facts: NodeFacts): void {
    const { desired, reconciler } = this.#options;
    this.#announcer.heartbeat(facts);
    if (facts.known > desired.revision) reconciler.wake();
  }

  #moved(facts: NodeFacts, isUp: boolean): void {
    const { incarnation, upSince } = facts;
    if (!isUp) {
      this.#announcer.lost(incarnation);
      this.#gone.set(incarnation, true);
      this.#tellNode(facts, false);
    } else if (this.#gone.delete(incarnation) || upSince > this.#options.facts.read().upSince) this.#tellNode(facts, true);
    // Otherwise this node has joined, and the other node reports that.
  }

  /** Every node that sees the event publishes it, so the event depends on no single node. */
  #tellNode({ name, incarnation, address, version }: NodeFacts, isUp: boolean): void {
    const { node: seenBy, bus } = this.#options;
    const at = new Date(wallNow()).toISOString();
    bus.publish(this.#subjects.event(isUp ? 'node.up' : 'node.down'), { node: name, incarnation, address, version, seenBy, at });
  }

  #publish(event: string, body: Record<string, unknown>): void {
    const { bus, node } = this.#options;
    bus.publish(this.#subjects.event(event), { ...body, node, at: new Date(wallNow()).toISOString() });
  }

  /** Sends due receipts, and a heartbeat when this node differs from its last one. */
  #reconciled(): void {
    this.#announcer.onReconciled();
    this.#events.lookAll();
    const { revision, failed, storeOk } = this.#options.facts.read();
    const said = `${revision} ${storeOk} ${failed.join(' ')}`;
    if (said !== this.#said) this.#members.beat();
    this.#said = said;
  }

  async #answer(question: NodeQuestion, body: unknown): Promise<unknown> {
    try {
      return { ok: true, answer: await this.#answering(question, body) };
    } catch (error) {
      return { ok: false, error: toWireError(error) };
    }
  }

  #newest(): number {
    return Math.max(this.#options.desired.revision, ...this.#members.others().map(({ known }) => known));
  }

  /** Null while this node has not tried the revision or one of its endpoints. */
  #outcomeOf({ revision, ids }: Announcement): Omit<NodeOutcome, 'node'> | null {
    const { desired, supervisors, reconciler } = this.#options;
    if (desired.storeError !== null) return { state: 'pending', reason: `the store is away for this node: ${desired.storeError}` };
    if (desired.revision < revision) return null;
    if (ids.length === 0) return { state: 'applied', reason: null };
    for (const id of ids) {
      const problem = reconciler.problemOf(id);
      if (problem !== null) return { state: 'failed', reason: problem };
      const supervisor = supervisors.peek(id);
      if (supervisor?.state === 'failed') return { state: 'failed', reason: supervisor.lastError };
      if (!reconciler.isInStep(id)) return null;
    }
    return { state: 'applied', reason: null };
  }
}
