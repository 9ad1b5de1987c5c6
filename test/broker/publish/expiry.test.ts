/** Message Expiry Interval: small values, to who is there and to who comes later. */

import { describe, expect, test } from 'vitest';
import * as encode from '../../kit/encode.ts';
import { LANES_5, useSharedLanes } from '../../kit/lanes.ts';
import { sleep, uid } from '../../kit/until.ts';

const kit = useSharedLanes();
const PERSISTENT = { clean: false, properties: { sessionExpiry: 300 } };
const seconds = (messageExpiry: number) => ({ properties: { messageExpiry } });

describe.each(LANES_5)('Message Expiry Interval, $name', (lane) => {
  test.each([0, 1, 2] as const)('0 reaches who is there, at QoS %i, and says so [5:MQTT-3.3.2-5, 5:MQTT-3.3.2-6]', async (qos) => {
    const topic = uid('e/');
    const there = await kit.client(lane);
    await there.subscribe(topic, 2);
    const shared = await kit.client(lane);
    await shared.subscribe(`$share/g/${topic}`, 2);
    const old = await kit.client({ ...lane, version: 4 });
    await old.subscribe(topic, 2);
    const from = await kit.client(lane);
    await from.publish(topic, 'now', { qos, ...seconds(0) });
    for (const to of [there, shared]) expect(await to.take()).toMatchObject({ qos, properties: { messageExpiry: 0 } });
    expect(await old.take()).toMatchObject({ qos });
  });

  test('0 in a will reaches who is there', async () => {
    const topic = uid('e/');
    const there = await kit.client(lane);
    await there.subscribe(topic, 1);
    const will = { topic, payload: 'gone', qos: 1 as const, properties: { messageExpiry: 0 } };
    (await kit.client(lane, { will })).destroy();
    expect(await there.take()).toMatchObject({ payload: Buffer.from('gone'), properties: { messageExpiry: 0 } });
    const late = { topic, payload: 'late', qos: 1 as const, properties: { messageExpiry: 0, willDelay: 1 } };
    (await kit.client(lane, { ...PERSISTENT, will: late })).destroy();
    expect(await there.take()).toMatchObject({ payload: Buffer.from('late'), properties: { messageExpiry: 0 } });
  });

  test('0 is retained for nobody who comes later, and replaces what was retained', async () => {
    const topic = uid('e/');
    const there = await kit.client(lane);
    await there.subscribe(topic, 1);
    const from = await kit.client(lane);
    await from.publish(topic, 'before', { qos: 1, retain: true });
    expect((await there.take()).payload.toString()).toBe('before');
    await from.publish(topic, 'now', { qos: 1, retain: true, ...seconds(0) });
    expect((await there.take()).payload.toString()).toBe('now');
    const later = await kit.client(lane);
    await later.subscribe(topic, 1);
    await later.silence();
  });

  test('0 does not wait: neither for a client that is away nor behind a full window', async () => {
    const topic = uid('e/');
    const away = { ...PERSISTENT, clientId: uid('c') };
    const gone = await kit.client(lane, away);
    await gone.subscribe(topic, 2);
    await gone.disconnect();
    const busy = await kit.client(lane, { properties: { receiveMaximum: 1 } });
    await busy.subscribe(topic, 1);
    const from = await kit.client(lane);
    await from.publish(topic, 'first', { qos: 1 });
    const { id } = await busy.expect('publish');
    for (const qos of [1, 2] as const) await from.publish(topic, 'now', { qos, ...seconds(0) });
    await from.publish(topic, 'last', { qos: 1 });
    busy.send(encode.puback(id));
    expect((await busy.expect('publish')).payload.toString()).toBe('last');
    const back = await kit.client(lane, away);
    expect((await back.take()).payload.toString()).toBe('first');
    expect((await back.take()).payload.toString()).toBe('last');
  });

  test('what waited is sent with what is left, and not once it has expired', async () => {
    const topic = uid('e/');
    const away = { ...PERSISTENT, clientId: uid('c') };
    const gone = await kit.client(lane, away);
    await gone.subscribe(topic, 1);
    await gone.disconnect();
    const from = await kit.client(lane);
    await from.publish(topic, 'short', { qos: 1, ...seconds(1) });
    await from.publish(topic, 'long', { qos: 1, ...seconds(100) });
    await from.publish(topic, 'longest', { qos: 1, ...seconds(4294967295) });
    await sleep(2_100);
    const back = await kit.client(lane, away);
    const long = await back.take();
    expect(long.payload.toString()).toBe('long');
    expect(long.properties.messageExpiry).toBeGreaterThanOrEqual(90);
    expect(long.properties.messageExpiry).toBeLessThanOrEqual(98);
    const longest = await back.take();
    expect(longest.payload.toString()).toBe('longest');
    expect(longest.properties.messageExpiry).toBeGreaterThan(4294967000);
    await back.silence();
  });

  test('what a member of a shared subscription left behind is not given to another one once it has expired', async () => {
    const topic = uid('e/');
    const filter = `$share/g/${topic}`;
    const first = await kit.client(lane, { properties: { receiveMaximum: 1 } });
    await first.subscribe(filter, 1);
    const from = await kit.client(lane);
    for (const text of ['a', 'b']) await from.publish(topic, text, { qos: 1, ...seconds(1) });
    await from.publish(topic, 'c', { qos: 1, ...seconds(100) });
    expect((await first.expect('publish')).payload.toString()).toBe('a');
    await sleep(1_200);
    const second = await kit.client(lane);
    await second.subscribe(filter, 1);
    first.destroy();
    expect((await second.take()).payload.toString()).toBe('c');
    await second.silence();
  });
});
