/** The Prometheus form of the node and its threads (docs/metrics-and-logs.md): a scrape fills the registries, a message never does. */

import { Counter, collectDefaultMetrics, Gauge, Registry } from 'prom-client';
import { type Lag, MainLag } from './main-lag.ts';

/** Event-loop delay of one worker thread, and the messages that it handed to others. */
export interface WorkerSample {
  worker: string;
  role: string;
  /** milliseconds over the last 30 to 60 s */
  eventLoopLagMsP99: number;
  eventLoopLagMsMax: number;
  /** since the thread began */
  eventLoopBlocks: number;
  /** since the thread began */
  crossedMessages: number;
  relayedMessages: number;
}

/** Prometheus text of the worker threads. A scrape resets no gauge; a replaced worker has another name. */
export async function workersText(samples: WorkerSample[]): Promise<string> {
  const registry = new Registry();
  const common = { labelNames: ['worker', 'role'], registers: [registry] };
  const prefix = 'fluxmq_worker_event_loop_';
  const p99 = new Gauge({ name: `${prefix}delay_p99_seconds`, help: 'Delay of the event loop over the last 30 to 60 s', ...common });
  const max = new Gauge({ name: `${prefix}delay_max_seconds`, help: 'Longest delay of the last 30 to 60 s', ...common });
  const blocks = new Counter({ name: `${prefix}blocks_total`, help: 'Delays over 50 ms', ...common });
  const crossed = new Counter({
    name: 'fluxmq_worker_crossed_messages_total',
    help: 'Messages handed to other endpoint workers',
    ...common,
  });
  const relayed = new Counter({
    name: 'fluxmq_worker_relayed_messages_total',
    help: 'Messages handed to the relay, for subscribers of other nodes',
    ...common,
  });
  for (const { worker, role, eventLoopLagMsP99, eventLoopLagMsMax, eventLoopBlocks, crossedMessages, relayedMessages } of samples) {
    const labels = { worker, role };
    p99.set(labels, eventLoopLagMsP99 / 1000);
    max.set(labels, eventLoopLagMsMax / 1000);
    blocks.inc(labels, eventLoopBlocks);
    crossed.inc(labels, crossedMessages);
    relayed.inc(labels, relayedMessages);
  }
  return registry.metrics();
}

/** Prometheus text of the memory that clients fill. */
export async function memoryText({ budgetBytes, heldBytes, isTight }: { budgetBytes: number; heldBytes: number; isTight: boolean }) {
  const registry = new Registry();
  const gauge = (name: string, help: string, value: number) =>
    new Gauge({ name: `fluxmq_memory_${name}`, help, registers: [registry] }).set(value);
  gauge('budget_bytes', 'What clients may make the node remember', budgetBytes);
  gauge('held_bytes', 'What clients make the node remember: aliases, filters, queues, packets in pieces, output', heldBytes);
  gauge('tight', '1 while memory is short: nobody new is let in', Number(isTight));
  return registry.metrics();
}

/** The node's configuration and the store; totals are since the start. */
export interface ConfigurationSample {
  revision: number;
  isStoreUp: boolean;
  /** endpoints that do not run as the store says */
  diverged: number;
  reads: number;
  readsFailed: number;
  applied: number;
  failed: number;
}

/** Announcements of new revisions, and receipts for them, since the start. */
export interface SyncCounts {
  announced: number;
  repeated: number;
  heard: number;
  receiptsSent: number;
  receiptsHeard: number;
  /** receipts that had not arrived when a change stopped waiting */
  receiptsMissed: number;
}

/** The cluster as the node sees it; totals are since the start. */
export interface ClusterSample {
  isNatsUp: boolean;
  /** revisions that another node has and this node lacks */
  lag: number;
  up: number;
  down: number;
  /** nodes that are up and do not run the newest revision completely */
  diverged: number;
  counts: SyncCounts;
}

