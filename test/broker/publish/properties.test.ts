/** Properties of a message in MQTT 5 arrive unaltered and in order, and its expiry counts down. */

import { describe, expect, test } from 'vitest';
import * as encode from '../../kit/encode.ts';
import type { Lane } from '../../kit/lanes.ts';
import { LANES, LANES_5, useSharedLanes } from '../../kit/lanes.ts';
import type { Properties } from '../../kit/properties.ts';
import type { RawClient } from '../../kit/raw-client.ts';
import { sleep, uid } from '../../kit/until.ts';

const kit = useSharedLanes();

const RICH: Properties = {
  payloadFormat: 1,
  contentType: 'text/ü; charset=utf-8',
  responseTopic: 'answers/here',
  correlationData: Buffer.from([0, 255, 1, 2, 3]),
  user: [
    ['b', '1'],
    ['a', '2'],
    ['b', '3'],
    ['', ''],
    ['a', 'ü'.repeat(100)],
  ],
};

describe.each(LANES_5)('properties, $name', (lane) => {
  test('are passed on unaltered and in order, live, queued and retained [5:MQTT-3.3.2-4, 5:MQTT-3.3.2-15, 5:MQTT-3.3.2-16, 5:MQTT-3.3.2-17, 5:MQTT-3.3.2-18, 5:MQTT-3.3.2-20]', async () => {
    const topic = uid('p/');
    const away = { clientId: uid('c'), clean: false, properties: { sessionExpiry: 60 } };
    const later = await kit.client(lane, away);
    await later.subscribe(topic, 1);
    await later.disconnect();
    const live = await kit.client(lane);
    await live.subscribe(topic, 2);
    const from = await kit.client(lane);
    await from.publish(topic, 'rich', { qos: 1, retain: true, properties: RICH });
    expect((await live.take()).properties).toEqual(RICH);
    const back = await kit.client(lane, away);
    expect((await back.take()).properties).toEqual(RICH);
    const fresh = await kit.client(lane);
    await fresh.subscribe(topic);
    const retained = await fresh.take();
    expect(retained).toMatchObject({ retain: true, properties: RICH });
    await from.publish(topic, '', { retain: true });
  });

  test('of a will are passed on in order, without its delay [5:MQTT-3.1.3-10]', async () => {
    const topic = uid('w/');
    const to = await kit.client(lane);
    await to.subscribe(topic);
    const from = await kit.client(lane, { will: { topic, payload: 'w', properties: { ...RICH, willDelay: 0, messageExpiry: 100 } } });
    from.destroy();
    const { properties } = await to.take();
    expect(properties).toEqual({ ...RICH, messageExpiry: expect.any(Number) });
  });

  test('request and response', async () => {
    const service = await kit.client(lane);
    const requests = uid('svc/');
    await service.subscribe(requests, 1);
    const caller = await kit.client(lane);
    const responseTopic = uid('re/');
    await caller.subscribe(responseTopic, 1);
    await caller.publish(requests, 'question', { qos: 1, properties: { responseTopic, correlationData: Buffer.from('42') } });
    const request = await service.take();
    await service.publish(request.properties.responseTopic!, 'answer', {
      qos: 1,
      properties: { correlationData: request.properties.correlationData! },
    });
    const response = await caller.take();
    expect(response.payload.toString()).toBe('answer');
    expect(response.properties.correlationData!.toString()).toBe('42');
  });

  test('the same message without properties for one who connected with an older version', async () => {
    const topic = uid('old/');
    const old = await kit.client({ ...lane, version: 4 });
    await old.subscribe(topic, 1);
    const from = await kit.client(lane);
    await from.publish(topic, 'plain', { qos: 1, properties: RICH });
    const message = await old.take();
    expect(message.payload.toString()).toBe('plain');
    expect(message.properties).toEqual({});
  });

  test('payload format 1 with bytes that are not UTF-8: passed on, or refused with 0x99', async () => {
    const topic = uid('f/');
    const to = await kit.client(lane);
    await to.subscribe(topic, 1);
    const from = await kit.client(lane);
    const payload = Buffer.from([0xff, 0xfe]);
    const code = await from.publish(topic, payload, { qos: 1, properties: { payloadFormat: 1 } });
    expect([0, 0x99]).toContain(code);
    if (code === 0) expect((await to.take()).payload.equals(payload)).toBe(true);
  });
});

/** Bytes that are forwarded as they came, for the longest way that the broker has for them; and one block that only the strict reader knows. */
const PASSING: Properties[] = [
  { user: [['a', '1']] },
  {
    payloadFormat: 1,
    contentType: 'text/plain',
    responseTopic: 'answers/here',
    correlationData: Buffer.from([0, 255]),
    user: [['b', '2']],
  },
  { user: Array.from({ length: 20 }, (_, index): [string, string] => [`name ${index}`, 'x'.repeat(10)]) },
  RICH,
];

