/** The slots of an endpoint's counters in shared memory: one block per endpoint and worker, one writer each, no atomics needed. */

import { AUTH_TYPES, type AuthType } from '../endpoint/access/config.ts';

/** Counters never go back while a block lives; gauges (…Current) do. Order is the layout: append only. */
export const COUNTER_NAMES = [
  'connectionsTotal',
  'connectionsCurrent',
  'connectionsMax',
  'messagesReceived',
  'messagesSent',
  'bytesReceived',
  'bytesSent',
  'sessionsCurrent',
  'subscriptionsCurrent',
  'topicsPublished',
  'droppedQueueFull',
  'droppedSlowConsumer',
  'droppedExpired',
  'droppedTooLarge',
  'droppedPeerOverload',
  'droppedAcl',
  'droppedReceiveMaximum',
  'errorAuthFailed',
  'errorAclDenied',
  'errorProtocol',
  'refusedConnectionLimit',
  'refusedConnectionRate',
  'refusedSessionLimit',
  'refusedBadConnect',
  'connectionReset',
  'keepAliveTimeout',
  'connectTimeout',
  'takenOver',
  'formerCurrent',
  'tlsHandshakeFailed',
  'tlsTimeout',
  'tlsClientCertificate',
  'packetTimeout',
  'refusedAddressLimit',
  'refusedAddressRate',
  'retainedRefused',
  'refusedForeignSession',
  'subscriptionsWithdrawn',
  'droppedQueueBytes',
  'droppedMemory',
  'quotaMemory',
  'quotaSubscriptions',
  'quotaTopicAlias',
  'heldBytes',
  'retainedTimeout',
  'loginExpired',
  'refusedBanned',
] as const;

export type CounterName = (typeof COUNTER_NAMES)[number];

/** Reasons of `_messages_dropped_total{reason}` (docs/metrics-and-logs.md) and the slots that count them. */
export const DROP_REASONS = {
  queue_full: 'droppedQueueFull',
  slow_consumer: 'droppedSlowConsumer',
  queue_bytes: 'droppedQueueBytes',
  memory: 'droppedMemory',
  expired: 'droppedExpired',
  packet_too_large: 'droppedTooLarge',
  peer_overload: 'droppedPeerOverload',
  acl_denied: 'droppedAcl',
  receive_maximum: 'droppedReceiveMaximum',
} as const satisfies Record<string, CounterName>;

/** Codes of `_connection_errors_total{error_code}` and the slots that count them. */
export const CONNECTION_ERRORS = {
  connection_limit: 'refusedConnectionLimit',
  connection_rate: 'refusedConnectionRate',
  session_limit: 'refusedSessionLimit',
  bad_connect: 'refusedBadConnect',
  foreign_session: 'refusedForeignSession',
  reset: 'connectionReset',
  keep_alive_timeout: 'keepAliveTimeout',
  connect_timeout: 'connectTimeout',
  packet_timeout: 'packetTimeout',
  address_limit: 'refusedAddressLimit',
  address_rate: 'refusedAddressRate',
  retained_timeout: 'retainedTimeout',
  login_expired: 'loginExpired',
  banned: 'refusedBanned',
  tls_handshake: 'tlsHandshakeFailed',
  tls_timeout: 'tlsTimeout',
  tls_client_certificate: 'tlsClientCertificate',
} as const satisfies Record<string, CounterName>;

/** Quotas of `_quota_refused_total{quota}` and the slots that count their refusals. */
export const QUOTAS = {
  memory: 'quotaMemory',
  subscriptions: 'quotaSubscriptions',
  topic_alias: 'quotaTopicAlias',
} as const satisfies Record<string, CounterName>;