/** Prometheus text of how the node keeps in step with the store, and of its cluster. @param cluster null: a single node */
export async function configurationText(configuration: ConfigurationSample, cluster: ClusterSample | null): Promise<string> {
  const registry = new Registry();
  const registers = [registry];
  const gauge = (name: string, help: string, value: number) => new Gauge({ name, help, registers }).set(value);
  const labelled = (kind: typeof Gauge | typeof Counter, name: string, help: string, label: string, values: Record<string, number>) => {
    const metric = new kind({ name, help, labelNames: [label], registers });
    for (const [value, count] of Object.entries(values)) metric.inc({ [label]: value }, count);
  };
  const { revision, isStoreUp, diverged, reads, readsFailed, applied, failed } = configuration;
  gauge('fluxmq_config_revision', 'Newest revision of the configuration that the node knows', revision);
  gauge('fluxmq_config_store_up', '1 while the store can be used', Number(isStoreUp));
  gauge('fluxmq_config_diverged_endpoints', 'Endpoints that do not run as the store wants', diverged);
  const looks = { ok: reads - readsFailed, failed: readsFailed };
  labelled(Counter, 'fluxmq_config_store_reads_total', 'Looks at the store for what others have changed', 'outcome', looks);
  const help = 'Endpoints brought to what the store says, and attempts of that which failed';
  labelled(Counter, 'fluxmq_config_reconciliations_total', help, 'outcome', { applied, failed });
  if (cluster === null) return registry.metrics();
  const { announced, repeated, heard, receiptsSent, receiptsHeard, receiptsMissed } = cluster.counts;
  gauge('fluxmq_cluster_nats_up', '1 while there is a connection to NATS', Number(cluster.isNatsUp));
  gauge('fluxmq_cluster_lag_revisions', 'Revisions that another node has and this one lacks', cluster.lag);
  gauge('fluxmq_cluster_diverged_nodes', 'Nodes that are up and do not run the newest revision whole', cluster.diverged);
  labelled(Gauge, 'fluxmq_cluster_nodes', 'Nodes that this one knows, itself included', 'state', { up: cluster.up, down: cluster.down });
  const announcements = { sent: announced, repeated, received: heard };
  labelled(Counter, 'fluxmq_cluster_announcements_total', 'Announcements of new revisions', 'event', announcements);
  const receipts = { sent: receiptsSent, received: receiptsHeard, missed: receiptsMissed };
  labelled(Counter, 'fluxmq_cluster_receipts_total', 'Receipts for announcements; missed: not there in time', 'event', receipts);
  return registry.metrics();
}

/** Whether messages can be stored, and counts of those that could not, since the start. */
export interface MessageStoreSample {
  readonly isFailing: boolean;
  readonly counts: { episodes: number; refused: number; lost: number };
}

export async function messageStoreText({ isFailing, counts }: MessageStoreSample): Promise<string> {
  const registry = new Registry();
  const registers = [registry];
  const counter = (name: string, help: string, value: number) => new Counter({ name: `fluxmq_${name}`, help, registers }).inc(value);
  new Gauge({ name: 'fluxmq_message_store_up', help: '1 while messages can be stored', registers }).set(Number(!isFailing));
  counter('message_store_failures_total', 'Times that messages began to be impossible to store', counts.episodes);
  counter('message_store_refused_total', 'Messages, sessions and subscriptions refused because they could not be stored', counts.refused);
  counter('message_store_lost_total', 'Changes of sessions given up because too many waited to be stored', counts.lost);
  return registry.metrics();
}

/** Numbers of the node since its start. */
interface NodeTotals {
  workerRestarts: number;
  workersBlocked: number;
  slowWatchers: number;
  retainedRefused: number;
  identityConflicts: number;
  /** log lines by destination */
  linesLostFile: number;
  linesLostTerminal: number;
  /** entries of the audit */
  auditLost: number;
}

/** Retained messages of the node, and of each of its namespaces. */
export interface RetainedSample {
  messages: number;
  bytes: number;
  namespaces: readonly { namespace: string; messages: number; bytes: number }[];
  /** see thread/commands.ts; null: the node is not in a cluster */
  cluster: Readonly<Record<'deletions' | 'refused' | 'ahead' | 'pulled' | 'sent' | 'behind', number>> | null;
}

/** prom-client measures the event-loop lag by waking the thread a hundred times a second, for good. An interval longer than a timer can be means never. */
const NEVER_MS = 2 ** 31 - 1;
const LAGS = ['min', 'max', 'mean', 'stddev', 'p50', 'p90', 'p99'] as const satisfies readonly (keyof Lag)[];

