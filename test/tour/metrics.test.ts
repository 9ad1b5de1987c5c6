/** Every metric that docs/metrics-and-logs.md names is there, and what it counts is right over several threads. */

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import type * as encode from '../kit/encode.ts';
import { connected, useBroker } from '../kit/lanes.ts';
import { RawClient } from '../kit/raw-client.ts';
import { until } from '../kit/until.ts';
import { ROOT } from './started.ts';

const USERS = { authType: 'fixed', authConfig: { users: [{ username: 'u', password: 'p' }] } };
const RULES = { default: 'allow', rules: [{ permission: 'deny', subject: { type: 'all' }, action: 'publish', topic: 'no/#' }] };
const held = useBroker(() => ({
  endpoints: [
    { ...USERS, aclType: 'config', aclConfig: RULES, maxConnectionSize: 5, maxQueuedMessages: 5, serverOptions: { workerGroupSize: 3 } },
  ],
}));

/** name{labels but port and endpoint} → value, of the one endpoint that there is. */
async function scrape(): Promise<Map<string, number>> {
  const { body } = await held.broker.api('GET', '/public/metrics');
  const lines = (body as string).matchAll(/^fluxmq_endpoint_(\w+)\{([^}]*)\} (\S+)$/gm);
  return new Map(
    [...lines].map(([, name = '', labels = '', value]) => {
      const rest = labels.split(',').filter((label) => !label.startsWith('port=') && !label.startsWith('endpoint='));
      return [rest.length === 0 ? name : `${name}{${rest.join(',')}}`, Number(value)];
    }),
  );
}

function client(options: encode.ConnectOptions = {}): Promise<RawClient> {
  return connected('tcp', held.broker.ports[0]!, 5, { username: 'u', password: 'p', ...options });
}

test('names and counts', async () => {
  const port = held.broker.ports[0]!;
  const subscribers = await Promise.all([0, 1, 2].map(() => client()));
  for (const subscriber of subscribers) await subscriber.subscribe('t/#', 1);
  const publisher = await client();
  for (let n = 0; n < 4; n++) for (const qos of [0, 1, 2] as const) await publisher.publish('t/x', '0123456789', { qos });
  for (const subscriber of subscribers) for (let n = 0; n < 12; n++) await subscriber.take();
  expect(await publisher.publish('no/x', 'x', { qos: 1 })).toBe(0x87);
  const away = await client({ clientId: 'away', clean: false, properties: { sessionExpiry: 600 } });
  await away.subscribe('q/#', 1);
  const full = await RawClient.open('tcp', port, 5);
  expect((await full.handshake({ username: 'u', password: 'p' })).code).toBe(0x97);
  await full.closed();
  await away.disconnect();
  await until('its place is free', async () => (await scrape()).get('connections_current') === 4);
  for (let n = 0; n < 8; n++) await publisher.publish('q/x', 'x', { qos: 1 });
  const wrong = await RawClient.open('tcp', port, 5);
  expect((await wrong.handshake({ username: 'u', password: 'q' })).code).toBe(0x86);
  await wrong.closed();
  await until('its place is free', async () => (await scrape()).get('connections_current') === 4);
  const broken = await client();
  broken.send(Buffer.from([0xf0, 0x80, 0x80, 0x80, 0x80, 0x80]));
  await broken.closed();

  const expected: Record<string, number> = {
    connections_current: 4,
    connections_max: 5,
    connections_total: 7,
    messages_received_total: 21,
    messages_sent_total: 36,
    'messages_dropped_total{reason="acl_denied"}': 1,
    'messages_dropped_total{reason="queue_full"}': 3,
    'message_size_bytes_count{direction="in"}': 21,
    'message_size_bytes_count{direction="out"}': 36,
    sessions_current: 4,
    sessions_persistent: 1,
    subscriptions_current: 3,
    'response_time_seconds_count{operation="publish"}': 16,
    'response_time_seconds_count{operation="subscribe"}': 4,
    'errors_total{error_type="auth_failed"}': 1,
    'errors_total{error_type="acl_denied"}': 1,
    'errors_total{error_type="protocol_error"}': 1,
    'connection_errors_total{error_code="connection_limit"}': 1,
    config_revision: 1,
    'state{state="running"}': 1,
  };
  await until('the numbers', async () => {
    const now = await scrape();
    const wrong = Object.keys(expected).filter((name) => now.get(name) !== expected[name]);
    if (wrong.length > 0) throw new Error(wrong.map((name) => `${name} is ${now.get(name)}, not ${expected[name]}`).join('; '));
    return true;
  });
  const now = await scrape();
  const bytes = [now.get('bytes_received_total')!, now.get('bytes_sent_total')!];
  for (const count of bytes) expect(count).toBeGreaterThan(21 * 10);
  // Topic names seen, by one publisher and so by one thread.
  expect(now.get('topics_published_total')).toBe(3);
  const log = await until('the log', async () =>
    (await held.broker.log()).includes('Connection limit reached') ? held.broker.log() : null,
  );
  expect(log).toContain(`Endpoint ${port}: Connection limit reached`);
  expect(log).toContain(`Auth failed on Endpoint ${port}`);
  expect(log).not.toContain('"q"');
}, 30_000);

