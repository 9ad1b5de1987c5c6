/** A client that does not read costs bounded memory: QoS 0 to it is dropped and counted, QoS 1 waits up to maxQueuedMessages. */

import { describe, expect, test } from 'vitest';
import type { Broker } from '../../kit/broker.ts';
import * as encode from '../../kit/encode.ts';
import { droppedByReason } from '../../kit/flow.ts';
import { connected, useBroker } from '../../kit/lanes.ts';
import type { TransportName } from '../../kit/transport.ts';
import { uid, until } from '../../kit/until.ts';

const QUEUED_MAX = 50;
const base = { enableAuth: false, maxQueuedMessages: QUEUED_MAX, maxConnectionPerSecond: 100_000, maxSessionSize: 1000 };
const held = useBroker(() => ({
  endpoints: [base, { ...base, useWebsocket: true }, { ...base, serverOptions: { workerGroupSize: 3 } }],
}));
const PLACES: [TransportName, number][] = [
  ['tcp', 0],
  ['ws', 1],
  ['tcp', 2],
];

/** Resident memory of the broker, bytes. */
async function residentBytes(broker: Broker): Promise<number> {
  const { body } = await broker.api('GET', '/api/system/resources');
  return (body as { data: { memory: { rssBytes: number } } }).data.memory.rssBytes;
}

describe.each(PLACES)('slow reader, %s, endpoint %i', (transport, index) => {
  test('QoS 0 to a client that does not read is dropped and counted; others get all, memory stays bounded', async () => {
    const port = held.broker.ports[index]!;
    const topic = uid('slow/');
    const stuck = await connected(transport, port, 5);
    await stuck.subscribe(topic, 0);
    stuck.transport.socket.pause();
    const reader = await connected('tcp', held.broker.ports[0]!, 5);
    let got = 0;
    await reader.subscribe(topic, 0);
    reader.tap = () => {
      got++;
    };
    const before = await droppedByReason(held.broker);
    const memory = await residentBytes(held.broker);
    const from = await connected('tcp', held.broker.ports[0]!, 5);
    const count = 4000; // × 50 kB = 200 MB
    const bytes = encode.publish(5, topic, Buffer.alloc(50_000, 'x'));
    for (let sent = 0; sent < count; sent += 20) {
      for (let n = 0; n < 20; n++) from.send(bytes);
      // The one that reads gets each message, and is not held up by the one that does not.
      await until(`message ${sent + 20} of the reader`, () => got === sent + 20, 10_000, 1);
    }
    await from.publish(uid('end/'), 'x', { qos: 1 });
    const grown = (await residentBytes(held.broker)) - memory;
    expect(grown, 'resident bytes gained').toBeLessThan(120_000_000);
    const after = await until('drops counted', async () => {
      const now = await droppedByReason(held.broker);
      return (now['slow_consumer'] ?? 0) > (before['slow_consumer'] ?? 0) ? now : null;
    });
    expect(after['slow_consumer']! - (before['slow_consumer'] ?? 0)).toBeLessThanOrEqual(count);
    stuck.destroy();
    reader.destroy();
  }, 60_000);

  test('QoS 1 to a client that is away waits up to maxQueuedMessages; the rest is dropped and counted', async () => {
    const port = held.broker.ports[index]!;
    const topic = uid('queue/');
    const options = { clientId: uid('c'), clean: false, properties: { sessionExpiry: 60 } };
    const away = await connected(transport, port, 5, options);
    await away.subscribe(topic, 1);
    await away.disconnect();
    const before = (await droppedByReason(held.broker))['queue_full'] ?? 0;
    const from = await connected('tcp', held.broker.ports[0]!, 5);
    for (let n = 0; n < QUEUED_MAX + 30; n++) await from.publish(topic, `${n}`, { qos: 1 });
    const back = await connected(transport, port, 5, options);
    const messages = await back.publishes(QUEUED_MAX);
    for (const message of messages) await back.acknowledge(message);
    await back.silence();
    const numbers = messages.map((message) => Number(message.payload));
    expect(numbers).toEqual(numbers.toSorted((a, b) => a - b));
    await until('drops counted', async () => ((await droppedByReason(held.broker))['queue_full'] ?? 0) >= before + 30);
  });

  test('QoS 1 to a client that is connected but acknowledges nothing: window and queue are bounded', async () => {
    const port = held.broker.ports[index]!;
    const topic = uid('window/');
    const lazy = await connected(transport, port, 5, { properties: { receiveMaximum: 10 } });
    await lazy.subscribe(topic, 1);
    const from = await connected('tcp', held.broker.ports[0]!, 5);
    const surplus = 40;
    const full = async () => (await droppedByReason(held.broker))['queue_full'] ?? 0;
    const before = await full();
    for (let n = 0; n < 10 + QUEUED_MAX + surplus; n++) await from.publish(topic, `${n}`, { qos: 1 });
    // The PUBACK of a message for another thread does not wait for its delivery.
    await until('all have come to the thread of the subscriber', async () => (await full()) === before + surplus);
    const got: number[] = [];
    lazy.autoAcknowledge((message) => got.push(Number(message.payload)));
    await until('what fits', () => got.length >= 10 + QUEUED_MAX);
    await lazy.ping();
    expect(got.length).toBe(10 + QUEUED_MAX);
    expect(got).toEqual(got.toSorted((a, b) => a - b));
  });
});

test('a client that sends without reading its acknowledgements is held back, not served without end', async () => {
  const port = held.broker.ports[0]!;
  const bystander = await connected('tcp', port, 5);
  const client = await connected('tcp', port, 5);
  client.transport.socket.pause();
  // PINGREQ by the million: the answers cannot leave.
  const pings = Buffer.alloc(64 * 1024, Buffer.from([0xc0, 0x00]));
  const memory = await residentBytes(held.broker);
  let isHeld = false;
  for (let round = 0; round < 1500 && !isHeld && !client.isClosed; round++) {
    client.send(pings);
    if (client.transport.socket.writableLength > 2_000_000) {
      isHeld = await until('drained', () => client.transport.socket.writableLength < 1_000_000 || client.isClosed, 1500, 20).then(
        () => false,
        () => true,
      );
    }
  }
  expect((await residentBytes(held.broker)) - memory).toBeLessThan(120_000_000);
  await bystander.ping();
}, 60_000);
