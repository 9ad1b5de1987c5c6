/** Bytes that clients may make the server keep: aliases, subscriptions, queues; told by reason codes, counted, and given back. */

import { describe, expect, test } from 'vitest';
import type { Version } from '../../kit/encode.ts';
import * as encode from '../../kit/encode.ts';
import { connected, useBroker } from '../../kit/lanes.ts';
import { RawClient } from '../../kit/raw-client.ts';
import { uid, until } from '../../kit/until.ts';

const QUOTA = 0x97;
const MIB = 1024 * 1024;
const open = { enableAuth: false, maxConnectionPerSecond: 100_000 };
const held = useBroker(() => ({
  endpoints: [
    { ...open, namespace: 'a' },
    { ...open, namespace: 'b', maxQueuedMessages: 100_000 },
  ],
  config: { node: { memoryBudget: '64MB' } },
}));

async function metric(name: string, labels = '[^}]*'): Promise<number> {
  const text = String((await held.broker.api('GET', '/public/metrics')).body);
  return Number(new RegExp(`^fluxmq_${name}(?:\\{${labels}\\})? ([\\d.]+)$`, 'm').exec(text)?.[1]);
}

const ofEndpoint = (port: number, name: string, label = '') => metric(`endpoint_${name}`, `[^}]*port="${port}"[^}]*${label}[^}]*`);

async function change(port: number, keys: Record<string, unknown>): Promise<void> {
  expect((await held.broker.api('POST', '/api/endpoints/update', { port, ...keys })).status).toBe(200);
}

/** Sets an alias for a topic of so many characters. */
const alias = (client: RawClient, number: number, length: number) =>
  client.send(encode.publish(5, `${uid('a/')}/${'x'.repeat(length)}`, '', { properties: { topicAlias: number } }));

describe('topic aliases', () => {
  test('their topics have a KiB for each alias together; more ends the connection with 0x97, and is counted', async () => {
    const port = held.broker.ports[0]!;
    await change(port, { maxTopicAlias: 10 });
    const client = await connected('tcp', port, 5);
    expect(client.connack!.properties.topicAliasMaximum).toBe(10);
    const before = await ofEndpoint(port, 'quota_refused_total', 'quota="topic_alias"');
    for (let n = 1; n <= 10; n++) alias(client, n, 900);
    // A new topic takes the place of the one before.
    for (let n = 1; n <= 10; n++) alias(client, n, 900);
    await client.ping();
    alias(client, 1, 60_000);
    expect((await client.expect('disconnect')).code).toBe(QUOTA);
    expect(await ofEndpoint(port, 'quota_refused_total', 'quota="topic_alias"')).toBe(before + 1);
    await change(port, { maxTopicAlias: 0 });
    const without = await connected('tcp', port, 5);
    expect(without.connack!.properties.topicAliasMaximum).toBeUndefined();
    alias(without, 1, 1);
    expect((await without.expect('disconnect')).code).toBe(0x94);
    await change(port, { maxTopicAlias: null });
  });
});

describe('subscriptions', () => {
  test.each<[Version, number]>([
    [5, QUOTA],
    [4, 0x80],
  ])('MQTT %i: one over maxSubscriptions is refused in SUBACK, live, and one that is there may be changed', async (version, code) => {
    const port = held.broker.ports[0]!;
    const client = await connected('tcp', port, version);
    const codes = async (...filters: string[]) => (await client.subscribeRaw(filters.map((filter) => ({ filter, qos: 0 as const })))).codes;
    expect(await codes('m/1', 'm/2', 'm/3')).toEqual([0, 0, 0]);
    await change(port, { maxSubscriptions: 2 });
    expect(await codes('m/1', 'm/4')).toEqual([0, code]);
    await client.unsubscribe('m/1', 'm/2');
    expect(await codes('m/4', 'm/5', 'm/4')).toEqual([0, code, 0]);
    await change(port, { maxSubscriptions: null });
    expect(await codes('m/5')).toEqual([0]);
    await client.disconnect();
  });

  test('MQTT 3.1 has no code for it: the connection ends', async () => {
    const port = held.broker.ports[0]!;
    await change(port, { maxSubscriptions: 1 });
    const client = await connected('tcp', port, 3);
    client.send(
      encode.subscribe(3, 1, [
        { filter: 'a', qos: 0 },
        { filter: 'b', qos: 0 },
      ]),
    );
    await client.closed();
    await change(port, { maxSubscriptions: null });
  });

  test('the filters of strangers end at the budget of the node, and leave the others theirs', async () => {
    const [port, other] = held.broker.ports as [number, number];
    const innocent = await connected('tcp', other, 5);
    await innocent.subscribe('ok/#', 1);
    const clients: RawClient[] = [];
    let refused = 0;
    for (let n = 0; n < 40 && refused === 0; n++) {
      const client = await connected('tcp', port, 5).catch(() => null);
      if (client === null) break;
      clients.push(client);
      for (let f = 0; f < 40; f++) {
        const { codes } = await client.subscribeRaw([{ filter: `${n}/${f}/${'x'.repeat(60_000)}`, qos: 0 }]);
        if (codes[0] === QUOTA) refused++;
      }
    }
    expect(refused + Number(clients.length < 40)).toBeGreaterThan(0);
    expect(await metric('memory_held_bytes')).toBeGreaterThan(20 * MIB);
    expect(await metric('memory_held_bytes')).toBeLessThan(65 * MIB);
    await innocent.ping();
    expect(await innocent.publish('ok/1', 'x', { qos: 1 })).toBe(0);
    expect((await innocent.expect('publish')).payload.toString()).toBe('x');
    for (const client of clients) client.destroy();
    await until('memory is free again', async () => (await metric('memory_held_bytes')) < 2 * MIB, 15_000, 300);
    await (await connected('tcp', port, 5)).disconnect();
    await innocent.disconnect();
  }, 60_000);
});