/** Operations of `_response_time_seconds{operation}`. */
export const TIMED_OPERATIONS = ['connect', 'publish', 'subscribe'] as const;
export type TimedOperation = (typeof TIMED_OPERATIONS)[number];
/** Upper bounds in seconds; the last bucket is +Inf. */
export const RESPONSE_BUCKETS = [0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1] as const;
/** Upper bounds in bytes of `_message_size_bytes`; the last bucket is +Inf. */
export const SIZE_BUCKETS = [64, 256, 1024, 4096, 16384, 65536, 262144, 1048576, 16777216] as const;
export const DIRECTIONS = ['in', 'out'] as const;

/** Slot of each counter: `slots[SLOT.messagesSent]++`. */
export const SLOT = Object.fromEntries(COUNTER_NAMES.map((name, index) => [name, index])) as Record<CounterName, number>;

/** Results of the logins that an authenticator decides about. `asked` is the sum of the first four. */
export const AUTH_RESULTS = ['allowed', 'denied', 'ignored', 'failed', 'refused', 'paused', 'cached'] as const;
export type AuthResultName = (typeof AUTH_RESULTS)[number];
/** Results of logins for which the authenticator was asked. */
export const AUTH_ASKED: readonly AuthResultName[] = ['allowed', 'denied', 'ignored', 'failed'];
/** Upper bounds in seconds of the time from a question to its answer; the last bucket is +Inf. */
export const AUTH_BUCKETS = [0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5] as const;

const RESPONSE_WIDTH = RESPONSE_BUCKETS.length + 2; // buckets, +Inf, sum of seconds
const SIZE_WIDTH = SIZE_BUCKETS.length + 2;
const RESPONSE_BASE = COUNTER_NAMES.length;
const SIZE_BASE = RESPONSE_BASE + TIMED_OPERATIONS.length * RESPONSE_WIDTH;
const AUTH_BASE = SIZE_BASE + DIRECTIONS.length * SIZE_WIDTH;
const AUTH_WIDTH = AUTH_RESULTS.length + AUTH_BUCKETS.length + 2;
/** Float64 values in one block. */
export const COUNTER_SLOTS = AUTH_BASE + AUTH_TYPES.length * AUTH_WIDTH;

/** A zeroed block. */
export function createCounters(): SharedArrayBuffer {
  return new SharedArrayBuffer(COUNTER_SLOTS * Float64Array.BYTES_PER_ELEMENT);
}

/** First slot of an operation's histogram: buckets, then +Inf, then the sum in seconds. */
export function responseBase(operation: TimedOperation): number {
  return RESPONSE_BASE + TIMED_OPERATIONS.indexOf(operation) * RESPONSE_WIDTH;
}

/** First slot of a direction's size histogram: buckets, then +Inf, then the sum in bytes. */
export function sizeBase(direction: 'in' | 'out'): number {
  return SIZE_BASE + DIRECTIONS.indexOf(direction) * SIZE_WIDTH;
}

/** First slot of the counters of one kind of authenticator: results in the order of AUTH_RESULTS, buckets, +Inf, the sum in seconds. */
export function authBase(type: AuthType): number {
  return AUTH_BASE + AUTH_TYPES.indexOf(type) * AUTH_WIDTH;
}

/** Counts the result of one login by the kind of its authenticator, so that the labels have few values. */
export function countAuth(slots: Float64Array, type: AuthType, result: AuthResultName): void {
  slots[authBase(type) + AUTH_RESULTS.indexOf(result)]!++;
}

/** Counts the seconds from a question to its answer. */
export function observeAuth(slots: Float64Array, type: AuthType, seconds: number): void {
  observe(slots, authBase(type) + AUTH_RESULTS.length, AUTH_BUCKETS, seconds);
}

/** Counts one observation of `value` in the histogram that begins at `base`. */
export function observe(slots: Float64Array, base: number, bounds: readonly number[], value: number, times = 1): void {
  let bucket = 0;
  while (bucket < bounds.length && value > bounds[bucket]!) bucket++;
  slots[base + bucket]! += times;
  slots[base + bounds.length + 1]! += value * times;
}
