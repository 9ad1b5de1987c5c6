/** Counters summed over workers, and both forms in which they are shown. */

import { expect, test } from 'vitest';
import { EndpointCounters, MetricsCollector } from '../../../src/metrics/collect.ts';
import { createCounters, observe, RESPONSE_BUCKETS, responseBase, SIZE_BUCKETS, SLOT, sizeBase } from '../../../src/metrics/counters.ts';
import { endpointsText } from '../../../src/metrics/endpoint-text.ts';
import { ProcessMetrics, workersText } from '../../../src/metrics/prometheus.ts';
import { reportEndpoint } from '../../../src/metrics/report.ts';

const EXTRAS = {
  port: 1883,
  endpoint: 'e',
  persistent: 2,
  cpuPercent: 12,
  heapUsedBytes: 100,
  externalBytes: 5,
  retained: { messages: 3, bytes: 700 },
  revision: 8,
  state: 'running',
  certificateEndsAt: null,
};

function worker(counters: EndpointCounters) {
  const memory = createCounters();
  counters.attach(memory);
  return { memory, slots: new Float64Array(memory) };
}

test('sums living and dead workers; gauges end with their worker', () => {
  const counters = new EndpointCounters();
  const [one, two] = [worker(counters), worker(counters)];
  for (const { slots } of [one, two]) {
    slots[SLOT.messagesReceived] = 10;
    slots[SLOT.connectionsCurrent] = 3;
    slots[SLOT.connectionsMax] = 4;
  }
  expect(counters.total('connectionsCurrent')).toBe(6);
  counters.detach(one.memory);
  counters.detach(one.memory);
  expect(counters.total('messagesReceived')).toBe(20);
  expect(counters.totals()[SLOT.messagesReceived]).toBe(20);
  expect(counters.total('connectionsCurrent')).toBe(3);
  expect(counters.connectionsMax).toBe(4);
});

test('remembers the most at once over all workers', () => {
  const counters = new EndpointCounters();
  const [one, two] = [worker(counters), worker(counters)];
  one.slots[SLOT.connectionsCurrent] = 5;
  two.slots[SLOT.connectionsCurrent] = 6;
  one.slots[SLOT.sessionsCurrent] = 4;
  counters.sample(0);
  one.slots.fill(0);
  counters.detach(two.memory);
  expect([counters.connectionsMax, counters.sessionsMax]).toEqual([11, 4]);
});

test('makes rates from two samples', () => {
  const collector = new MetricsCollector();
  const counters = collector.of('e');
  const { slots } = worker(counters);
  collector.sample(1_000);
  expect(counters.rate('messagesSent')).toBe(0);
  slots[SLOT.messagesSent] = 300;
  collector.sample(3_000);
  expect(counters.rate('messagesSent')).toBe(150);
  collector.sample(4_000);
  expect(counters.rate('messagesSent')).toBe(0);
});

test('reports the JSON form with quantiles', () => {
  const counters = new EndpointCounters();
  const { slots } = worker(counters);
  slots[SLOT.droppedAcl] = 2;
  slots[SLOT.droppedExpired] = 3;
  slots[SLOT.refusedConnectionLimit] = 4;
  observe(slots, responseBase('publish'), RESPONSE_BUCKETS, 0.0008, 98);
  observe(slots, responseBase('publish'), RESPONSE_BUCKETS, 7, 2);
  const { metrics } = reportEndpoint(counters, EXTRAS);
  expect(metrics.messages).toMatchObject({ dropped: 5, droppedByReason: { acl_denied: 2, expired: 3, queue_full: 0 } });
  expect(metrics.errors.connectionErrors).toBe(4);
  expect(metrics.performance).toMatchObject({ cpuUsage: 12, memoryUsage: 105 });
  expect(metrics.performance.responseTime['publish']).toMatchObject({ count: 100, p50: 0.001, p99: 1 });
  expect(metrics.performance.responseTime['connect']).toEqual({ count: 0, sumSeconds: 0, p50: 0, p99: 0 });
});

