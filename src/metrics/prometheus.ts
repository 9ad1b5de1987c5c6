/** The Prometheus form of the endpoints' numbers (docs/metrics-and-logs.md): a scrape fills the registries, a message never does. */

import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client';
import { wallNow } from '../kernel/clock.ts';
import type { EndpointCounters } from './collect.ts';
import {
  CONNECTION_ERRORS,
  type CounterName,
  DIRECTIONS,
  DROP_REASONS,
  OPERATIONS,
  QUOTAS,
  RESPONSE_BUCKETS,
  responseBase,
  SIZE_BUCKETS,
  sizeBase,
} from './counters.ts';
import { type Lag, MainLag } from './main-lag.ts';
import type { EndpointExtras } from './report.ts';

export interface EndpointSample {
  counters: EndpointCounters;
  extras: EndpointExtras;
}

type Labels = Record<string, string | number>;
type Read = (sample: EndpointSample) => number;
/** One line of a metric of an endpoint: further labels and the value. */
type ReadMany = (sample: EndpointSample) => [Labels, number][];

const PREFIX = 'fluxmq_endpoint_';
const STATES = ['starting', 'running', 'draining', 'stopped', 'failed'] as const;
const ERROR_TYPES = {
  auth_failed: 'errorAuthFailed',
  acl_denied: 'errorAclDenied',
  protocol_error: 'errorProtocol',
} as const satisfies Record<string, CounterName>;

const total =
  (name: CounterName): Read =>
  (sample) =>
    sample.counters.total(name);
const rate =
  (name: CounterName): Read =>
  (sample) =>
    sample.counters.rate(name);
const byLabel =
  (label: string, names: Record<string, CounterName>, read: (name: CounterName) => Read): ReadMany =>
  (sample) =>
    Object.entries(names).map(([value, name]) => [{ [label]: value }, read(name)(sample)]);

const GAUGES: [string, string, Read][] = [
  ['connections_current', 'Clients connected now', total('connectionsCurrent')],
  ['connections_max', 'Most clients connected at once', (sample) => sample.counters.connectionsMax],
  ['connections_rate', 'New connections a second', rate('connectionsTotal')],
  ['messages_received_rate', 'Messages received a second', rate('messagesReceived')],
  ['messages_sent_rate', 'Messages sent a second', rate('messagesSent')],
  ['sessions_current', 'Sessions of connected clients', total('sessionsCurrent')],
  ['sessions_max', 'Most sessions of connected clients at once', (sample) => sample.counters.sessionsMax],
  ['sessions_persistent', 'Sessions with an expiry, connected or not', (sample) => sample.extras.persistent],
  ['held_bytes', 'Memory held for connected clients: aliases, filters, queues, packets in pieces, output', total('heldBytes')],
  ['subscriptions_current', 'Subscriptions of connected clients', total('subscriptionsCurrent')],
  ['cpu_usage_percent', 'Processor time of its worker threads, 100 = one processor', (sample) => sample.extras.cpuPercent],
  ['retained_messages', 'Retained messages that came by it', (sample) => sample.extras.retained.messages],
  ['retained_bytes', 'Bytes of these', (sample) => sample.extras.retained.bytes],
  ['config_revision', 'Revision of its configuration', (sample) => sample.extras.revision],
];

const COUNTERS: [string, string, Read][] = [
  ['connections_total', 'Connections accepted', total('connectionsTotal')],
  ['messages_received_total', 'Messages received', total('messagesReceived')],
  ['messages_sent_total', 'Messages sent', total('messagesSent')],
  ['bytes_received_total', 'Bytes received', total('bytesReceived')],
  ['bytes_sent_total', 'Bytes sent', total('bytesSent')],
  ['retained_refused_total', 'Messages that were not retained because there was no room for them', total('retainedRefused')],
  ['subscriptions_withdrawn_total', 'Subscriptions that access rules took back', total('subscriptionsWithdrawn')],
  ['topics_published_total', 'Different topics published to', total('topicsPublished')],
];

const LABELLED_GAUGES: [string, string, string, ReadMany][] = [
  ['errors_rate', 'Errors a second', 'error_type', byLabel('error_type', ERROR_TYPES, rate)],
  [
    'memory_usage_bytes',
    'Memory of its worker threads',
    'type',
    ({ extras }) => [
      [{ type: 'heap' }, extras.heapUsedBytes],
      [{ type: 'external' }, extras.externalBytes],
    ],
  ],
  ['state', '1 for the state that it is in', 'state', ({ extras }) => STATES.map((state) => [{ state }, extras.state === state ? 1 : 0])],
];

/** Metrics of endpoints with TLS only. */
const CERTIFICATE_GAUGE = {
  name: `${PREFIX}certificate_expiry_seconds`,
  help: 'Seconds until its certificate, or one of the chain, expires; negative when it has',
};

const LABELLED_COUNTERS: [string, string, string, ReadMany][] = [
  ['messages_dropped_total', 'Messages dropped', 'reason', byLabel('reason', DROP_REASONS, total)],
  ['quota_refused_total', 'What clients asked for and did not get', 'quota', byLabel('quota', QUOTAS, total)],
  ['errors_total', 'Errors', 'error_type', byLabel('error_type', ERROR_TYPES, total)],
  ['connection_errors_total', 'Connections refused or broken', 'error_code', byLabel('error_code', CONNECTION_ERRORS, total)],
];

