/** A thread that ends with its endpoint while another one stands still: what it handed over before its end is taken in all the same. */

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import * as encode from '../../kit/encode.ts';
import { freePort } from '../../kit/free-port.ts';
import { connected, useBroker } from '../../kit/lanes.ts';
import { sleep, uid, until } from '../../kit/until.ts';
import { failing, failpoints, WIDE, workersOf } from '../faults/failing.ts';

const held = useBroker(() => failing({ endpoints: [WIDE, WIDE] }));
/** Long enough for the other thread to end; short enough that nobody gives up. */
const BLOCKED_MS = 1_000;
const ROUNDS = 4;

async function add(): Promise<number> {
  const port = await freePort();
  const { status, body } = await held.broker.api('POST', '/api/endpoints/add', { ...WIDE, port, host: '127.0.0.1' });
  expect(status, JSON.stringify(body)).toBe(200);
  return port;
}

/** Resolves when the thread stands still. */
async function block(thread: string): Promise<void> {
  writeFileSync(join(failpoints, thread), `block ${BLOCKED_MS}`);
  await sleep(20);
}

test('what clients of a removed endpoint have published arrives, also where its threads are busy', async () => {
  const [other] = held.broker.ports as [number];
  const [thread] = await workersOf(held.broker, other);
  for (let round = 0; round < ROUNDS; round++) {
    const port = await add();
    const topic = uid('t/');
    const subscriber = await connected('tcp', other, 5);
    await subscriber.subscribe(topic, 1);
    const publisher = await connected('tcp', port, 5);
    await block(thread!);
    for (let n = 0; n < 100; n++) await publisher.publish(topic, `${n}`, { qos: 1 });
    expect((await held.broker.api('POST', '/api/endpoints/remove', { port })).status).toBe(200);
    const numbers = (await subscriber.publishes(100, 10_000)).map(({ payload }) => Number(payload));
    expect(numbers, `round ${round}`).toEqual(Array.from({ length: 100 }, (_, n) => n));
    await subscriber.disconnect();
  }
}, 60_000);

test('messages for a shared group whose members end with a thread go to those who stay', async () => {
  const [other, third] = held.broker.ports as [number, number];
  const [thread] = await workersOf(held.broker, other);
  for (let round = 0; round < ROUNDS; round++) {
    const port = await add();
    const topic = uid('t/');
    const got = new Set<string>();
    const members = [await connected('tcp', third, 5), await connected('tcp', port, 5)];
    for (const member of members) {
      member.autoAcknowledge(({ payload }) => got.add(payload.toString()));
      await member.subscribe(`$share/g/${topic}`, 1);
    }
    const publisher = await connected('tcp', other, 5);
    await block(thread!);
    // Its thread reads them before it hears that the other member has gone.
    for (let n = 0; n < 100; n++) publisher.send(encode.publish(5, topic, `${n}`, { qos: 1, id: n + 1 }));
    expect((await held.broker.api('POST', '/api/endpoints/remove', { port })).status).toBe(200);
    await until(`every message of round ${round}`, () => got.size === 100, 5_000);
    for (const client of [members[0]!, publisher]) await client.disconnect();
  }
}, 60_000);
