/** A durable session with tens of thousands of messages and subscriptions, whose session worker has to be replaced: told in pieces, and told wholly. */

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Broker, startBroker } from '../../kit/broker.ts';
import * as encode from '../../kit/encode.ts';
import { connected } from '../../kit/lanes.ts';
import { Passes } from '../../kit/passes.ts';
import { destroyAll, RawClient } from '../../kit/raw-client.ts';
import { quiet, sleep, uid, until } from '../../kit/until.ts';
import { failing, failpoints, threads, WIDE } from '../faults/failing.ts';

const MESSAGES = 20_000;
const FILTERS = 5_000;
const PER_PACKET = 1_000;
/** CPU time of one pass of an event loop, milliseconds; told in one go, such a session takes many times that. */
const PASS_MS = 100;

const passes = new Passes();
const OPTIONS = passes.measured(
  failing({
    endpoints: [
      {
        ...WIDE,
        sessionPersistence: true,
        maxQueuedBytes: 1_000_000_000,
        maxSubscriptions: 100_000,
        serverOptions: { workerGroupSize: 1 },
      },
    ],
  }),
);
let broker: Broker;
beforeAll(async () => {
  broker = await startBroker(OPTIONS);
}, 40_000);
afterAll(async () => {
  destroyAll();
  await broker.stop();
}, 40_000);

test('every message and every subscription is there after the crash, after the client has been away, and after kill -9', async () => {
  const topic = uid('again/');
  const session = { clientId: uid('c'), clean: false, properties: { sessionExpiry: 300, receiveMaximum: 20 } };
  const client = await connected('tcp', broker.ports[0]!, 5, session);
  let subacks = 0;
  client.tap = (packet) => {
    if (packet.type === 'suback') subacks++;
  };
  client.send(encode.subscribe(5, 1, [{ filter: `${topic}/m`, qos: 1 }]));
  for (let i = 0; i < FILTERS; i += PER_PACKET) {
    const filters = Array.from({ length: PER_PACKET }, (_, k) => ({ filter: `${topic}/f/${i + k}`, qos: 1 as const }));
    client.send(encode.subscribe(5, 2 + i / PER_PACKET, filters));
  }
  await until('SUBACK', () => subacks === 1 + FILTERS / PER_PACKET, 30_000, 5);
  client.tap = () => {};
  const from = await connected('tcp', broker.ports[0]!, 5);
  let acknowledged = 0;
  from.tap = (packet) => {
    if (packet.type === 'puback') acknowledged++;
  };
  const publish = async (name: string, payload: number, count: number): Promise<void> => {
    const before = acknowledged;
    for (let i = 0; i < count; i++) {
      from.send(encode.publish(5, `${topic}/${name}`, `${payload + i}`, { qos: 1, id: (i % 100) + 1 }));
      if (i % 100 === 99 || i === count - 1) await until('they are taken', () => acknowledged === before + i + 1, 30_000, 1);
    }
  };
  await publish('m', 0, MESSAGES);
  const worker = (await threads(broker)).find(({ role }) => role === 'session')!;
  const since = Date.now();
  writeFileSync(join(failpoints, worker.name), 'exit');
  const isReplaced = async () => (await threads(broker)).some(({ name, role }) => role === 'session' && name !== worker.name);
  await until('the session worker is replaced', isReplaced, 60_000, 50);
  // PUBACK comes when the new one has stored it, behind what it was sent.
  await publish('f/0', MESSAGES, 1);
  await client.cut();
  await sleep(1_000);
  const back = await RawClient.open('tcp', broker.ports[0]!, 5);
  back.send(encode.connect(5, session));
  expect(await back.expect('connack', 30_000)).toMatchObject({ code: 0, sessionPresent: true });
  await publish(`f/${FILTERS - 1}`, MESSAGES + 1, 1);
  for (const [name, long] of passes.long(since)) {
    // The disk is read at once, before anything else.
    const isNew = name.startsWith('session-') && name !== worker.name;
    expect(long.filter((ms) => ms > PASS_MS).length, `${name}: ${long}`).toBeLessThanOrEqual(isNew ? 1 : 0);
  }
  await broker.kill('SIGKILL');
  broker = await startBroker({ ...OPTIONS, dir: broker.dir });
  const last = await connected('tcp', broker.ports[0]!, 5, session);
  const got: number[] = [];
  last.autoAcknowledge(({ payload }) => got.push(Number(payload)));
  await until('every message', () => got.length >= MESSAGES + 2, 60_000, 20);
  await quiet(200, 'a repeated message', () => got.length > MESSAGES + 2);
  expect(got).toEqual(Array.from({ length: MESSAGES + 2 }, (_, i) => i));
}, 180_000);