/** One series of a histogram that the workers have already sorted into buckets. */
interface Buckets {
  labels: Labels;
  slots: Float64Array;
  base: number;
}

/** A histogram that workers have counted; prom-client only writes it down. */
class CountedHistogram extends Histogram<string> {
  readonly #bounds: readonly number[];
  readonly #series: Buckets[];
  readonly #meta: { name: string; help: string };

  constructor(meta: { name: string; help: string; registers: Registry[] }, bounds: readonly number[], series: Buckets[]) {
    super({ ...meta, labelNames: [], buckets: [...bounds] });
    this.#meta = meta;
    this.#bounds = bounds;
    this.#series = series;
  }

  /** The part of a metric that a registry uses to write text. */
  async getForPromString() {
    const { name, help } = this.#meta;
    const values = this.#series.flatMap((each) => this.#lines(name, each));
    return { name, help, type: 'histogram', aggregator: 'sum', values };
  }

  #lines(name: string, { labels, slots, base }: Buckets) {
    let sum = 0;
    const lines = [...this.#bounds, '+Inf'].map((le, bucket) => {
      sum += slots[base + bucket]!;
      return { metricName: `${name}_bucket`, labels: { le, ...labels }, value: sum };
    });
    return [
      ...lines,
      { metricName: `${name}_sum`, labels, value: slots[base + this.#bounds.length + 1]! },
      { metricName: `${name}_count`, labels, value: sum },
    ];
  }
}

function fill(registry: Registry, samples: EndpointSample[]): void {
  const base = (sample: EndpointSample): Labels => ({ port: sample.extras.port, endpoint: sample.extras.endpoint });
  const labelNames = ['port', 'endpoint'];
  const registers = [registry];
  for (const [name, help, read] of GAUGES) {
    const gauge = new Gauge({ name: PREFIX + name, help, labelNames, registers });
    for (const sample of samples) gauge.set(base(sample), read(sample));
  }
  const expiry = new Gauge({ ...CERTIFICATE_GAUGE, labelNames, registers });
  for (const sample of samples) {
    const { certificateEndsAt } = sample.extras;
    if (certificateEndsAt !== null) expiry.set(base(sample), Math.round((certificateEndsAt - wallNow()) / 1000));
  }
  for (const [name, help, read] of COUNTERS) {
    const counter = new Counter({ name: PREFIX + name, help, labelNames, registers });
    for (const sample of samples) counter.inc(base(sample), read(sample));
  }
  for (const [name, help, label, read] of LABELLED_GAUGES) {
    const gauge = new Gauge({ name: PREFIX + name, help, labelNames: [...labelNames, label], registers });
    for (const sample of samples) for (const [labels, value] of read(sample)) gauge.set({ ...base(sample), ...labels }, value);
  }
  for (const [name, help, label, read] of LABELLED_COUNTERS) {
    const counter = new Counter({ name: PREFIX + name, help, labelNames: [...labelNames, label], registers });
    for (const sample of samples) for (const [labels, value] of read(sample)) counter.inc({ ...base(sample), ...labels }, value);
  }
  const sums = samples.map((sample) => ({ labels: base(sample), slots: sample.counters.totals() }));
  new CountedHistogram(
    { name: `${PREFIX}message_size_bytes`, help: 'Size of packets with messages', registers },
    SIZE_BUCKETS,
    sums.flatMap(({ labels, slots }) =>
      DIRECTIONS.map((direction) => ({ labels: { ...labels, direction }, slots, base: sizeBase(direction) })),
    ),
  );
  new CountedHistogram(
    { name: `${PREFIX}response_time_seconds`, help: 'From a packet to its answer', registers },
    RESPONSE_BUCKETS,
    sums.flatMap(({ labels, slots }) =>
      OPERATIONS.map((operation) => ({ labels: { ...labels, operation }, slots, base: responseBase(operation) })),
    ),
  );
}

/** Prometheus text of these endpoints. */
export async function endpointsText(samples: EndpointSample[]): Promise<string> {
  const registry = new Registry();
  fill(registry, samples);
  return registry.metrics();
}

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
  for (const { worker, role, eventLoopLagMsP99, eventLoopLagMsMax, eventLoopBlocks, crossedMessages } of samples) {
    const labels = { worker, role };
    p99.set(labels, eventLoopLagMsP99 / 1000);
    max.set(labels, eventLoopLagMsMax / 1000);
    blocks.inc(labels, eventLoopBlocks);
    crossed.inc(labels, crossedMessages);
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

/** The cluster as the node sees it; totals are since the start. */
export interface ClusterSample {
  isNatsUp: boolean;
  /** revisions that another node has and this one lacks */
  lag: number;
  up: number;
  down: number;
  /** nodes that are up and do not run the newest revision completely */
  diverged: number;
  counts: {
    announced: number;
    repeated: number;
    heard: number;
    receiptsSent: number;
    receiptsHeard: number;
    receiptsMissed: number;
  };
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
}

/** Retained messages of the node, and of each of its namespaces. */
export interface RetainedSample {
  messages: number;
  bytes: number;
  namespaces: readonly { namespace: string; messages: number; bytes: number }[];
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
  #counted: NodeTotals = {
    workerRestarts: 0,
    workersBlocked: 0,
    slowWatchers: 0,
    retainedRefused: 0,
    identityConflicts: 0,
    linesLostFile: 0,
    linesLostTerminal: 0,
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