test('the names of the document are those of the broker', async () => {
  const whole = readFileSync(join(ROOT, 'docs/metrics-and-logs.md'), 'utf8');
  const section = /## Endpoints\n([\s\S]*?)\n## /.exec(whole)?.[1] ?? '';
  const words = [...section.matchAll(/`([a-z_]+)(?:\{\w+\})?`/g)].map(([, word = '']) => word).filter((word) => word.includes('_'));
  // The size of the store is read a few seconds after the start.
  const body = await until(
    'metrics with the size of the store',
    async () => {
      const text = String((await held.broker.api('GET', '/public/metrics')).body);
      return text.includes('fluxmq_store_bytes') ? text : null;
    },
    15_000,
  );
  // Also of what has no value now, such as the end of a certificate that there is not.
  const all = [...body.matchAll(/^# TYPE (\w+) /gm)].map(([, name = '']) => name);
  const known = all.map((name) => name.replace('fluxmq_endpoint_', ''));
  const named = words.filter((word) => !word.startsWith('fluxmq_') && !word.startsWith('_'));
  const reasons = new Set([
    'queue_full',
    'slow_consumer',
    'packet_too_large',
    'peer_overload',
    'acl_denied',
    'receive_maximum',
    'queue_bytes',
    'topic_alias',
  ]);
  expect(named.length).toBeGreaterThan(20);
  for (const name of named) if (!reasons.has(name)) expect(known).toContain(name);
  // Nodes of a cluster alone have the rest: test/cluster/seen.test.ts.
  const more = [...whole.matchAll(/`(fluxmq_\w+[a-z])(?:\{\w+\})?`/g)].map(([, name = '']) => name);
  const alone = more.filter((name) => !name.startsWith('fluxmq_cluster_'));
  expect(alone.length).toBeGreaterThan(10);
  for (const name of alone) expect(all).toContain(name);
  for (const name of all)
    if (/^fluxmq_(config|cluster|worker|watch|retained)_/.test(name) && !whole.includes(name))
      expect(whole).toContain(name.slice(name.indexOf('loop_') + 4));
});

test('the retained messages of the node are counted', async () => {
  const publisher = await client();
  const kept = async () => {
    const { body } = await held.broker.api('GET', '/public/metrics');
    const [, messages, refused] =
      /^fluxmq_retained_messages (\d+)$[\s\S]*^fluxmq_retained_refused_total (\d+)$/m.exec(body as string) ?? [];
    return [Number(messages), Number(refused)];
  };
  // The broker's own $SYS topics are retained, too, from its first second on, one after the other; this is the last.
  await publisher.subscribe('$SYS/broker/retained messages/bytes');
  await publisher.take();
  await publisher.unsubscribe('$SYS/broker/retained messages/bytes');
  const [before = 0] = await kept();
  expect(before).toBeGreaterThan(0);
  for (const name of ['a', 'b', 'c']) await publisher.publish(`kept/${name}`, 'x', { qos: 1, retain: true });
  await publisher.publish('kept/b', '', { qos: 1, retain: true });
  expect(await kept()).toEqual([before + 2, 0]);
});
