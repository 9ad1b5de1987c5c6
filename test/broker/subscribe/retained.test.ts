/** Retained messages: storing, replacing, clearing, and handing them to new subscriptions. */

import { describe, expect, test } from 'vitest';
import * as encode from '../../kit/encode.ts';
import { LANES, LANES_5, useLanes } from '../../kit/lanes.ts';
import { quiet, sleep, uid, until } from '../../kit/until.ts';

const kit = useLanes();

describe.each(LANES)('retained messages, $name', (lane) => {
  test('the last one goes to a new subscriber with RETAIN 1 and its QoS [5:MQTT-3.3.1-5, 5:MQTT-3.3.1-9, 3:MQTT-3.3.1-5, 3:MQTT-3.3.1-6, 3:MQTT-3.3.1-8]', async () => {
    const topic = uid('r/');
    const from = await kit.client(lane);
    for (const qos of [0, 1, 2] as const) {
      await from.publish(topic, 'older', { retain: true, qos: 1 });
      await from.publish(topic, `q${qos}`, { retain: true, qos });
      const to = await kit.client(lane);
      await to.subscribe(topic, 2);
      const message = await to.take();
      expect(message).toMatchObject({ topic, retain: true, qos, dup: false });
      expect(message.payload.toString()).toBe(`q${qos}`);
      await to.silence(50);
    }
    await from.publish(topic, '', { retain: true });
  });

  test('an established subscription gets it with RETAIN 0 [3:MQTT-3.3.1-9]', async () => {
    const topic = uid('r/');
    const to = await kit.client(lane);
    await to.subscribe(topic, 1);
    const from = await kit.client(lane);
    await from.publish(topic, 'now', { retain: true, qos: 1 });
    expect((await to.take()).retain).toBe(false);
  });

  test('QoS 0 replaces what was retained before [3:MQTT-3.3.1-7]', async () => {
    const topic = uid('r/');
    const from = await kit.client(lane);
    await from.publish(topic, 'one', { retain: true, qos: 1 });
    await from.publish(topic, 'zero', { retain: true, qos: 0 });
    await from.ping();
    const to = await kit.client(lane);
    await to.subscribe(topic, 1);
    expect((await to.take()).payload.toString()).toBe('zero');
  });

  test('an empty payload clears it, and is itself passed on but not kept [5:MQTT-3.3.1-6, 5:MQTT-3.3.1-7, 3:MQTT-3.3.1-10, 3:MQTT-3.3.1-11]', async () => {
    const topic = uid('r/');
    const from = await kit.client(lane);
    await from.publish(topic, 'kept', { retain: true, qos: 1 });
    const watcher = await kit.client(lane);
    await watcher.subscribe(topic, 1);
    await watcher.take();
    await from.publish(topic, '', { retain: true, qos: 1 });
    expect(await watcher.take()).toMatchObject({ retain: false, payload: Buffer.alloc(0) });
    const to = await kit.client(lane);
    await to.subscribe(topic, 1);
    await to.silence();
  });

  test('a message without RETAIN neither stores nor clears [5:MQTT-3.3.1-8, 3:MQTT-3.3.1-12]', async () => {
    const topic = uid('r/');
    const from = await kit.client(lane);
    await from.publish(topic, 'kept', { retain: true, qos: 1 });
    await from.publish(topic, 'passing', { qos: 1 });
    await from.publish(topic, '', { qos: 1 });
    const to = await kit.client(lane);
    await to.subscribe(topic, 1);
    expect((await to.take()).payload.toString()).toBe('kept');
    await to.silence(50);
  });

  test('it outlives the session that published it [3:MQTT-3.1.2-7]', async () => {
    const topic = uid('r/');
    const from = await kit.client(lane);
    await from.publish(topic, 'kept', { retain: true, qos: 1 });
    await from.disconnect();
    const to = await kit.client(lane);
    await to.subscribe(topic);
    expect((await to.take()).payload.toString()).toBe('kept');
  });

  test('a wildcard subscription gets every one that matches, once', async () => {
    const base = uid('r/');
    const from = await kit.client(lane);
    const topics = Array.from({ length: 150 }, (_, index) => `${base}/${index % 7}/${index}`);
    for (const topic of topics) await from.publish(topic, topic, { retain: true, qos: 1 });
    for (const filter of [`${base}/#`, `${base}/+/+`]) {
      const to = await kit.client(lane);
      const got: string[] = [];
      to.autoAcknowledge((message) => {
        expect(message.retain).toBe(true);
        got.push(message.topic);
      });
      to.send(encode.subscribe(lane.version, 1, [{ filter, qos: 1 }]));
      await until('all retained messages', () => got.length >= 150);
      expect(got.toSorted()).toEqual(topics.toSorted());
    }
    const to = await kit.client(lane);
    await to.subscribe(`${base}/3/+`);
    expect(await to.publishes(21)).toHaveLength(21);
    await to.silence(50);
  });

  test('a subscription that is made again gets it again', async () => {
    const topic = uid('r/');
    const client = await kit.client(lane);
    await client.publish(topic, 'kept', { retain: true, qos: 1 });
    for (let round = 0; round < 3; round++) {
      await client.subscribe(topic, 1);
      expect((await client.take()).retain).toBe(true);
    }
  });

  test('# does not hand out retained messages of topics that begin with $', async () => {
    const name = `$keep${uid()}`;
    const from = await kit.client(lane);
    await from.publish(`${name}/x`, 'kept', { retain: true, qos: 1 });
    const to = await kit.client(lane);
    await to.subscribe('+/x');
    await to.silence();
    await to.subscribe(`${name}/+`);
    await to.take();
  });

  test('no retained message is missed or older than what was delivered before', async () => {
    const topic = uid('r/');
    const from = await kit.client(lane);
    await from.publish(topic, '0', { retain: true, qos: 1 });
    for (let round = 1; round <= 30; round++) {
      const to = await kit.client(lane);
      const got: number[] = [];
      to.autoAcknowledge((message) => got.push(Number(message.payload)));
      to.send(encode.subscribe(lane.version, 1, [{ filter: topic, qos: 1 }]));
      from.send(encode.publish(lane.version, topic, `${round}`, { retain: true, qos: 1, id: round }));
      await from.expect('puback');
      await until('the newest', () => got.at(-1) === round);
      expect(got).toEqual(got.toSorted((a, b) => a - b));
      to.destroy();
    }
  });
});