test('writes every documented name, with cumulative buckets', async () => {
  const counters = new EndpointCounters();
  const { slots } = worker(counters);
  slots[SLOT.droppedQueueFull] = 1;
  observe(slots, sizeBase('in'), SIZE_BUCKETS, 100, 2);
  observe(slots, sizeBase('in'), SIZE_BUCKETS, 2 ** 30);
  const text = [...endpointsText([{ counters, extras: EXTRAS }])].join('');
  const names = `connections_current connections_max connections_rate connections_total messages_received_total messages_sent_total
    messages_received_rate messages_sent_rate messages_dropped_total message_size_bytes bytes_received_total bytes_sent_total sessions_current
    sessions_max sessions_persistent subscriptions_current topics_published_total response_time_seconds errors_total errors_rate
    connection_errors_total cpu_usage_percent memory_usage_bytes config_revision state
    retained_messages retained_bytes retained_refused_total`.split(/\s+/);
  for (const name of names) expect(text).toMatch(new RegExp(`^# TYPE fluxmq_endpoint_${name} (gauge|counter|histogram)$`, 'm'));
  const labels = 'port="1883",endpoint="e"';
  expect(text).toContain(`fluxmq_endpoint_messages_dropped_total{${labels},reason="queue_full"} 1`);
  expect(text).toContain(`fluxmq_endpoint_message_size_bytes_bucket{le="64",${labels},direction="in"} 0`);
  expect(text).toContain(`fluxmq_endpoint_message_size_bytes_bucket{le="256",${labels},direction="in"} 2`);
  expect(text).toContain(`fluxmq_endpoint_message_size_bytes_bucket{le="+Inf",${labels},direction="in"} 3`);
  expect(text).toContain(`fluxmq_endpoint_message_size_bytes_count{${labels},direction="in"} 3`);
  expect(text).toContain(`fluxmq_endpoint_message_size_bytes_sum{${labels},direction="in"} ${200 + 2 ** 30}`);
  expect(text).toContain(`fluxmq_endpoint_errors_rate{${labels},error_type="acl_denied"} 0`);
});

test('writes the delays of the workers in seconds', async () => {
  const sample = {
    worker: 'endpoint-2',
    role: 'endpoint',
    eventLoopLagMsP99: 1.5,
    eventLoopLagMsMax: 60,
    eventLoopBlocks: 3,
    crossedMessages: 7,
    relayedMessages: 3,
  };
  const text = await workersText([sample]);
  const labels = '{worker="endpoint-2",role="endpoint"}';
  expect(text).toContain(`fluxmq_worker_event_loop_delay_p99_seconds${labels} 0.0015`);
  expect(text).toContain(`fluxmq_worker_event_loop_delay_max_seconds${labels} 0.06`);
  expect(text).toContain(`fluxmq_worker_event_loop_blocks_total${labels} 3`);
  expect(text).toContain(`fluxmq_worker_crossed_messages_total${labels} 7`);
});

test('escapes what would break a line', async () => {
  const text = [...endpointsText([{ counters: new EndpointCounters(), extras: { ...EXTRAS, endpoint: 'a"b\\c\nd' } }])].join('');
  expect(text).toContain('endpoint="a\\"b\\\\c\\nd"} 0');
});

test('tells how late the event loop of the main thread was since the scrape before, without what the sampling itself takes', async () => {
  const metrics = new ProcessMetrics();
  const lost = { linesLostFile: 0, linesLostTerminal: 0, auditLost: 0 };
  const node = { workerRestarts: 0, workersBlocked: 0, slowWatchers: 0, retainedRefused: 0, identityConflicts: 0, ...lost };
  const retained = { messages: 7, bytes: 70, namespaces: [{ namespace: 'n', messages: 7, bytes: 70 }], cluster: null };
  const lags = async (): Promise<Record<string, number>> => {
    const found = [...(await metrics.text(node, retained)).matchAll(/^nodejs_eventloop_lag_(\w+)_seconds (\S+)$/gm)];
    return Object.fromEntries(found.map(([, name, value]) => [name, Number(value)]));
  };
  expect(await lags()).toEqual({ min: 0, max: 0, mean: 0, stddev: 0, p50: 0, p90: 0, p99: 0 });
  // Two samples have to be there: one before and one after.
  await new Promise((resolve) => setTimeout(resolve, 250));
  const endsAt = performance.now() + 700;
  while (performance.now() < endsAt);
  await new Promise((resolve) => setTimeout(resolve, 250));
  const { min, max, p50 } = await lags();
  expect(max).toBeGreaterThan(0.55);
  expect(min).toBeLessThan(max!);
  expect(p50).toBeLessThan(max!);
  expect((await lags())['max']).toBe(0);
});
