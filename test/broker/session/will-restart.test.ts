/** Wills of durable sessions over `kill -9` (issue 10): published once, as they were given, unless a DISCONNECT has taken them away. */

import { expect, test } from 'vitest';
import { type Broker, startBroker } from '../../kit/broker.ts';
import type { Publish } from '../../kit/decode.ts';
import type * as encode from '../../kit/encode.ts';
import { connected, useBroker } from '../../kit/lanes.ts';
import { destroyAll, type RawClient } from '../../kit/raw-client.ts';
import { sleep, uid } from '../../kit/until.ts';

const open = { enableAuth: false, sessionPersistence: true, maxConnectionPerSecond: 100_000, maxSessionSize: 10_000 };
const ENDPOINTS = [open, { ...open, useWebsocket: true }];
const BINARY = Buffer.from([0, 255, 128, 65, 10, 0]);
const EVERY = { contentType: 'text/plain', responseTopic: 'reply/to', correlationData: BINARY, user: [['k', 'wört'] as [string, string]] };

const held = useBroker(() => ({ endpoints: ENDPOINTS }));

const kept: encode.ConnectOptions = { clean: false, properties: { sessionExpiry: 3600 } };

function on(broker: Broker, at: 0 | 1, version: 3 | 4 | 5, options: encode.ConnectOptions): Promise<RawClient> {
  const given = version === 5 ? { ...kept, ...options } : { ...options, clean: false };
  return connected(at === 0 ? 'tcp' : 'ws', broker.ports[at]!, version, given);
}

/** A durable session that is away and subscribes to everything below `base`. */
async function watcher(broker: Broker, base: string): Promise<string> {
  const clientId = uid('w');
  const client = await on(broker, 0, 5, { clientId });
  await client.subscribe([{ filter: `${base}/#`, qos: 2, retainAsPublished: true, retainHandling: 2 }]);
  await client.disconnect();
  return clientId;
}

/** The messages that have come after `ms`. */
async function heard(broker: Broker, clientId: string, ms: number): Promise<Publish[]> {
  const client = await on(broker, 0, 5, { clientId });
  const messages: Publish[] = [];
  client.autoAcknowledge((message) => messages.push(message));
  await sleep(ms);
  await client.disconnect();
  return messages;
}

const text = (messages: Publish[]) =>
  messages.map(({ topic, payload }) => `${topic.split('/').at(-1)}=${payload.toString('hex')}`).toSorted();

test('the wills of who is connected, and those that wait for their delay', async () => {
  const base = uid('will/');
  const reader = await watcher(held.broker, base);
  const expected: string[] = [];
  for (const version of [3, 4, 5] as const) {
    for (const at of [0, 1] as const) {
      for (const qos of [0, 1, 2] as const) {
        const name = `v${version}-${at}-${qos}`;
        const will = { topic: `${base}/${name}`, payload: BINARY, qos, retain: qos === 1 };
        await on(held.broker, at, version, { clientId: uid(name), will });
        // A QoS 0 will reaches the reader only when the reader is back before it is published.
        if (qos > 0) expected.push(`${name}=${BINARY.toString('hex')}`);
        // A client that sends DISCONNECT has no will any more, at once.
        const leaves = await on(held.broker, at, version, { clientId: uid(name), will: { ...will, topic: `${base}/gone` } });
        await leaves.disconnect();
      }
    }
  }
  const delayed = (delay: number, name: string) => ({
    clientId: uid(name),
    will: { topic: `${base}/${name}`, payload: name, qos: 1 as const, properties: { willDelay: delay, ...EVERY } },
  });
  await on(held.broker, 0, 5, delayed(6, 'connected'));
  const cut = await on(held.broker, 1, 5, delayed(6, 'cut'));
  await cut.cut();
  const returning = uid('returning');
  await (await on(held.broker, 1, 5, { ...delayed(2, 'gone'), clientId: returning })).cut();
  // A client that returns in time loses its former will, and removes the new one.
  await (await on(held.broker, 0, 5, { ...delayed(0, 'gone'), clientId: returning })).disconnect();
  // For the end of the one that was cut to be known.
  await sleep(500);
  const last = await Promise.all(
    Array.from({ length: 20 }, (_, index) =>
      on(held.broker, (index % 2) as 0 | 1, index % 3 === 0 ? 4 : 5, { ...delayed(0, 'gone'), clientId: uid('last') }),
    ),
  );
  await Promise.all(last.map((client) => client.disconnect()));
  await held.broker.kill('SIGKILL');
  destroyAll();
  held.broker = await startBroker({ dir: held.broker.dir });
  const first = await heard(held.broker, reader, 2_500);
  const given = text(first).filter((each) => each.startsWith('v'));
  expect(given.filter((each) => !each.includes('-0='))).toEqual(expected.toSorted());
  expect(new Set(given).size).toBe(given.length);
  expect(text(first).filter((each) => each.startsWith('gone'))).toEqual([]);
  const later = [...first, ...(await heard(held.broker, reader, 6_000))];
  const properties = later.find(({ topic }) => topic.endsWith('/connected'))!.properties;
  expect(properties).toMatchObject(EVERY);
  expect(
    later
      .map(({ topic }) => topic.split('/').at(-1))
      .filter((name) => name === 'cut' || name === 'connected')
      .toSorted(),
  ).toEqual(['connected', 'cut']);
  // RETAIN wills are there for who comes later.
  const fresh = await connected('tcp', held.broker.ports[0]!, 4);
  await fresh.subscribe(`${base}/v4-1-1`, 1);
  expect(await fresh.take()).toMatchObject({ retain: true, payload: BINARY });
}, 120_000);

test('a will that somebody has seen is not published again, nor is the session back whose end it told', async () => {
  for (const how of ['cut', 'takeover', 'expiry'] as const) {
    const base = uid(`${how}/`);
    const reader = await watcher(held.broker, base);
    const ids = Array.from({ length: 10 }, () => uid('c'));
    const live = await connected('tcp', held.broker.ports[0]!, 5);
    await live.subscribe(`${base}/#`, 0);
    let seen = 0;
    const all = new Promise<void>((resolve) => {
      live.tap = (packet) => {
        if (packet.type === 'publish' && ++seen === ids.length) resolve();
      };
    });
    const expiry = how === 'expiry' ? 1 : 3600;
    const clients = await Promise.all(
      ids.map((clientId, index) =>
        on(held.broker, (index % 2) as 0 | 1, 5, {
          clientId,
          properties: { sessionExpiry: expiry },
          will: { topic: `${base}/${clientId}`, payload: 'w', qos: 1, properties: { willDelay: how === 'expiry' ? 60 : 0 } },
        }),
      ),
    );
    if (how === 'takeover')
      void Promise.all(ids.map((clientId, index) => on(held.broker, ((index + 1) % 2) as 0 | 1, 5, { clientId }))).catch(() => {});
    else for (const client of clients) client.destroy();
    await all;
    const dead = held.broker.kill('SIGKILL');
    destroyAll();
    await dead;
    held.broker = await startBroker({ dir: held.broker.dir });
    await sleep(1_500);
    const wills = await heard(held.broker, reader, 1_000);
    expect(wills.map(({ topic }) => topic).toSorted()).toEqual(ids.map((id) => `${base}/${id}`).toSorted());
    if (how === 'expiry') {
      for (const clientId of ids) expect((await on(held.broker, 0, 5, { clientId })).connack!.sessionPresent).toBe(false);
    }
  }
}, 180_000);