describe.each(LANES_5)('many messages in one piece, $name', (lane) => {
  test.each([0, 1, 2] as const)('QoS %i: each receiver gets the properties that came, with what is its own', async (qos) => {
    const topic = uid('many/');
    const name = uid('c');
    const plain = await kit.client(lane);
    await plain.subscribe(topic, qos);
    const old = await kit.client({ ...lane, version: 4 });
    await old.subscribe(topic, qos);
    const identified = await kit.client(lane);
    await identified.subscribe(topic, qos, { subscriptionIds: [7] });
    const aliased = await kit.client(lane, { properties: { topicAliasMaximum: 5 } });
    await aliased.subscribe(topic, qos);
    const narrow = await kit.client(lane, { properties: { maximumPacketSize: 200 } });
    await narrow.subscribe(topic, qos);
    const lower = await kit.client(lane);
    await lower.subscribe(topic, 0);
    const member = await kit.client(lane);
    await member.subscribe(`$share/g/${topic}`, qos);
    const from = await kit.client(lane, { clientId: name });
    await from.subscribe([{ filter: topic, qos, noLocal: true }]);
    const sent = PASSING.flatMap((properties) => [properties, {}, properties]);
    from.send(
      ...sent.map((properties, index) => encode.publish(5, topic, `${index}`, { qos, properties, ...(qos > 0 ? { id: index + 1 } : {}) })),
    );
    const expected = sent.map((properties, index) => ({ payload: `${index}`, properties }));
    for (const to of [plain, lower, member]) expect(await taken(to, sent.length)).toEqual(expected);
    expect(await taken(old, sent.length)).toEqual(expected.map((each) => ({ ...each, properties: {} })));
    expect(await taken(identified, sent.length)).toEqual(
      expected.map((each) => ({ ...each, properties: { subscriptionIds: [7], ...each.properties } })),
    );
    expect(await taken(aliased, sent.length)).toEqual(
      expected.map((each) => ({ ...each, properties: { topicAlias: 1, ...each.properties } })),
    );
    const small = expected.filter(({ properties }) => properties !== RICH && (properties.user?.length ?? 0) < 20);
    expect(await taken(narrow, small.length)).toEqual(small);
    await narrow.ping();
  });
});

async function taken(client: RawClient, count: number): Promise<{ payload: string; properties: Properties }[]> {
  const all: { payload: string; properties: Properties }[] = [];
  for (let i = 0; i < count; i++) {
    const { payload, properties } = await client.take();
    all.push({ payload: payload.toString(), properties });
  }
  return all;
}

describe.concurrent.each(LANES_5)('message expiry, $name', (lane) => {
  test('the interval that is passed on is less by the time of waiting [5:MQTT-3.3.2-6]', async () => {
    const topic = uid('e/');
    const away = { clientId: uid('c'), clean: false, properties: { sessionExpiry: 60 } };
    const later = await kit.client(lane, away);
    await later.subscribe(topic, 1);
    await later.disconnect();
    const live = await kit.client(lane);
    await live.subscribe(topic, 1);
    const from = await kit.client(lane);
    await from.publish(topic, 'x', { qos: 1, retain: true, properties: { messageExpiry: 20 } });
    expect((await live.take()).properties.messageExpiry).toBe(20);
    await sleep(2100);
    const back = await kit.client(lane, away);
    const queued = (await back.take()).properties.messageExpiry!;
    const fresh = await kit.client(lane);
    await fresh.subscribe(topic);
    const retained = (await fresh.take()).properties.messageExpiry!;
    for (const left of [queued, retained]) {
      expect(left).toBeLessThanOrEqual(18);
      expect(left).toBeGreaterThanOrEqual(15);
    }
  });

  test('an expired message is not delivered any more: queued and retained [5:MQTT-3.3.2-5]', async () => {
    const topic = uid('e/');
    const away = { clientId: uid('c'), clean: false, properties: { sessionExpiry: 60 } };
    const later = await kit.client(lane, away);
    await later.subscribe(topic, 1);
    await later.disconnect();
    const from = await kit.client(lane);
    await from.publish(topic, 'short', { qos: 1, retain: true, properties: { messageExpiry: 1 } });
    await from.publish(topic, 'long', { qos: 1, properties: { messageExpiry: 100 } });
    await sleep(1600);
    const back = await kit.client(lane, away);
    expect((await back.take()).payload.toString()).toBe('long');
    await back.silence();
    const fresh = await kit.client(lane);
    await fresh.subscribe(topic);
    await fresh.silence();
  });

  test('a message that was already sent is completed after its expiry [5:MQTT-4.3.3-7, 5:MQTT-4.3.3-13]', async () => {
    const topic = uid('e/');
    const to = await kit.client(lane);
    await to.subscribe(topic, 2);
    const from = await kit.client(lane);
    await from.publish(topic, 'x', { qos: 2, properties: { messageExpiry: 1 } });
    const message = await to.expect('publish');
    await sleep(1300);
    await to.acknowledge(message);
    await to.ping();
  });

  test('a message waiting for a full window expires there', async () => {
    const topic = uid('e/');
    const to = await kit.client(lane, { properties: { receiveMaximum: 1 } });
    await to.subscribe(topic, 1);
    const from = await kit.client(lane);
    await from.publish(topic, 'first', { qos: 1 });
    await from.publish(topic, 'short', { qos: 1, properties: { messageExpiry: 1 } });
    await from.publish(topic, 'last', { qos: 1 });
    const first = await to.expect('publish');
    await sleep(1500);
    await to.acknowledge(first);
    expect((await to.take()).payload.toString()).toBe('last');
    await to.silence();
  });
});

test('a message without properties has none afterwards, whatever lane it goes', async () => {
  const topic = uid('none/');
  const receivers = await Promise.all(LANES.map((lane: Lane) => kit.client(lane)));
  for (const to of receivers) await to.subscribe(topic);
  const from = await kit.client(LANES_5[0]!);
  await from.publish(topic, 'bare');
  for (const to of receivers) expect((await to.take()).properties).toEqual({});
});
