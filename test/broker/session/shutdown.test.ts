/** Clients at the stop of the node, and at the removal of their endpoint. */

import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Broker, startBroker } from '../../kit/broker.ts';
import { connected } from '../../kit/lanes.ts';
import { uid } from '../../kit/until.ts';

const open = { enableAuth: false, sessionPersistence: true, maxConnectionPerSecond: 100_000 };
const ENDPOINTS = [open, { ...open, useWebsocket: true }, { ...open, serverOptions: { workerGroupSize: 2 } }];

let broker: Broker;
beforeAll(async () => {
  broker = await startBroker({ endpoints: ENDPOINTS });
}, 40_000);
afterAll(async () => {
  await broker.stop();
}, 30_000);

test('clients closed through the API get 0x98, and nobody else', async () => {
  const ids = [uid('c'), uid('c'), uid('c')];
  const clients = [
    await connected('tcp', broker.ports[0]!, 5, { clientId: ids[0]! }),
    await connected('ws', broker.ports[1]!, 5, { clientId: ids[1]! }),
    await connected('tcp', broker.ports[2]!, 4, { clientId: ids[2]! }),
  ];
  const bystander = await connected('tcp', broker.ports[0]!, 5);
  expect((await broker.api('POST', '/api/close', { ids })).status).toBe(200);
  for (const client of clients) await client.refused(0x98);
  await bystander.ping();
}, 60_000);

test('SIGTERM: MQTT 5 clients get a DISCONNECT, all are closed, the exit code is 0, and nothing that was acknowledged before is lost', async () => {
  const topic = uid('s/');
  const options = { clientId: uid('c'), clean: false, properties: { sessionExpiry: 3600 } };
  const told = [
    await connected('tcp', broker.ports[0]!, 5, options),
    await connected('ws', broker.ports[1]!, 5),
    await connected('tcp', broker.ports[2]!, 5),
  ];
  await told[0]!.subscribe(topic, 1);
  const old = await connected('tcp', broker.ports[0]!, 4);
  await old.publish(topic, 'kept', { qos: 1 });
  expect(await broker.stop()).toBe(0);
  for (const client of told) {
    const ends = (await client.closed()).flatMap((packet) => (packet.type === 'disconnect' ? [packet.code] : []));
    expect(ends).toHaveLength(1);
    expect([0x8b, 0x98]).toContain(ends[0]);
  }
  expect((await old.closed()).filter((packet) => packet.type !== 'publish')).toEqual([]);
  broker = await startBroker({ dir: broker.dir });
  const back = await connected('tcp', broker.ports[2]!, 5, options);
  expect(back.connack!.sessionPresent).toBe(true);
  expect((await back.take()).payload.toString()).toBe('kept');
}, 60_000);

test('an endpoint that is removed tells its clients 0x98; those of others, and the sessions, stay', async () => {
  const topic = uid('s/');
  const options = { clientId: uid('c'), clean: false, properties: { sessionExpiry: 3600 } };
  const leaving = await connected('tcp', broker.ports[2]!, 5, options);
  await leaving.subscribe(topic, 1);
  const old = await connected('tcp', broker.ports[2]!, 4);
  const staying = await connected('ws', broker.ports[1]!, 5);
  const answer = await broker.api('POST', '/api/endpoints/remove', { port: broker.ports[2] });
  expect(answer.status).toBe(200);
  await leaving.refused(0x98);
  expect(await old.closed()).toEqual([]);
  await expect(connected('tcp', broker.ports[2]!, 5)).rejects.toThrow();
  await staying.publish(topic, 'later', { qos: 1 });
  const back = await connected('tcp', broker.ports[0]!, 5, options);
  expect(back.connack!.sessionPresent).toBe(true);
  expect((await back.take()).payload.toString()).toBe('later');
  await staying.ping();
}, 60_000);
