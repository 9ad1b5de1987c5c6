/** The machine's clock jumps, goes back, or was not set: what has a span ends when its time has passed, not when the clock says so. */

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Broker, startBroker } from '../../kit/broker.ts';
import { clockEnv, setClock } from '../../kit/clock-file.ts';
import { connected } from '../../kit/lanes.ts';
import { longer } from '../../kit/long.ts';
import { destroyAll, type RawClient } from '../../kit/raw-client.ts';
import { sleep, uid, until } from '../../kit/until.ts';

const HOUR = 3_600_000;
const DAY = 24 * HOUR;
const JUMPS = [HOUR, -HOUR, 400 * DAY, -400 * DAY];
const OPEN = { enableAuth: false, maxConnectionPerSecond: 1_000 };
const ENDPOINTS = [true, false].map((sessionPersistence) => ({ ...OPEN, sessionPersistence, serverOptions: { workerGroupSize: 2 } }));
/** By then each thread has seen the new time, and what has to be kept of it is kept. */
const SEEN_MS = 1_000;
/** Several brokers start at once. */
const READY_MS = 60_000;

/** Clock before; a jump while the process lives; clock of the next process; is a session of 1,000 s there then; part of `npm test`. */
const RESTARTS: [string, string, string, string, boolean, boolean][] = [
  ['the clock advances', '0', '0', '0', true, true],
  ['an hour later', '0', '0', String(HOUR), false, false],
  ['the clock has gone back', '0', '0', String(-HOUR), true, false],
  ['the clock has gone back to 1970', '0', '0', 'at 10000', true, true],
  ['set forward before, and right again', '0', String(HOUR), '0', true, true],
  ['set back before, and right again', '0', String(-HOUR), '0', false, false],
  ['from 1970 to now, set while it lived', 'at 10000', '0', '0', true, true],
  ['from 2000 to now, set between', 'at 946684800000', 'at 946684800000', '0', true, false],
];

const folder = mkdtempSync(join(tmpdir(), 'fluxmq-clock-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

function client(broker: Broker, index: number, clientId: string, sessionExpiry: number, more = {}): Promise<RawClient> {
  return connected('tcp', broker.ports[index]!, 5, { clientId, clean: false, keepAlive: 5, properties: { sessionExpiry }, ...more });
}

/** A session that subscribes to `topic` and goes. */
async function leave(broker: Broker, index: number, sessionExpiry: number, topic: string): Promise<string> {
  const clientId = uid('c');
  const to = await client(broker, index, clientId, sessionExpiry);
  await to.subscribe(topic, 1);
  await to.disconnect();
  return clientId;
}

/** Whether the session is there; it is taken away. */
async function isThere(broker: Broker, index: number, clientId: string): Promise<boolean> {
  const back = await client(broker, index, clientId, 0);
  const { sessionPresent } = back.connack!;
  await back.disconnect();
  return sessionPresent;
}

describe('while it lives', () => {
  const clock = join(folder, 'clock');
  const env = clockEnv(clock);
  let broker: Broker;
  beforeAll(async () => {
    setClock(clock, '0');
    broker = await startBroker({ endpoints: ENDPOINTS, env });
  }, 60_000);
  afterAll(async () => {
    destroyAll();
    expect(await broker.stop()).toBe(0);
  });

  /** The sessions and messages of one endpoint that end after the jump, and those that do not. */
  async function prepare(index: number) {
    const topic = uid('j/');
    const witness = await client(broker, index, uid('c'), 0);
    await witness.subscribe(`${topic}/will`, 1);
    const [long, short] = [await leave(broker, index, 1_000, topic), await leave(broker, index, 2, topic)];
    const from = await client(broker, index, uid('c'), 0);
    await from.publish(topic, 'gone', { qos: 1, properties: { messageExpiry: 1 } });
    await from.publish(topic, 'kept', { qos: 1, properties: { messageExpiry: 1_000 } });
    await from.publish(`${topic}/r1`, 'gone', { retain: true, qos: 1, properties: { messageExpiry: 1 } });
    await from.publish(`${topic}/r2`, 'kept', { retain: true, qos: 1, properties: { messageExpiry: 1_000 } });
    const will = { topic: `${topic}/will`, payload: 'will', qos: 1 as const, properties: { willDelay: 2 } };
    const dying = await client(broker, index, uid('c'), 100, { will });
    const change = { port: broker.ports[index], maxConnectionSize: 321 };
    expect((await broker.api('POST', '/api/endpoints/update?confirmWithin=2s', change)).status).toBe(200);
    return { index, topic, witness, long, short, from, dying };
  }

  async function verify({ index, topic, witness, long, short, from }: Awaited<ReturnType<typeof prepare>>, start: number): Promise<void> {
    expect((await witness.take(8_000)).payload.toString()).toBe('will');
    // Long before the jump would have it, and not before its time.
    expect(performance.now() - start).toBeGreaterThan(1_200);
    await witness.ping();
    await from.ping();
    const size = async () => JSON.stringify((await broker.api('GET', `/api/endpoints/get?port=${broker.ports[index]}`)).body);
    await until('the change undone', async () => !(await size()).includes('"maxConnectionSize":321'), 8_000);
    await sleep(Math.max(0, 3_000 - (performance.now() - start)));
    expect(await isThere(broker, index, short)).toBe(false);
    const back = await client(broker, index, long, 0);
    expect(back.connack!.sessionPresent).toBe(true);
    const kept = await back.take();
    expect(kept.payload.toString()).toBe('kept');
    expect(kept.properties.messageExpiry).toBeGreaterThan(900);
    expect(kept.properties.messageExpiry).toBeLessThanOrEqual(998);
    await back.subscribe(`${topic}/r1`, 1);
    await back.silence();
    await back.subscribe(`${topic}/r2`, 1);
    expect((await back.take()).payload.toString()).toBe('kept');
  }

  test.each(JUMPS)(
    'a jump of %i ms ends nothing early, and keeps nothing: sessions, wills, messages, connections, changes',
    async (jump) => {
      const before = await Promise.all(ENDPOINTS.map((_, index) => prepare(index)));
      for (const { dying } of before) dying.destroy();
      setClock(clock, String(jump));
      const start = performance.now();
      await Promise.all(before.map((each) => verify(each, start)));
      setClock(clock, '0');
    },
    60_000,
  );
});

describe('over a restart', () => {
  // The cases wait most of their time, and each has a clock and a broker of its own.
  test.concurrent.each(
    longer(
      RESTARTS.filter(([, , , , , isUsual]) => isUsual),
      RESTARTS,
    ),
  )(
    '%s',
    async (_name, before, alive, after, isKept) => {
      const clock = join(folder, uid('clock'));
      const env = clockEnv(clock);
      setClock(clock, before);
      let broker = await startBroker({ endpoints: [{ ...OPEN, sessionPersistence: true }], env, readyMs: READY_MS });
      const topic = uid('j/');
      // The stored time is at most a second old when something is written.
      await sleep(1_100);
      const [long, short] = [await leave(broker, 0, 1_000, topic), await leave(broker, 0, 4, topic)];
      await sleep(SEEN_MS);
      setClock(clock, alive);
      await sleep(SEEN_MS);
      const { dir } = broker;
      await broker.kill('SIGKILL');
      setClock(clock, after);
      broker = await startBroker({ dir, env, readyMs: READY_MS });
      try {
        expect(await isThere(broker, 0, long)).toBe(isKept);
        // The span continues, and does not begin anew.
        await sleep(5_500);
        expect(await isThere(broker, 0, short)).toBe(false);
      } finally {
        await broker.stop();
      }
    },
    120_000,
  );
});
