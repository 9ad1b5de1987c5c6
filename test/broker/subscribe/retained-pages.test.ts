/** Many retained messages: they come in pages, each as its subscriber reads and acknowledges; none is missed, none is older than what came live. */

import { describe, expect, test } from 'vitest';
import * as encode from '../../kit/encode.ts';
import { LANES, type Lane, useSharedLanes } from '../../kit/lanes.ts';
import type { RawClient } from '../../kit/raw-client.ts';
import { quiet, sleep, uid, until } from '../../kit/until.ts';

const kit = useSharedLanes();
const lane = LANES.find(({ version, endpoint }) => version === 4 && endpoint === 'tcp3')!;
const lane5 = LANES.find(({ version, endpoint }) => version === 5 && endpoint === 'tcp3')!;

/** Keeps so many; their topics begin with the answer. */
async function keep(count: number, bytes = 8, on: Lane = lane): Promise<string> {
  const base = uid('pages/');
  const from = await kit.client(on);
  let acknowledged = 0;
  from.tap = (packet) => {
    if (packet.type === 'puback') acknowledged++;
  };
  for (let i = 0; i < count; i++) {
    const payload = `${i}:`.padEnd(bytes, 'x');
    from.send(encode.publish(on.version, `${base}/${i % 7}/${i}`, payload, { retain: true, qos: 1, id: (i % 50) + 1 }));
    if (i % 50 === 49) await until('they are kept', () => acknowledged === i + 1, 20_000);
  }
  await until('all are kept', () => acknowledged === count, 20_000);
  from.destroy();
  return base;
}

/** Collects what comes: topic → how often, and the payload of the last one. */
function collect(client: RawClient): Map<string, { times: number; payload: string }> {
  const got = new Map<string, { times: number; payload: string }>();
  client.autoAcknowledge(({ topic, payload }) => {
    got.set(topic, { times: (got.get(topic)?.times ?? 0) + 1, payload: payload.toString() });
  });
  return got;
}

test('subscribers of all versions, transports and QoS that ask at once get each of thousands once', async () => {
  const base = await keep(3_000);
  const readers: [string, Map<string, { times: number; payload: string }>][] = [];
  for (const each of LANES) {
    for (const qos of [0, 1, 2] as const) {
      const client = await kit.client(each);
      readers.push([`${each.name} QoS ${qos}`, collect(client)]);
      client.send(encode.subscribe(each.version, 1, [{ filter: `${base}/#`, qos }]));
    }
  }
  for (const [name, got] of readers) {
    await until(`all of ${name}`, () => got.size === 3_000, 30_000);
  }
  await quiet(200, 'a repeated message');
  for (const [name, got] of readers) {
    expect(
      [...got].filter(([topic, { times, payload }]) => times !== 1 || payload !== `${topic.split('/').at(-1)}:`.padEnd(8, 'x')),
      name,
    ).toEqual([]);
  }
}, 60_000);

test('large and small ones, with properties and an expiry, come byte for byte', async () => {
  const base = await keep(40, 100_000);
  const from = await kit.client(lane5);
  const properties = { user: [['k', 'v']] as [string, string][], contentType: 'text/plain' };
  await from.publish(`${base}/p`, 'y'.repeat(40_000), { retain: true, qos: 1, properties });
  await from.publish(`${base}/q`, 'short', { retain: true, qos: 1, properties: { ...properties, messageExpiry: 1000 } });
  for (const each of [lane, lane5]) {
    for (const qos of [0, 1] as const) {
      const to = await kit.client(each);
      await to.subscribe(`${base}/#`, qos);
      for (let n = 0; n < 42; n++) {
        const { topic, payload, properties: found } = await to.take(20_000);
        const name = topic.split('/').at(-1)!;
        const wanted = name === 'p' ? 'y'.repeat(40_000) : name === 'q' ? 'short' : `${name}:`.padEnd(100_000, 'x');
        expect(payload.toString() === wanted, topic).toBe(true);
        if (each.version === 5 && (name === 'p' || name === 'q')) expect(found).toMatchObject(properties);
        if (each.version === 5 && name === 'q') expect(found.messageExpiry).toBeGreaterThan(900);
      }
      await to.silence(50);
      to.destroy();
    }
  }
}, 60_000);

