/** Storms of connections: many at once, flapping identifiers, sessions that come and go; afterwards the broker's counts are exact. */

import { expect, test } from 'vitest';
import * as encode from '../../kit/encode.ts';
import type { EndpointName } from '../../kit/lanes.ts';
import { LANES, useLanes } from '../../kit/lanes.ts';
import type { RawClient } from '../../kit/raw-client.ts';
import { destroyAll } from '../../kit/raw-client.ts';
import { sleep, uid, until } from '../../kit/until.ts';

const kit = useLanes();
const lane = LANES[0]!;
const PLACES: EndpointName[] = ['tcp3', 'ws3', 'tcp1', 'ws1'];

/** Connections that the broker counts, over all endpoints. */
async function connections(): Promise<number> {
  const { body } = await kit.broker.api('GET', '/api/clients?page=1&size=1');
  return (body as { total?: number; data?: { total?: number } }).total ?? (body as { data: { total: number } }).data.total;
}

test('identifiers that flap between places, with clean and kept sessions, end in a consistent state', async () => {
  const ids = Array.from({ length: 6 }, () => uid('flap'));
  const all: RawClient[] = [];
  await Promise.all(
    Array.from({ length: 120 }, async (_, index) => {
      await sleep((index % 40) * 5);
      const client = await kit.open({ ...lane, endpoint: PLACES[index % PLACES.length]! });
      all.push(client);
      client.send(
        encode.connect(5, {
          clientId: ids[index % ids.length]!,
          clean: index % 3 === 0,
          properties: { sessionExpiry: index % 2 === 0 ? 60 : 0 },
        }),
        encode.subscribe(5, 1, [{ filter: `flap/${index % ids.length}/#`, qos: 1 }]),
      );
      if (index % 4 === 1) {
        await sleep(3);
        client.destroy();
      }
    }),
  );
  await until('each is answered', () => all.every((client) => client.isClosed || client.inbox.length > 0), 5000);
  // The last word for each identifier: a new connection must get in at once, and be the only one.
  const last = await Promise.all(ids.map((clientId) => kit.client({ ...lane, endpoint: 'tcp3' }, { clientId, clean: true })));
  await until('all others are closed', () => all.every((client) => client.isClosed), 5000);
  for (const client of last) await client.ping();
  await until('as many as are left', async () => (await connections()) === ids.length);
  for (const client of last) {
    const topic = uid('flap/');
    await client.subscribe(topic, 1);
    await client.publish(topic, 'alive', { qos: 1 });
    await client.take();
    await client.silence(20);
    await client.disconnect();
  }
  await until('nobody', async () => (await connections()) === 0);
}, 30_000);

test('one session on the run: connect, receive some, be cut, at another place again, many times; QoS 2 never twice', async () => {
  const topic = uid('run/');
  const clientId = uid('run');
  const options = { clientId, clean: false, properties: { sessionExpiry: 60, receiveMaximum: 4 } };
  const held = new Map<number, string>();
  const got: string[] = [];
  const first = await kit.client(lane, options);
  await first.subscribe(topic, 2);
  await first.disconnect();
  const from = await kit.client({ ...lane, endpoint: 'tcp3' });
  const total = 300;
  let sent = 0;
  const sending = (async () => {
    for (; sent < total; sent++) await from.publish(topic, `${sent}`, { qos: 2 });
  })();
  for (let round = 0; got.length < total && round < 400; round++) {
    const client = await kit.client({ ...lane, endpoint: PLACES[round % PLACES.length]! }, options);
    expect(client.connack!.sessionPresent).toBe(true);
    // Handle a few packets, then vanish, in the middle of whatever comes next.
    for (let step = 0; step < 3 + (round % 7); step++) {
      const packet = await client.next(sent < total || got.length < total ? 2000 : 50).catch(() => null);
      if (packet === null) break;
      if (packet.type === 'publish') {
        if (!held.has(packet.id)) {
          held.set(packet.id, packet.payload.toString());
          got.push(packet.payload.toString());
        } else expect(packet).toMatchObject({ dup: true, payload: Buffer.from(held.get(packet.id)!) });
        client.send(encode.pubrec(packet.id));
      } else if (packet.type === 'pubrel') {
        held.delete(packet.id);
        client.send(encode.pubcomp(packet.id));
      }
    }
    if (round % 3 === 0) await client.disconnect();
    else if (round % 3 === 1) client.destroy();
    // Else the next one takes over.
  }
  await sending;
  destroyAll();
  await until('nobody', async () => (await connections()) === 0);
  expect(got).toEqual(Array.from({ length: total }, (_, index) => `${index}`));
}, 60_000);

test('300 connections at once over all places, each hears its own message, and all leave', async () => {
  const before = await connections();
  const clients = await Promise.all(
    Array.from({ length: 300 }, (_, index) => kit.client({ ...lane, endpoint: PLACES[index % PLACES.length]! })),
  );
  const topic = uid('many/');
  await Promise.all(clients.map((client, index) => client.subscribe(`${topic}/${index}`, 1)));
  const from = await kit.client(lane);
  for (let index = 0; index < clients.length; index++) await from.publish(`${topic}/${index}`, `${index}`, { qos: 1 });
  await Promise.all(clients.map(async (client, index) => expect((await client.take()).payload.toString()).toBe(`${index}`)));
  expect(await connections()).toBe(before + clients.length + 1);
  await Promise.all([...clients, from].map((client) => client.disconnect()));
  await until('as many as before', async () => (await connections()) === before);
}, 30_000);