/** Metrics of the process: those of prom-client's default set, event-loop lag among them (our own measure), and the numbers of the node. */
export class ProcessMetrics {
  readonly #registry = new Registry();
  readonly #lag = new MainLag();
  readonly #lags: [keyof Lag, Gauge][];
  readonly #restarts: Counter;
  readonly #retained: Gauge;
  readonly #retainedBytes: Gauge;
  readonly #namespaceMessages: Gauge;
  readonly #namespaceBytes: Gauge;
  readonly #retainedRefused: Counter;
  readonly #blocked: Counter;
  readonly #slowWatchers: Counter;
  readonly #identityConflicts: Counter;
  readonly #linesLost: Counter;
  readonly #auditLost: Counter;
  #counted: NodeTotals = {
    workerRestarts: 0,
    workersBlocked: 0,
    slowWatchers: 0,
    retainedRefused: 0,
    identityConflicts: 0,
    linesLostFile: 0,
    linesLostTerminal: 0,
    auditLost: 0,
  };

  constructor() {
    collectDefaultMetrics({ register: this.#registry, eventLoopMonitoringPrecision: NEVER_MS });
    this.#lags = LAGS.map((name) => {
      const full = `nodejs_eventloop_lag_${name}_seconds`;
      this.#registry.removeSingleMetric(full);
      const help = `Lag of the main thread's event loop since the last scrape: ${name}`;
      return [name, new Gauge({ name: full, help, registers: [this.#registry] })];
    });
    this.#restarts = new Counter({
      name: 'fluxmq_worker_restarts_total',
      help: 'Worker threads that ended by themselves and were replaced',
      registers: [this.#registry],
    });
    this.#blocked = new Counter({
      name: 'fluxmq_worker_blocked_total',
      help: 'Worker threads found with an event loop that had stood still for over 5 s',
      registers: [this.#registry],
    });
    this.#slowWatchers = new Counter({
      name: 'fluxmq_watch_slow_readers_total',
      help: 'Readers of /api/endpoints/watch that did not read, and were cut off',
      registers: [this.#registry],
    });
    this.#identityConflicts = new Counter({
      name: 'fluxmq_message_identity_conflicts_total',
      help: 'Messages found with the number of another one, and stored under a new one',
      registers: [this.#registry],
    });
    this.#linesLost = new Counter({
      name: 'fluxmq_log_lines_lost_total',
      help: 'Lines of the log that could not be written, because the file or the terminal failed or did not take them',
      labelNames: ['to'],
      registers: [this.#registry],
    });
    const registers = [this.#registry];
    this.#auditLost = new Counter({
      name: 'fluxmq_audit_lost_total',
      help: 'Entries of the audit that the store did not take, and for which there was no room',
      registers,
    });
    this.#retained = new Gauge({ name: 'fluxmq_retained_messages', help: 'Retained messages kept', registers });
    this.#retainedBytes = new Gauge({ name: 'fluxmq_retained_bytes', help: 'Bytes of the retained messages', registers });
    const ofNamespace = { labelNames: ['namespace'], registers };
    const names = { messages: 'fluxmq_namespace_retained_messages', bytes: 'fluxmq_namespace_retained_bytes' };
    this.#namespaceMessages = new Gauge({ name: names.messages, help: 'Retained messages of the namespace', ...ofNamespace });
    this.#namespaceBytes = new Gauge({ name: names.bytes, help: 'Bytes of the retained messages of the namespace', ...ofNamespace });
    this.#retainedRefused = new Counter({
      name: 'fluxmq_retained_refused_total',
      help: 'Retained messages refused because there was no room for them',
      registers: [this.#registry],
    });
  }

  /** Prometheus text. The totals are those since the start, never smaller than before. */
  text(node: NodeTotals, retained: RetainedSample): Promise<string> {
    this.#restarts.inc(node.workerRestarts - this.#counted.workerRestarts);
    this.#blocked.inc(node.workersBlocked - this.#counted.workersBlocked);
    this.#slowWatchers.inc(node.slowWatchers - this.#counted.slowWatchers);
    this.#retainedRefused.inc(node.retainedRefused - this.#counted.retainedRefused);
    this.#identityConflicts.inc(node.identityConflicts - this.#counted.identityConflicts);
    this.#linesLost.inc({ to: 'file' }, node.linesLostFile - this.#counted.linesLostFile);
    this.#linesLost.inc({ to: 'terminal' }, node.linesLostTerminal - this.#counted.linesLostTerminal);
    this.#auditLost.inc(node.auditLost - this.#counted.auditLost);
    this.#retained.set(retained.messages);
    this.#retainedBytes.set(retained.bytes);
    this.#namespaceMessages.reset();
    this.#namespaceBytes.reset();
    for (const { namespace, messages, bytes } of retained.namespaces) {
      this.#namespaceMessages.set({ namespace }, messages);
      this.#namespaceBytes.set({ namespace }, bytes);
    }
    const lag = this.#lag.take();
    for (const [name, gauge] of this.#lags) gauge.set(lag[name]);
    this.#counted = node;
    return this.#registry.metrics();
  }
}

