/** Limits that stay exact over workers and transports while everybody comes at once, and readers that do not read. */

import { expect, test } from 'vitest';
import { messageOf } from '../../../src/kernel/errors.ts';
import * as encode from '../../kit/encode.ts';
import { droppedByReason } from '../../kit/flow.ts';
import { connected, useBroker } from '../../kit/lanes.ts';
import { RawClient } from '../../kit/raw-client.ts';
import { uid, until } from '../../kit/until.ts';

const LIMIT = 40;
const SESSIONS = 25;
const QUEUE = 100;
const WINDOW = 20;
const open = { enableAuth: false, maxConnectionPerSecond: 1_000_000, serverOptions: { workerGroupSize: 3 } };
const held = useBroker(() => ({
  endpoints: [
    { ...open, maxConnectionSize: LIMIT },
    { ...open, maxConnectionSize: LIMIT, useWebsocket: true },
    { ...open, maxConnectionSize: 10_000, maxSessionSize: SESSIONS, namespace: 's' },
    { ...open, maxConnectionSize: 10_000, maxQueuedMessages: QUEUE, maxSendWindowSize: WINDOW },
    { ...open, maxConnectionSize: 10_000, useWebsocket: true },
  ],
}));

async function attempt(transport: 'tcp' | 'ws', port: number, sessionExpiry = 0): Promise<RawClient | null> {
  try {
    const client = await RawClient.open(transport, port, 5);
    const { code } = await client.handshake({ clientId: uid('st'), clean: false, properties: { sessionExpiry } });
    if (code === 0) return client;
    expect(code).toBe(0x97);
    return null;
  } catch (error) {
    // Over the number of refusals at once a connection is closed without a word.
    if (!/closed|ECONNRESET|EPIPE|upgrade/.test(messageOf(error))) throw error;
    return null;
  }
}

test.each([
  ['tcp', 0],
  ['ws', 1],
] as const)(
  'maxConnectionSize, %s: a storm gets exactly that many, again and again',
  async (transport, index) => {
    const port = held.broker.ports[index]!;
    for (let round = 0; round < 3; round++) {
      const clients = (await Promise.all(Array.from({ length: 250 }, () => attempt(transport, port)))).filter((client) => client !== null);
      expect(clients.length, `round ${round}`).toBe(LIMIT);
      await Promise.all(clients.map((client) => client.ping()));
      for (const client of clients) client.destroy();
      await until('all places are free', async () =>
        JSON.stringify((await held.broker.api('GET', `/api/endpoints/status?port=${port}`)).body).includes('"connections":0'),
      );
    }
  },
  30_000,
);

test('maxSessionSize: a storm of persistent sessions gets exactly that many', async () => {
  const port = held.broker.ports[2]!;
  const clients = (await Promise.all(Array.from({ length: 150 }, () => attempt('tcp', port, 300)))).filter((client) => client !== null);
  expect(clients.length).toBe(SESSIONS);
  for (const client of clients) client.destroy();
  expect(await attempt('tcp', port, 300), 'sessions whose clients are away count').toBeNull();
}, 30_000);

test('slow readers: QoS 0 dropped and counted, QoS 1 queued up to the limit and the rest counted, others wait for nothing, memory bounded', async () => {
  const { broker } = held;
  const [, , , port, ws] = broker.ports as [number, number, number, number, number];
  const topic = uid('slow/');
  const publisher = await connected('ws', ws, 5);
  const stuck = await connected('tcp', port, 5);
  await stuck.subscribe(`${topic}/0`, 0);
  // Acknowledges nothing: the window fills, then the queue.
  const silent = await connected('tcp', port, 5, { properties: { receiveMaximum: 65_535 } });
  await silent.subscribe(`${topic}/1`, 1);
  const good = await connected('tcp', port, 5);
  await good.subscribe(`${topic}/+`, 0);
  stuck.transport.socket.pause();
  const before = await droppedByReason(broker);
  const rssBefore = await rss();

  const payload = Buffer.alloc(16 * 1024, 'x');
  const COUNT = 3000;
  let got = 0;
  good.tap = () => got++;
  for (let n = 0; n < COUNT; n++) {
    publisher.send(encode.publish(5, `${topic}/0`, payload));
    if (n % 20 === 19) await until('the other reader has it', () => got >= n - 100, 5000, 1);
  }
  await until('the other reader has all', () => got === COUNT, 5000);
  const QUEUED = 300;
  for (let n = 0; n < QUEUED; n++) await publisher.publish(`${topic}/1`, String(n), { qos: 1 });
  await until('the other reader has these too', () => got === COUNT + QUEUED, 5000);
  await until('drops are counted', async () => {
    const after = await droppedByReason(broker);
    const slow = after['slow_consumer']! - before['slow_consumer']!;
    const full = after['queue_full']! - before['queue_full']!;
    if (slow < COUNT / 2 || slow >= COUNT || full !== QUEUED - WINDOW - QUEUE) throw new Error(`slow_consumer ${slow}, queue_full ${full}`);
    return true;
  });
  expect((await rss()) - rssBefore, 'growth in MiB, of 47 MiB published').toBeLessThan(150);

  // An acknowledging client gets the oldest messages: window and queue, in order.
  const first = await silent.publishes(WINDOW);
  for (const message of first) silent.send(encode.puback(message.id));
  const numbers = first.map((message) => Number(message.payload));
  while (numbers.length < WINDOW + QUEUE) numbers.push(Number((await silent.take()).payload));
  expect(numbers).toEqual(Array.from({ length: WINDOW + QUEUE }, (_, n) => n));
  await silent.silence();

  async function rss(): Promise<number> {
    const { body } = await broker.api('GET', '/api/system/resources');
    return (body as { data: { memory: { rssBytes: number } } }).data.memory.rssBytes / 1024 / 1024;
  }
}, 40_000);
