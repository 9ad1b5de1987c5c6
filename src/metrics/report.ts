/** The JSON form of one endpoint's numbers (docs/metrics-and-logs.md). */

import { wallNow } from '../kernel/clock.ts';
import type { EndpointCounters } from './collect.ts';
import { CONNECTION_ERRORS, DROP_REASONS, RESPONSE_BUCKETS, responseBase, TIMED_OPERATIONS } from './counters.ts';

/** Numbers that workers or the endpoint manager know, and the counters do not. */
export interface EndpointExtras {
  port: number;
  endpoint: string;
  /** sessions with expiry > 0, online or not */
  persistent: number;
  /** CPU time of its worker threads, 100 = one processor */
  cpuPercent: number;
  /** bytes of its worker threads */
  heapUsedBytes: number;
  externalBytes: number;
  /** that came by it */
  retained: { messages: number; bytes: number };
  revision: number;
  state: string;
  /** milliseconds since the epoch; null: no TLS */
  certificateEndsAt: number | null;
}

/**
 * Smallest bound below which `quantile` of the observations lie; 0 without observations, the last bound beyond all of them.
 * @param quantile 0..1
 */
export function quantileOf(slots: Float64Array, base: number, bounds: readonly number[], quantile: number): number {
  const counts = slots.subarray(base, base + bounds.length + 1);
  const all = counts.reduce((sum, count) => sum + count, 0);
  if (all === 0) return 0;
  let seen = 0;
  for (let bucket = 0; bucket < bounds.length; bucket++) {
    seen += counts[bucket]!;
    if (seen >= all * quantile) return bounds[bucket]!;
  }
  return bounds[bounds.length - 1]!;
}

function responseTimes(slots: Float64Array) {
  const times: Record<string, { count: number; sumSeconds: number; p50: number; p99: number }> = {};
  for (const operation of TIMED_OPERATIONS) {
    const base = responseBase(operation);
    times[operation] = {
      count: slots.subarray(base, base + RESPONSE_BUCKETS.length + 1).reduce((sum, count) => sum + count, 0),
      sumSeconds: slots[base + RESPONSE_BUCKETS.length + 1]!,
      p50: quantileOf(slots, base, RESPONSE_BUCKETS, 0.5),
      p99: quantileOf(slots, base, RESPONSE_BUCKETS, 0.99),
    };
  }
  return times;
}

/** Numbers of one endpoint at this moment. */
export function reportEndpoint(counters: EndpointCounters, extras: EndpointExtras) {
  const droppedByReason = Object.fromEntries(Object.entries(DROP_REASONS).map(([reason, name]) => [reason, counters.total(name)]));
  const sum = (values: number[]) => values.reduce((total, value) => total + value, 0);
  const errors = (['errorAuthFailed', 'errorAclDenied', 'errorProtocol'] as const).map((name) => counters.rate(name));
  return {
    port: extras.port,
    endpoint: extras.endpoint,
    timestamp: new Date(wallNow()).toISOString(),
    metrics: {
      connections: {
        current: counters.total('connectionsCurrent'),
        max: counters.connectionsMax,
        rate: counters.rate('connectionsTotal'),
        total: counters.total('connectionsTotal'),
      },
      messages: {
        received: counters.total('messagesReceived'),
        sent: counters.total('messagesSent'),
        dropped: sum(Object.values(droppedByReason)),
        droppedByReason,
        receivedRate: counters.rate('messagesReceived'),
        sentRate: counters.rate('messagesSent'),
      },
      bytes: { received: counters.total('bytesReceived'), sent: counters.total('bytesSent') },
      sessions: { current: counters.total('sessionsCurrent'), max: counters.sessionsMax, persistent: extras.persistent },
      retained: { ...extras.retained, refused: counters.total('retainedRefused') },
      subscriptions: { current: counters.total('subscriptionsCurrent') },
      performance: {
        cpuUsage: extras.cpuPercent,
        memoryUsage: extras.heapUsedBytes + extras.externalBytes,
        responseTime: responseTimes(counters.totals()),
      },
      errors: {
        rate: sum(errors),
        authFailed: counters.total('errorAuthFailed'),
        aclDenied: counters.total('errorAclDenied'),
        protocolError: counters.total('errorProtocol'),
        connectionErrors: sum(Object.values(CONNECTION_ERRORS).map((name) => counters.total(name))),
      },
    },
  };
}
