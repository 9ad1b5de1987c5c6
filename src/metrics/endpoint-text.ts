/**
 * The Prometheus form of the endpoints' numbers (docs/metrics-and-logs.md). A scrape writes it, a piece at a time: 2,000 endpoints make 25 MB. A
 * registry of prom-client would take seconds for them.
 */

import { AUTH_TYPES } from '../endpoint/access/config.ts';
import { wallNow } from '../kernel/clock.ts';
import type { EndpointCounters } from './collect.ts';
import {
  AUTH_ASKED,
  AUTH_BUCKETS,
  AUTH_RESULTS,
  authBase,
  CONNECTION_ERRORS,
  type CounterName,
  DIRECTIONS,
  DROP_REASONS,
  QUOTAS,
  RESPONSE_BUCKETS,
  responseBase,
  SIZE_BUCKETS,
  sizeBase,
  TIMED_OPERATIONS,
} from './counters.ts';
import type { EndpointExtras } from './report.ts';

export interface EndpointSample {
  counters: EndpointCounters;
  extras: EndpointExtras;
}

type Read = (sample: EndpointSample) => number;
/** The lines of an endpoint: the value of the further label, and the number. */
type ReadMany = (sample: EndpointSample) => [string, number][];

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
  (names: Record<string, CounterName>, read: (name: CounterName) => Read): ReadMany =>
  (sample) =>
    Object.entries(names).map(([value, name]) => [value, read(name)(sample)]);

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
  ['errors_rate', 'Errors a second', 'error_type', byLabel(ERROR_TYPES, rate)],
  [
    'memory_usage_bytes',
    'Memory of its worker threads',
    'type',
    ({ extras }) => [
      ['heap', extras.heapUsedBytes],
      ['external', extras.externalBytes],
    ],
  ],
  ['state', '1 for the state that it is in', 'state', ({ extras }) => STATES.map((state) => [state, extras.state === state ? 1 : 0])],
];

/** A metric of endpoints with TLS only. */
const CERTIFICATE: [string, string, Read] = [
  'certificate_expiry_seconds',
  'Seconds until its certificate, or one of the chain, expires; negative when it has',
  ({ extras }) => Math.round(((extras.certificateEndsAt ?? 0) - wallNow()) / 1000),
];

const LABELLED_COUNTERS: [string, string, string, ReadMany][] = [
  ['messages_dropped_total', 'Messages dropped', 'reason', byLabel(DROP_REASONS, total)],
  ['quota_refused_total', 'What clients asked for and did not get', 'quota', byLabel(QUOTAS, total)],
  ['errors_total', 'Errors', 'error_type', byLabel(ERROR_TYPES, total)],
  ['connection_errors_total', 'Connections refused or broken', 'error_code', byLabel(CONNECTION_ERRORS, total)],
];

interface Histogram {
  name: string;
  help: string;
  label: string;
  bounds: readonly number[];
  /** by value of the label: where its buckets begin */
  series: [string, number][];
}

const HISTOGRAMS: Histogram[] = [
  {
    name: 'message_size_bytes',
    help: 'Size of packets with messages',
    label: 'direction',
    bounds: SIZE_BUCKETS,
    series: DIRECTIONS.map((direction) => [direction, sizeBase(direction)]),
  },
  {
    name: 'response_time_seconds',
    help: 'From a packet to its answer',
    label: 'operation',
    bounds: RESPONSE_BUCKETS,
    series: TIMED_OPERATIONS.map((operation) => [operation, responseBase(operation)]),
  },
];

/** Endpoints of one piece of the text: well below a millisecond. */
const PIECE = 20;

