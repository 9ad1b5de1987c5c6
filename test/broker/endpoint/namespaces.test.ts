/** Namespaces: endpoints of one namespace share topics, identifiers and sessions; those of others do not. */

import { expect, test } from 'vitest';
import { connected, useBroker } from '../../kit/lanes.ts';
import { uid } from '../../kit/until.ts';

const open = { enableAuth: false, maxConnectionPerSecond: 100_000 };
const held = useBroker(() => ({
  endpoints: [
    { ...open, namespace: 'red' },
    { ...open, namespace: 'red', useWebsocket: true, serverOptions: { workerGroupSize: 2 } },
    { ...open, namespace: 'blue', serverOptions: { workerGroupSize: 2 } },
    { ...open, namespace: 'blue', exclusivePool: false },
    { ...open, namespace: 'green', exclusivePool: false },
  ],
}));
const RED = ['tcp', 0] as const;
const RED_WS = ['ws', 1] as const;
const BLUE = ['tcp', 2] as const;
const BLUE_SHARED = ['tcp', 3] as const;
const GREEN_SHARED = ['tcp', 4] as const;
const at = ([transport, index]: readonly ['tcp' | 'ws', number], options = {}) =>
  connected(transport, held.broker.ports[index]!, 5, options);

test('messages, wills and retained messages stay in their namespace', async () => {
  const topic = uid('n/');
  const places = [RED, RED_WS, BLUE, BLUE_SHARED, GREEN_SHARED];
  const receivers = [];
  for (const place of places) {
    const client = await at(place);
    await client.subscribe(topic, 1);
    receivers.push(client);
  }
  const sender = await at(RED);
  await sender.publish(topic, 'red', { qos: 1, retain: true });
  const leaver = await at(BLUE, { will: { topic, payload: 'blue will', qos: 1 } });
  leaver.destroy();
  const expected = ['red', 'red', 'blue will', 'blue will', null];
  for (const [index, text] of expected.entries()) {
    if (text !== null) expect((await receivers[index]!.take()).payload.toString()).toBe(text);
    await receivers[index]!.silence(60);
  }
  for (const [index, place] of places.entries()) {
    const late = await at(place);
    await late.subscribe(topic, 1);
    if (index < 2) expect((await late.take()).payload.toString()).toBe('red');
    else await late.silence(60);
  }
});

test('the same client identifier may be connected once in each namespace', async () => {
  const clientId = uid('c');
  const red = await at(RED, { clientId });
  const blue = await at(BLUE, { clientId });
  const green = await at(GREEN_SHARED, { clientId });
  for (const client of [red, blue, green]) await client.ping();
  const redder = await at(RED_WS, { clientId });
  await red.refused(0x8e);
  for (const client of [redder, blue, green]) await client.ping();
});

test('sessions are separate', async () => {
  const clientId = uid('c');
  const options = { clientId, clean: false, properties: { sessionExpiry: 60 } };
  const red = await at(RED, options);
  await red.subscribe(uid('n/'), 1);
  await red.disconnect();
  expect((await at(BLUE, options)).connack!.sessionPresent).toBe(false);
  expect((await at(RED_WS, options)).connack!.sessionPresent).toBe(true);
});

test('shared subscriptions are separate', async () => {
  const topic = uid('n/');
  const red = await at(RED);
  await red.subscribe(`$share/g/${topic}`, 1);
  const blue = await at(BLUE_SHARED);
  await blue.subscribe(`$share/g/${topic}`, 1);
  const sender = await at(RED_WS);
  for (let index = 0; index < 6; index++) await sender.publish(topic, `${index}`, { qos: 1 });
  const got = [];
  for (let index = 0; index < 6; index++) got.push((await red.take()).payload.toString());
  expect(got).toEqual(['0', '1', '2', '3', '4', '5']);
  await blue.silence();
});