describe('more retained messages than a session may have waiting', () => {
  const lane = LANES.find(({ version }) => version === 4)!;

  /** Keeps so many; their topics begin with the answer. */
  async function keep(count: number): Promise<string> {
    const base = uid('many/');
    const from = await kit.client(lane);
    let acknowledged = 0;
    from.tap = (packet) => {
      if (packet.type === 'puback') acknowledged++;
    };
    for (let i = 0; i < count; i++) from.send(encode.publish(4, `${base}/${i}`, `${i}`, { retain: true, qos: 1, id: i + 1 }));
    await until('all are kept', () => acknowledged === count, 10_000);
    return base;
  }

  test('come all, as fast as they are acknowledged', async () => {
    const base = await keep(2_500);
    const to = await kit.client(lane);
    const got = new Map<string, number>();
    to.autoAcknowledge((message) => got.set(message.topic, (got.get(message.topic) ?? 0) + 1));
    to.send(encode.subscribe(4, 1, [{ filter: `${base}/#`, qos: 1 }]));
    await until('all retained messages', () => got.size === 2_500, 10_000);
    await quiet(100, 'a repeated message', () => [...got.values()].some((times) => times !== 1));
  });

  test('wait in the session of a client that leaves before they come, as many as may', async () => {
    const base = await keep(900);
    const clientId = uid('c');
    const first = await kit.client(lane, { clientId, clean: false });
    await first.subscribe(`${base}/#`, 1);
    await sleep(100);
    await first.cut();
    const second = await kit.client(lane, { clientId, clean: false });
    const got = new Set<string>();
    second.autoAcknowledge((message) => got.add(message.topic));
    await until('all retained messages', () => got.size === 900, 10_000);
  });
});

describe.each(LANES_5)('retain handling, $name', (lane) => {
  test('0 always, 1 only for a new subscription, 2 never [5:MQTT-3.3.1-9, 5:MQTT-3.3.1-10, 5:MQTT-3.3.1-11]', async () => {
    const topic = uid('rh/');
    const client = await kit.client(lane);
    await client.publish(topic, 'kept', { retain: true, qos: 1 });
    await client.subscribe([{ filter: topic, retainHandling: 2 }]);
    await client.silence();
    await client.subscribe([{ filter: topic, retainHandling: 1 }]);
    await client.silence();
    await client.subscribe([{ filter: topic, retainHandling: 0 }]);
    await client.take();
    await client.unsubscribe(topic);
    await client.subscribe([{ filter: topic, retainHandling: 1 }]);
    await client.take();
    await client.subscribe([{ filter: topic, retainHandling: 1, qos: 1 }]);
    await client.silence();
  });

  test('1 counts the subscriptions of a session that was away', async () => {
    const topic = uid('rh/');
    const options = { clientId: uid('c'), clean: false, properties: { sessionExpiry: 60 } };
    const first = await kit.client(lane, options);
    await first.publish(topic, 'kept', { retain: true, qos: 1 });
    await first.subscribe([{ filter: topic, retainHandling: 1 }]);
    await first.take();
    await first.cut();
    const second = await kit.client(lane, options);
    await second.subscribe([{ filter: topic, retainHandling: 1 }]);
    await second.silence();
  });

  test('a retained message carries the subscription identifier, and RETAIN 1 without Retain As Published too', async () => {
    const topic = uid('rh/');
    const client = await kit.client(lane);
    await client.publish(topic, 'kept', { retain: true, qos: 1 });
    await client.subscribe(topic, 0, { subscriptionIds: [9] });
    expect(await client.take()).toMatchObject({ retain: true, properties: { subscriptionIds: [9] } });
  });
});

test('a retained message is shared by all transports, versions and workers', async () => {
  const topic = uid('r/');
  const from = await kit.client(LANES[0]!);
  await from.publish(topic, 'for all', { retain: true, qos: 2 });
  for (const lane of LANES) {
    const to = await kit.client(lane);
    await to.subscribe(topic, 2);
    expect(await to.take()).toMatchObject({ retain: true, qos: 2, payload: Buffer.from('for all') });
  }
  await from.publish(topic, '', { retain: true, qos: 1 });
  for (const lane of LANES) {
    const to = await kit.client(lane);
    await to.subscribe(topic, 2);
    await to.silence(60);
  }
});

test('a message retained with an expiry is gone afterwards, one without stays', async () => {
  const lane = LANES_5[0]!;
  const base = uid('r/');
  const from = await kit.client(lane);
  await from.publish(`${base}/short`, 'x', { retain: true, qos: 1, properties: { messageExpiry: 1 } });
  await from.publish(`${base}/stays`, 'x', { retain: true, qos: 1 });
  await sleep(1400);
  const to = await kit.client(lane);
  await to.subscribe(`${base}/#`);
  expect((await to.take()).topic).toBe(`${base}/stays`);
  await to.silence();
});