/** The report of the relay; see bus/relay.ts. */
export interface CrossingSample {
  readonly isIsolated: boolean;
  readonly ownInterest: number;
  readonly received: number;
  readonly receivedDropped: number;
  readonly unacknowledged: number;
  readonly orphaned: number;
  readonly unsettled: number;
  readonly unkept: number;
  readonly rerouted: number;
  readonly strangers: number;
  readonly nodes: readonly {
    readonly name: string;
    readonly isAwaited: boolean;
    readonly rttMs: number;
    readonly interest: number;
    readonly delivered: number;
    readonly waiting: number;
    readonly waitingBytes: number;
    readonly lost: Readonly<Record<string, number>>;
    readonly framesSent: number;
    readonly framesResent: number;
    readonly framesReceived: number;
    readonly bytesSent: number;
    readonly bytesReceived: number;
    readonly invalid: number;
  }[];
}

/** Messages that other nodes did not get, for any reason. */
export function lostMessages(nodes: readonly { readonly lost: Readonly<Record<string, number>> }[]): number {
  let lost = 0;
  for (const node of nodes) for (const count of Object.values(node.lost)) lost += count;
  return lost;
}

/** @param sample null while no relay runs */
export async function crossingText(sample: CrossingSample | null): Promise<string> {
  const registry = new Registry();
  const registers = [registry];
  const name = (end: string) => `fluxmq_cluster_${end}`;
  new Gauge({ name: name('relay_up'), help: '1 while the thread runs that carries messages', registers }).set(Number(sample !== null));
  if (sample === null) return registry.metrics();
  const gauge = (end: string, help: string, value: number) => new Gauge({ name: name(end), help, registers }).set(value);
  gauge('isolated', '1 while this node works without the others', Number(sample.isIsolated));
  gauge('own_interest_filters', 'Filters and shared groups that the other nodes know of this one', sample.ownInterest);
  gauge('unacknowledged_messages', 'QoS 1 and 2 messages whose publishers wait for other nodes', sample.unacknowledged);
  const counter = (end: string, help: string, value: number) => new Counter({ name: name(end), help, registers }).inc(value);
  counter('messages_received_total', 'Messages of other nodes given to threads of this one', sample.received);
  counter('messages_dropped_total', 'QoS 0 messages of other nodes for a thread that is behind', sample.receivedDropped);
  counter('messages_orphaned_total', 'Messages for shared subscriptions that have no member left', sample.orphaned);
  gauge('shared_unsettled_messages', 'Messages for shared subscriptions that members on other nodes have not settled', sample.unsettled);
  counter('shared_unkept_total', 'Messages for shared subscriptions that no other member gets when the node of theirs dies', sample.unkept);
  counter(
    'shared_rerouted_total',
    'Messages for shared subscriptions that went to another member, as the node of theirs died',
    sample.rerouted,
  );
  counter('strange_frames_total', 'Frames of processes that this node does not know', sample.strangers);
  perNode(sample, registry, name);
  return registry.metrics();
}