/** Prometheus text of these endpoints, in pieces. */
export function* endpointsText(samples: readonly EndpointSample[]): Generator<string> {
  const all = samples.map((sample) => ({ sample, labels: labelsOf(sample) }));
  const one =
    (read: Read): Write =>
    (name, { sample, labels }) =>
      `${name}{${labels}} ${read(sample)}\n`;
  const many =
    (label: string, read: ReadMany): Write =>
    (name, { sample, labels }) =>
      read(sample)
        .map(([value, number]) => `${name}{${labels},${label}="${value}"} ${number}\n`)
        .join('');
  for (const [name, help, read] of GAUGES) yield* family(name, help, 'gauge', all, one(read));
  const certified = all.filter(({ sample }) => sample.extras.certificateEndsAt !== null);
  yield* family(CERTIFICATE[0], CERTIFICATE[1], 'gauge', certified, one(CERTIFICATE[2]));
  for (const [name, help, read] of COUNTERS) yield* family(name, help, 'counter', all, one(read));
  for (const [name, help, label, read] of LABELLED_GAUGES) yield* family(name, help, 'gauge', all, many(label, read));
  for (const [name, help, label, read] of LABELLED_COUNTERS) yield* family(name, help, 'counter', all, many(label, read));
  yield* family('authenticator_asked_total', 'Logins that an authenticator was asked about', 'counter', all, authenticators(askedLines));
  yield* family('authenticator_results_total', 'What became of logins at an authenticator', 'counter', all, authenticators(resultLines));
  yield* family(
    'authenticator_seconds',
    'From a question to an authenticator to its answer',
    'histogram',
    all,
    authenticators(secondsLines),
  );
  for (const histogram of HISTOGRAMS) yield* family(histogram.name, histogram.help, 'histogram', all, countedBuckets(histogram));
}

interface Labelled {
  sample: EndpointSample;
  labels: string;
}

/** The lines of one endpoint in a family. */
type Write = (name: string, one: Labelled) => string;

function* family(name: string, help: string, type: string, all: readonly Labelled[], write: Write): Generator<string> {
  const full = PREFIX + name;
  yield `# HELP ${full} ${help}\n# TYPE ${full} ${type}\n`;
  for (let from = 0; from < all.length; from += PIECE) {
    let piece = '';
    for (const one of all.slice(from, from + PIECE)) piece += write(full, one);
    yield piece;
  }
  yield '\n';
}

/** Buckets that the workers have counted, each with those below it. */
function countedBuckets({ label, bounds, series }: Histogram): Write {
  return (name, { sample, labels }) => {
    const slots = sample.counters.totals();
    return series.map(([value, base]) => bucketLines(name, `${labels},${label}="${value}"`, slots, base, bounds)).join('');
  };
}

function bucketLines(name: string, labels: string, slots: Float64Array, base: number, bounds: readonly number[]): string {
  let text = '';
  let sum = 0;
  for (let bucket = 0; bucket <= bounds.length; bucket++) {
    sum += slots[base + bucket]!;
    text += `${name}_bucket{le="${bounds[bucket] ?? '+Inf'}",${labels}} ${sum}\n`;
  }
  return `${text}${name}_sum{${labels}} ${slots[base + bounds.length + 1]!}\n${name}_count{${labels}} ${sum}\n`;
}

/** The lines of one kind of authenticator, whose counters begin at `base`. */
type AuthLines = (name: string, labels: string, slots: Float64Array, base: number) => string;

/** Only the kinds that an endpoint has used: an endpoint that asks nobody has no line. */
function authenticators(lines: AuthLines): Write {
  return (name, { sample, labels }) => {
    const slots = sample.counters.totals();
    return AUTH_TYPES.map((type) => {
      const base = authBase(type);
      const isUsed = AUTH_RESULTS.some((_, index) => slots[base + index]! > 0);
      return isUsed ? lines(name, `${labels},authenticator="${type}"`, slots, base) : '';
    }).join('');
  };
}

const askedLines: AuthLines = (name, labels, slots, base) => {
  const asked = AUTH_ASKED.reduce((sum, result) => sum + slots[base + AUTH_RESULTS.indexOf(result)]!, 0);
  return `${name}{${labels}} ${asked}\n`;
};

const resultLines: AuthLines = (name, labels, slots, base) =>
  AUTH_RESULTS.map((result, index) => `${name}{${labels},result="${result}"} ${slots[base + index]!}\n`).join('');

const secondsLines: AuthLines = (name, labels, slots, base) => bucketLines(name, labels, slots, base + AUTH_RESULTS.length, AUTH_BUCKETS);

function labelsOf({ extras: { port, endpoint } }: EndpointSample): string {
  const escaped = endpoint.replaceAll('\\', '\\\\').replaceAll('\n', '\\n').replaceAll('"', '\\"');
  return `port="${port}",endpoint="${escaped}"`;
}