describe('a subscriber that does not acknowledge', () => {
  test('has its window in flight and nothing else; after UNSUBSCRIBE nothing more comes', async () => {
    const base = await keep(2_000);
    const to = await kit.client(lane);
    await to.subscribe([{ filter: `${base}/#`, qos: 1 }]);
    const isMessage = ({ type }: { type: string }) => type === 'publish';
    await until('the window is full', () => to.inbox.filter(isMessage).length >= 100);
    await quiet(300, 'a message beyond the window', () => to.inbox.filter(isMessage).length > 100);
    const first = to.inbox.splice(0).filter(isMessage);
    expect(first).toHaveLength(100);
    await to.unsubscribe(`${base}/#`);
    for (const message of first) if (message.type === 'publish') to.send(encode.puback(message.id));
    await to.silence(300);
  });

  test('that goes away finds all of them when it resumes its session, more than its queue holds', async () => {
    const base = await keep(2_500);
    const clientId = uid('c');
    const first = await kit.client(lane, { clientId, clean: false });
    await first.subscribe(`${base}/#`, 1);
    await sleep(100);
    await first.cut();
    const second = await kit.client(lane, { clientId, clean: false });
    const got = collect(second);
    await until('all retained messages', () => got.size === 2_500, 20_000);
    await second.disconnect();
    // Now it has them: a further connection is sent nothing.
    const third = await kit.client(lane, { clientId, clean: false });
    await third.silence(200);
  }, 40_000);
});

test('many filters in one SUBSCRIBE: each gets what matches it, those without a match cost nothing', async () => {
  const base = await keep(1_500);
  const to = await kit.client(lane);
  const got = collect(to);
  const filters = Array.from({ length: 120 }, (_, n) => `${base}/none/${n}`);
  filters.splice(30, 0, `${base}/+/#`);
  filters.splice(70, 0, `${base}/3/+`);
  filters.push(`${base}/0/0`);
  to.send(
    encode.subscribe(
      4,
      1,
      filters.map((filter) => ({ filter, qos: 1 })),
    ),
  );
  const expected = (n: number) => 1 + Number(n % 7 === 3) + Number(n === 0);
  const isThere = () => Array.from({ length: 1_500 }, (_, n) => n).every((n) => got.get(`${base}/${n % 7}/${n}`)?.times === expected(n));
  await until('each as often as it matches', isThere, 20_000);
}, 40_000);

test.each([lane, lane5])(
  '$name: while values change, each topic ends with its newest, and none goes back',
  async (on) => {
    const base = await keep(1_200);
    const topics = Array.from({ length: 1_200 }, (_, n) => `${base}/${n % 7}/${n}`);
    const writer = await kit.client(lane);
    const newest = new Map<string, number>();
    let isOver = false;
    const writing = (async () => {
      for (let round = 1; !isOver; round++) {
        const topic = topics[(round * 37) % topics.length]!;
        await writer.publish(topic, `${round}`, { qos: 1, retain: true });
        newest.set(topic, round);
      }
    })();
    for (const qos of [0, 1, 2] as const) {
      const to = await kit.client(on);
      const values = new Map<string, number>();
      const back: string[] = [];
      to.autoAcknowledge(({ topic, payload }) => {
        const text = payload.toString();
        const value = text.includes(':') ? 0 : Number(text);
        if (value < (values.get(topic) ?? 0)) back.push(`${topic}: ${values.get(topic)} then ${value}`);
        values.set(topic, value);
      });
      to.send(encode.subscribe(on.version, 1, [{ filter: `${base}/#`, qos }]));
      await until('all topics', () => values.size === topics.length, 20_000);
      const told = new Map(newest);
      await until('the newest', () => [...told].every(([topic, value]) => values.get(topic)! >= value), 10_000);
      expect(back).toEqual([]);
      to.destroy();
    }
    isOver = true;
    await writing;
  },
  60_000,
);