/** How the nodes of a cluster keep the same retained messages. */
export async function clusterRetainedText({ cluster }: RetainedSample): Promise<string> {
  if (cluster === null) return '';
  const registry = new Registry();
  const registers = [registry];
  const name = (end: string) => `fluxmq_cluster_retained_${end}`;
  const counter = (end: string, help: string, value: number) => new Counter({ name: name(end), help, registers }).inc(value);
  const help = 'Topics that have lost their retained messages, remembered so that no other node brings them back';
  new Gauge({ name: name('deletions'), help, registers }).set(cluster.deletions);
  counter('refused_total', 'Retained messages of other nodes that had no room here', cluster.refused);
  const [pulled, sent] = ['Messages and deletions that this node had missed', 'Messages and deletions that other nodes had missed'];
  counter('pulled_total', pulled, cluster.pulled);
  counter('sent_total', sent, cluster.sent);
  const behind = 'Linked nodes whose retained messages are being compared with those of this one';
  new Gauge({ name: name('uncompared_nodes'), help: behind, registers }).set(cluster.behind);
  counter('ahead_total', 'Retained messages of other nodes whose clock is over 60 s ahead, and which are not kept here', cluster.ahead);
  return registry.metrics();
}

/** Client identifiers that several nodes had. */
export async function claimsText(
  counts: Readonly<Record<'recalled' | 'moved' | 'duplicates' | 'willsKept' | 'willsPublished' | 'willsRefused', number>> | null,
): Promise<string> {
  if (counts === null) return '';
  const registry = new Registry();
  const counter = (end: string, help: string, value: number) =>
    new Counter({ name: `fluxmq_cluster_${end}`, help, registers: [registry] }).inc(value);
  counter('sessions_claimed_total', 'Sessions of this node that clients of other nodes claimed', counts.recalled);
  counter('sessions_moved_total', 'Sessions that came to this node with their clients', counts.moved);
  counter(
    'duplicate_sessions_total',
    'Sessions of this node that ended because another node had a later claim when they met',
    counts.duplicates,
  );
  const help = 'Wills that this node keeps for clients of other nodes';
  new Gauge({ name: 'fluxmq_cluster_wills_kept', help, registers: [registry] }).set(counts.willsKept);
  counter('wills_published_total', 'Wills that this node published because the node of their clients had died', counts.willsPublished);
  counter('wills_refused_total', 'Wills that no other node keeps: too many bytes of wills are kept already', counts.willsRefused);
  return registry.metrics();
}

function perNode({ nodes }: CrossingSample, registry: Registry, name: (end: string) => string): void {
  const registers = [registry];
  const gauge = (end: string, help: string) => new Gauge({ name: name(end), help, labelNames: ['peer'], registers });
  const counter = (end: string, help: string) => new Counter({ name: name(end), help, labelNames: ['peer'], registers });
  const linked = gauge('node_linked', '1 while publishers and subscribers wait for the node');
  const rtt = gauge('rtt_seconds', 'Smoothed time to the node and back');
  const interest = gauge('interest_filters', 'Filters and shared groups that the node wants');
  const waiting = gauge('waiting_messages', 'Messages that the node has not taken');
  const waitingBytes = gauge('waiting_bytes', 'Bytes of messages that the node has not taken');
  const delivered = counter('messages_sent_total', 'Messages that the node has taken');
  const directions = { labelNames: ['peer', 'direction'], registers };
  const frames = new Counter({ name: name('frames_total'), help: 'Frames with data, each once', ...directions });
  const bytes = new Counter({ name: name('bytes_total'), help: 'Bytes of all frames', ...directions });
  const resent = counter('resent_total', 'Frames with data that were sent again');
  const invalid = counter('invalid_packets_total', 'Packets of the node that could not be read');
  const lost = new Counter({
    name: name('messages_lost_total'),
    help: 'Messages that the node did not get',
    labelNames: ['peer', 'reason'],
    registers,
  });
  for (const node of nodes) {
    const peer = node.name;
    linked.set({ peer }, Number(node.isAwaited));
    rtt.set({ peer }, node.rttMs / 1000);
    interest.set({ peer }, node.interest);
    waiting.set({ peer }, node.waiting);
    waitingBytes.set({ peer }, node.waitingBytes);
    delivered.inc({ peer }, node.delivered);
    frames.inc({ peer, direction: 'out' }, node.framesSent);
    frames.inc({ peer, direction: 'in' }, node.framesReceived);
    bytes.inc({ peer, direction: 'out' }, node.bytesSent);
    bytes.inc({ peer, direction: 'in' }, node.bytesReceived);
    resent.inc({ peer }, node.framesResent);
    invalid.inc({ peer }, node.invalid);
    for (const [reason, count] of Object.entries(node.lost)) lost.inc({ peer, reason }, count);
  }
}
