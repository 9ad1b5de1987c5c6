/** Acknowledged operations hold after kill -9 (issue 10): many clients work until the broker dies, then the test checks each answer. */

import { expect, test } from 'vitest';
import { type Broker, startBroker } from '../../kit/broker.ts';
import * as encode from '../../kit/encode.ts';
import { connected, useBroker } from '../../kit/lanes.ts';
import { destroyAll, type RawClient } from '../../kit/raw-client.ts';
import { sleep, uid } from '../../kit/until.ts';

const open = { enableAuth: false, maxConnectionPerSecond: 100_000, maxSessionSize: 100_000, maxQueuedMessages: 1_000_000 };
const ENDPOINTS = [
  { ...open, sessionPersistence: true },
  { ...open, sessionPersistence: true, useWebsocket: true },
  // Sessions of the others that are resumed here are no longer kept.
  { ...open },
];
const ROUNDS = 2;
const WORK_MS = 1_500;
const LANES = 4;

const held = useBroker(() => ({ endpoints: ENDPOINTS }));

type Connect = (clientId: string, options?: encode.ConnectOptions, place?: number) => Promise<RawClient>;

/** Connects with a session that is kept, unless the options say otherwise. */
function connector(broker: Broker): Connect {
  return (clientId, options = {}, place = Math.floor(Math.random() * 2)) =>
    connected(place === 1 ? 'ws' : 'tcp', broker.ports[place]!, 5, {
      clientId,
      clean: false,
      properties: { sessionExpiry: 3600 },
      ...options,
    });
}

/** The broker is about to be killed: what ends from now on ends by that. */
let isOver = false;

/** Runs `work` again and again, side by side, until the broker is dead. */
async function untilKilled(broker: Broker, work: (lane: number) => Promise<void>): Promise<void> {
  isOver = false;
  const lanes = Array.from({ length: LANES }, async (_, lane) => {
    while (!isOver) {
      try {
        await work(lane);
      } catch (error) {
        if (!isOver) throw error;
      }
    }
  });
  const failed = Promise.all(lanes);
  await Promise.race([sleep(WORK_MS), failed]);
  isOver = true;
  const dead = broker.kill('SIGKILL');
  destroyAll();
  await dead;
  await failed;
}

test('PUBCOMP: a freed identifier names a new message; each that was completed comes once', async () => {
  const topic = uid('q/');
  const reader = uid('reader');
  const first = await connector(held.broker)(reader);
  await first.subscribe(topic, 2);
  await first.disconnect();
  const completed: string[] = [];
  const writers = Array.from({ length: LANES }, () => uid('writer'));
  for (let round = 0; round < ROUNDS; round++) {
    const connect = connector(held.broker);
    const clients = await Promise.all(writers.map((writer) => connect(writer)));
    let count = 0;
    const underWay: number[] = [];
    await untilKilled(held.broker, async (lane) => {
      // 20 identifiers, used again and again, and by the next round first of all.
      for (let id = 1; id <= 20; id++) {
        const text = `${round}/${lane}/${count++}`;
        underWay[lane] = id;
        await clients[lane]!.publish(topic, text, { qos: 2, id });
        completed.push(text);
      }
    });
    held.broker = await startBroker({ dir: held.broker.dir });
    const again = await Promise.all(writers.map((writer) => connector(held.broker)(writer)));
    for (const [lane, writer] of again.entries()) {
      // The one that was not completed still names its message.
      writer.send(encode.pubrel(underWay[lane]!));
      await writer.expect('pubcomp');
      for (let id = 1; id <= 20; id++) {
        const text = `${round}/${lane}/after ${id}`;
        await writer.publish(topic, text, { qos: 2, id });
        completed.push(text);
      }
      await writer.disconnect();
    }
  }
  const back = await connector(held.broker)(reader);
  const got: string[] = [];
  back.autoAcknowledge((message) => got.push(message.payload.toString()));
  for (let size = -1; size < got.length; await sleep(1_000)) size = got.length;
  expect(completed.filter((text) => !got.includes(text))).toEqual([]);
  expect(got.length).toBe(new Set(got).size);
}, 120_000);

test('CONNACK and the end after DISCONNECT: a session that is there stays, one that has ended does not come back', async () => {
  const there: string[] = [];
  const ended: string[] = [];
  const renewed: string[] = [];
  const base = uid('old/');
  const connect = connector(held.broker);
  const kinds: ((id: string) => Promise<void>)[] = [
    async (id) => {
      await connect(id);
      there.push(id);
    },
    async (id) => {
      const before = await connect(id);
      await before.subscribe(`${base}/${id}`, 1);
      await connect(id, { clean: true, properties: {} });
      ended.push(id);
    },
    async (id) => {
      const before = await connect(id);
      await before.subscribe(`${base}/${id}`, 1);
      await before.disconnect();
      await connect(id, { clean: true });
      renewed.push(id);
    },
    async (id) => {
      const client = await connect(id);
      await client.disconnect(0, { sessionExpiry: 0 });
      if (!isOver) ended.push(id);
    },
    async (id) => {
      await (await connect(id)).disconnect();
      await connect(id, {}, 2);
      ended.push(id);
    },
  ];
  let count = 0;
  await untilKilled(held.broker, async () => kinds[count % kinds.length]!(`${uid('s')}-kind${count++ % kinds.length}`));
  held.broker = await startBroker({ dir: held.broker.dir });
  const again = connector(held.broker);
  const presence = async (ids: string[]) => Promise.all(ids.map(async (id) => `${id} ${(await again(id)).connack!.sessionPresent}`));
  expect((await presence(there)).filter((each) => !each.endsWith('true'))).toEqual([]);
  expect((await presence(ended)).filter((each) => !each.endsWith('false'))).toEqual([]);
  for (const id of renewed) {
    const client = await again(id);
    expect(client.connack!.sessionPresent).toBe(true);
    await client.publish(`${base}/${id}`, 'to nobody', { qos: 1 });
    await client.silence(20);
  }
}, 120_000);
