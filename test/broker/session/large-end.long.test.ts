/** A durable session with tens of thousands of filters ends: nobody waits for it, its client has a new one at once, and kill -9 brings nothing back. */

import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Broker, startBroker } from '../../kit/broker.ts';
import * as encode from '../../kit/encode.ts';
import { connected } from '../../kit/lanes.ts';
import { Passes } from '../../kit/passes.ts';
import { destroyAll, RawClient } from '../../kit/raw-client.ts';
import { subscribeMany } from '../../kit/subscribe-many.ts';
import { uid } from '../../kit/until.ts';

const FILTERS = 30_000;
/** CPU time of one pass of an event loop, milliseconds; in one go the end takes longer, and the beginning several times that. */
const PASS_MS = 100;
const EXPIRY = { properties: { sessionExpiry: 300 } };
const WIDE = { enableAuth: false, maxSubscriptions: 1_000_000, maxConnectionPerSecond: 10_000, maxSessionSize: 1_000 };

const passes = new Passes();
let broker: Broker;
beforeAll(async () => {
  broker = await startBroker(
    passes.measured({
      endpoints: [{ ...WIDE, sessionPersistence: true }, WIDE, { ...WIDE, sessionPersistence: true, useWebsocket: true }],
    }),
  );
}, 40_000);
afterAll(async () => {
  destroyAll();
  await broker.stop();
}, 40_000);

/** Connects with the session of `clientId`; a large one takes its time on a busy machine. */
async function resumed(transport: 'tcp' | 'ws', port: number, clientId: string, clean = false): Promise<RawClient> {
  const client = await RawClient.open(transport, port, 5);
  client.send(encode.connect(5, { clientId, clean, ...EXPIRY }));
  expect(await client.expect('connack', 30_000)).toMatchObject({ code: 0, sessionPresent: !clean });
  return client;
}

async function restart(): Promise<void> {
  await broker.kill('SIGKILL');
  broker = await startBroker(passes.measured({ dir: broker.dir }));
}

test('a clean start of its client ends it; kill -9 follows at once', async () => {
  const prefix = uid('end/');
  const clientId = uid('c');
  const first = await connected('tcp', broker.ports[0]!, 5, { clientId, clean: false, ...EXPIRY });
  await subscribeMany(first, FILTERS, (i) => `${prefix}/${i}`);
  await first.cut();
  const since = Date.now();
  // Over another transport, that is another thread.
  const second = await resumed('ws', broker.ports[2]!, clientId, true);
  await second.subscribe([`${prefix}/1`, `${prefix}/own`].map((filter) => ({ filter, qos: 1 as const })));
  const publisher = await connected('tcp', broker.ports[1]!, 5);
  for (const name of ['7', '1', `${FILTERS - 1}`, 'own']) await publisher.publish(`${prefix}/${name}`, name, { qos: 1 });
  await second.cut();
  await publisher.publish(`${prefix}/1`, 'later', { qos: 1 });
  await publisher.publish(`${prefix}/8`, 'nobody', { qos: 1 });
  expect(Math.max(0, ...Object.values(passes.longest(since))), JSON.stringify([...passes.long(since)])).toBeLessThan(PASS_MS);
  await restart();
  const back = await resumed('tcp', broker.ports[0]!, clientId);
  const got = new Set((await back.publishes(3)).map(({ payload }) => payload.toString()));
  expect(got).toEqual(new Set(['1', 'own', 'later']));
  const again = await connected('tcp', broker.ports[1]!, 5);
  await again.publish(`${prefix}/9`, 'nobody', { qos: 1 });
  await back.silence();
  await back.disconnect(0, { sessionExpiry: 0 });
}, 90_000);

test('a session in memory becomes durable at another endpoint, whole or not at all', async () => {
  const prefix = uid('begin/');
  const clientId = uid('c');
  const first = await connected('tcp', broker.ports[1]!, 5, { clientId, clean: false, ...EXPIRY });
  await subscribeMany(first, FILTERS, (i) => `${prefix}/${i}`);
  await first.cut();
  const publisher = await connected('tcp', broker.ports[1]!, 5);
  await publisher.publish(`${prefix}/5`, 'before', { qos: 1 });
  const since = Date.now();
  const second = await resumed('tcp', broker.ports[0]!, clientId);
  second.destroy();
  for (const name of ['1', `${FILTERS - 1}`]) await publisher.publish(`${prefix}/${name}`, name, { qos: 1 });
  expect(Math.max(0, ...Object.values(passes.longest(since))), JSON.stringify([...passes.long(since)])).toBeLessThan(PASS_MS);
  await restart();
  const back = await resumed('ws', broker.ports[2]!, clientId);
  const got = new Set((await back.publishes(3)).map(({ payload }) => payload.toString()));
  expect(got).toEqual(new Set(['before', '1', `${FILTERS - 1}`]));
  await back.disconnect(0, { sessionExpiry: 0 });
}, 90_000);