describe('queues', () => {
  test('maxQueuedBytes bounds what waits for a session, live; what is over is dropped and counted', async () => {
    const port = held.broker.ports[1]!;
    const topic = uid('q/');
    const options = { clientId: uid('s'), clean: false, properties: { sessionExpiry: 300 } };
    const subscriber = await connected('tcp', port, 5, options);
    await subscriber.subscribe(topic, 1);
    await subscriber.disconnect();
    await change(port, { maxQueuedBytes: 100_000 });
    const publisher = await connected('tcp', port, 5);
    const before = await ofEndpoint(port, 'messages_dropped_total', 'reason="queue_bytes"');
    for (let n = 0; n < 30; n++) expect(await publisher.publish(topic, Buffer.alloc(10_000), { qos: 1 })).toBe(0);
    // Those of sessions that are away are asked for now and then.
    await until(
      'drops are counted',
      async () => (await ofEndpoint(port, 'messages_dropped_total', 'reason="queue_bytes"')) - before >= 20,
      10_000,
    );
    const back = await connected('tcp', port, 5, options);
    for (let n = 0; n < 9; n++) back.send(encode.puback((await back.expect('publish')).id));
    await back.ping();
    expect(back.inbox.filter(({ type }) => type === 'publish').length).toBeLessThanOrEqual(1);
    await change(port, { maxQueuedBytes: null });
    await back.disconnect();
    await publisher.disconnect();
  });

  test('queues of many sessions end at the budget, dropped ones are counted, and all is given back', async () => {
    const port = held.broker.ports[1]!;
    const sessions: Parameters<typeof connected>[3][] = [];
    for (let n = 0; n < 12; n++) {
      const options = { clientId: uid('s'), clean: false, properties: { sessionExpiry: 300 } };
      const client = await connected('tcp', port, 5, options);
      await client.subscribe(`own/${n}`, 1);
      await client.disconnect();
      sessions.push(options);
    }
    const publisher = await connected('tcp', port, 5);
    // Payloads that only one session holds: a message that many hold is counted once.
    for (let round = 0; round < 120; round++) {
      for (let n = 0; n < 12; n++) await publisher.publish(`own/${n}`, Buffer.alloc(100_000), { qos: 1 }).catch(() => 0);
    }
    expect(await metric('memory_held_bytes')).toBeLessThan(70 * MIB);
    await until('drops', async () => (await ofEndpoint(port, 'messages_dropped_total', 'reason="memory"')) > 0, 10_000);
    await publisher.disconnect();
    for (const options of sessions) {
      await until('it is let in and ends its session', async () => {
        const client = await RawClient.open('tcp', port, 5);
        const { code } = await client.handshake({ ...options, clean: true, properties: {} });
        client.destroy();
        return code === 0;
      });
    }
    await until('all is given back', async () => (await metric('memory_held_bytes')) < 2 * MIB, 15_000, 300);
  }, 120_000);

  test('one message that many sessions wait for takes its bytes once', async () => {
    const port = held.broker.ports[1]!;
    const topic = uid('many/');
    const ids = Array.from({ length: 30 }, () => uid('s'));
    for (const clientId of ids) {
      const client = await connected('tcp', port, 5, { clientId, clean: false, properties: { sessionExpiry: 300 } });
      await client.subscribe(topic, 1);
      await client.disconnect();
    }
    const publisher = await connected('tcp', port, 5);
    for (let n = 0; n < 5; n++) expect(await publisher.publish(topic, Buffer.alloc(MIB), { qos: 1 })).toBe(0);
    for (const clientId of ids) {
      const back = await connected('tcp', port, 5, { clientId, clean: false, properties: { sessionExpiry: 0 } });
      for (let n = 0; n < 5; n++) expect((await back.expect('publish', 10_000)).payload.length).toBe(MIB);
      back.destroy();
    }
    await publisher.disconnect();
  }, 60_000);
});

test('resources and metrics say what the budget is and how much of it is held', async () => {
  const { body } = await held.broker.api('GET', '/api/system/resources');
  const { memory } = (body as { data: { memory: Record<string, unknown> } }).data;
  expect(memory).toMatchObject({ budgetBytes: 64 * MIB, isTight: false });
  expect(memory['heldBytes']).toBeLessThan(64 * MIB);
  expect(memory['machineBytes']).toBeGreaterThan(64 * MIB);
  expect(await metric('memory_budget_bytes')).toBe(64 * MIB);
});
