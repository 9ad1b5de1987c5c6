/** Shared QoS 1 messages for a connected durable member while the member's worker, or the session worker, ends: all acknowledged, none lost. */

import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import type { Broker } from '../../kit/broker.ts';
import * as encode from '../../kit/encode.ts';
import { connected, useBroker } from '../../kit/lanes.ts';
import type { RawClient } from '../../kit/raw-client.ts';
import { uid, until } from '../../kit/until.ts';
import { crash, failing, failpoints, threads, WIDE, workersOf } from './failing.ts';

const DURABLE = { ...WIDE, sessionPersistence: true };
const held = useBroker(() => failing({ endpoints: [DURABLE, DURABLE] }));
const MESSAGES = 1_500;
const AT_ONCE = 20;
const BLOCKED_MS = 4_000;
const NO_MATCHING_SUBSCRIBERS = 0x10;

/** A member that comes back whenever its connection ends. */
class Member {
  readonly got = new Set<string>();
  readonly #port: number;
  readonly #session = { clientId: uid('member'), clean: false, properties: { sessionExpiry: 3600, receiveMaximum: 5 } };
  isLeaving = false;

  constructor(port: number) {
    this.#port = port;
  }

  async come(filter: string): Promise<RawClient> {
    const client = await connected('tcp', this.#port, 5, this.#session);
    client.autoAcknowledge(({ payload }) => this.got.add(payload.toString()));
    if (!client.connack!.sessionPresent) await client.subscribe(filter, 1);
    void client.closed(120_000).then(async () => {
      if (!this.isLeaving) await until('the member is back', () => this.come(filter), 10_000);
    });
    return client;
  }
}

async function publishAll(port: number, topic: string, onMessage: (n: number) => void): Promise<void> {
  const publishers = await Promise.all(Array.from({ length: AT_ONCE }, () => connected('tcp', port, 5)));
  let next = 0;
  await Promise.all(
    publishers.map(async (publisher) => {
      while (next < MESSAGES) {
        const n = next++;
        onMessage(n);
        expect(await publisher.publish(topic, `${n}`, { qos: 1 })).toBe(0);
      }
    }),
  );
}

async function threadOf(broker: Broker, what: 'member' | 'session'): Promise<string> {
  if (what === 'member') return (await workersOf(broker, broker.ports[0]!))[0]!;
  return (await threads(broker)).find(({ role }) => role === 'session')!.name;
}

test.each(['member', 'session'] as const)(
  'the worker of the %s ends',
  async (what) => {
    const { broker } = held;
    const topic = uid('t/');
    const member = new Member(broker.ports[0]!);
    await member.come(`$share/g/${topic}`);
    const thread = await threadOf(broker, what);
    let crashed: Promise<number> | null = null;
    await publishAll(broker.ports[1]!, topic, (n) => {
      if (n === MESSAGES / 3) crashed = crash(broker, thread, 'exit', async () => (await threadOf(broker, what).catch(() => '')) !== '');
    });
    await crashed;
    await until('every message has come', () => member.got.size === MESSAGES, 20_000);
    member.isLeaving = true;
  },
  60_000,
);

test('the worker of the member stands still: only those who publish to the member wait, on their next connection and at the API, too', async () => {
  const { broker } = held;
  const [port, other] = broker.ports as [number, number];
  const topic = uid('t/');
  const member = await connected('tcp', port, 5, { clientId: uid('member'), clean: false, properties: { sessionExpiry: 3600 } });
  await member.subscribe(`$share/g/${topic}`, 2);
  const session = { clientId: uid('publisher'), clean: false, properties: { sessionExpiry: 3600 } };
  const former = await connected('tcp', other, 5, session);
  const bystander = await connected('tcp', other, 5);
  const [thread] = await workersOf(broker, port);
  const order = join(failpoints, thread!);
  writeFileSync(order, `block ${BLOCKED_MS}`);
  await until('the thread takes the order', () => !existsSync(order), 5_000, 1);
  const blockedAt = performance.now();
  former.send(encode.publish(5, topic, 'once', { qos: 2, id: 1 }));
  await former.ping();
  // Takes the session over, and repeats what was not acknowledged.
  const publisher = await connected('tcp', other, 5, session);
  publisher.send(encode.publish(5, topic, 'once', { qos: 2, id: 1, dup: true }));
  let hasAnswered = false;
  const asked = broker.api('POST', '/api/publish', { topic, payload: 'asked', qos: 1 }).then(({ status }) => {
    hasAnswered = true;
    return status;
  });
  expect(await bystander.publish(uid('elsewhere/'), 'x', { qos: 1 })).toBe(NO_MATCHING_SUBSCRIBERS);
  await publisher.silence(BLOCKED_MS / 2);
  expect(hasAnswered).toBe(false);
  expect(performance.now() - blockedAt).toBeLessThan(BLOCKED_MS);
  expect(await publisher.expect('pubrec', 2 * BLOCKED_MS)).toMatchObject({ id: 1, code: 0 });
  expect(await asked).toBe(200);
  publisher.send(encode.pubrel(1));
  await publisher.expect('pubcomp');
  const texts = (await member.publishes(2)).map(({ payload }) => payload.toString());
  expect(texts.toSorted()).toEqual(['asked', 'once']);
}, 60_000);
