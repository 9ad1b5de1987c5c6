/** Sessions: session present, expiry, the offline queue, and what is sent again on a new connection. */

import { describe, expect, test } from 'vitest';
import * as encode from '../../kit/encode.ts';
import type { Lane } from '../../kit/lanes.ts';
import { LANES, LANES_5, useSharedLanes } from '../../kit/lanes.ts';
import { sleep, uid } from '../../kit/until.ts';

const kit = useSharedLanes();

/** Options of a session that outlives its connection, in every version. */
function lasting(lane: Lane, clientId: string, extra: encode.ConnectOptions = {}): encode.ConnectOptions {
  return { clientId, clean: false, ...extra, properties: { ...(lane.version === 5 ? { sessionExpiry: 60 } : {}), ...extra.properties } };
}

/** MQTT 3.1 has no session present flag. */
function present(lane: Lane, isPresent: boolean): boolean {
  return lane.version > 3 && isPresent;
}

describe.each(LANES)('session, $name', (lane) => {
  test('session present: 0 for a new one, 1 for one that was kept, 0 for clean start [5:MQTT-3.1.2-4, 5:MQTT-3.1.2-5, 5:MQTT-3.1.2-6, 5:MQTT-3.2.2-2, 5:MQTT-3.2.2-3, 5:MQTT-3.1.4-4, 5:MQTT-3.1.3-2, 3:MQTT-3.1.2-4, 3:MQTT-3.1.2-6, 3:MQTT-3.2.2-1, 3:MQTT-3.2.2-2, 3:MQTT-3.2.2-3, 3:MQTT-3.1.4-3, 3:MQTT-3.1.3-2]', async () => {
    const clientId = uid('c');
    const topic = uid('s/');
    const first = await kit.client(lane, lasting(lane, clientId));
    expect(first.connack!.sessionPresent).toBe(false);
    await first.subscribe(topic, 1);
    await first.disconnect();
    const second = await kit.client(lane, lasting(lane, clientId));
    expect(second.connack!.sessionPresent).toBe(present(lane, true));
    // The subscription is part of the session.
    await second.publish(topic, 'x', { qos: 1 });
    await second.take();
    await second.disconnect();
    const third = await kit.client(lane, { ...lasting(lane, clientId), clean: true });
    expect(third.connack!.sessionPresent).toBe(false);
    await third.publish(topic, 'x', { qos: 1 });
    await third.silence(60);
    await third.disconnect();
    const fourth = await kit.client(lane, lasting(lane, clientId));
    // Before MQTT 5 the session of a clean connection ends with it.
    expect(fourth.connack!.sessionPresent).toBe(present(lane, lane.version === 5));
  });

  test('messages of QoS 1 and 2 wait for a client that is away, in order [5:MQTT-4.5.0-1, 5:MQTT-3.1.2-23, 3:MQTT-3.1.2-5, 3:MQTT-4.5.0-1, 3:MQTT-4.1.0-1]', async () => {
    const clientId = uid('c');
    const topic = uid('s/');
    const to = await kit.client(lane, lasting(lane, clientId));
    await to.subscribe(topic, 2);
    await to.cut();
    const from = await kit.client(lane);
    for (let index = 0; index < 60; index++) await from.publish(topic, `${index}`, { qos: index % 2 === 0 ? 1 : 2 });
    const back = await kit.client(lane, lasting(lane, clientId));
    const got: string[] = [];
    while (got.length < 60) {
      const message = await back.take();
      expect(message).toMatchObject({ dup: false, retain: false, qos: got.length % 2 === 0 ? 1 : 2 });
      got.push(message.payload.toString());
    }
    expect(got).toEqual(Array.from({ length: 60 }, (_, index) => `${index}`));
    await back.silence(60);
  });

  test('an acknowledged message does not come again', async () => {
    const clientId = uid('c');
    const topic = uid('s/');
    const to = await kit.client(lane, lasting(lane, clientId));
    await to.subscribe(topic, 2);
    const from = await kit.client(lane);
    await from.publish(topic, 'one', { qos: 1 });
    await from.publish(topic, 'two', { qos: 2 });
    await to.take();
    await to.take();
    await to.ping();
    await to.cut();
    const back = await kit.client(lane, lasting(lane, clientId));
    await back.silence();
  });

  test('unacknowledged QoS 1 and 2 are sent again with DUP and their identifiers, in order [5:MQTT-4.4.0-1, 5:MQTT-3.3.1-1, 5:MQTT-4.3.2-3, 5:MQTT-4.3.3-3, 5:MQTT-4.6.0-1, 5:MQTT-4.1.0-1, 3:MQTT-4.4.0-1, 3:MQTT-3.3.1-1, 3:MQTT-4.6.0-1, 3:MQTT-4.1.0-2]', async () => {
    const clientId = uid('c');
    const topic = uid('s/');
    const to = await kit.client(lane, lasting(lane, clientId));
    await to.subscribe(topic, 2);
    const from = await kit.client(lane);
    for (let index = 0; index < 8; index++) await from.publish(topic, `${index}`, { qos: index % 2 === 0 ? 1 : 2 });
    const first = await to.publishes(8);
    await to.cut();
    const back = await kit.client(lane, lasting(lane, clientId));
    const again = await back.publishes(8);
    expect(again.map(({ id, qos, payload }) => [id, qos, payload.toString()])).toEqual(
      first.map(({ id, qos, payload }) => [id, qos, payload.toString()]),
    );
    expect(again.every((message) => message.dup)).toBe(true);
    for (const message of again) await back.acknowledge(message);
    await back.silence(60);
  });

  test('after PUBREC the PUBREL is sent again, and not the PUBLISH [5:MQTT-4.3.3-5, 5:MQTT-4.3.3-6]', async () => {
    const clientId = uid('c');
    const topic = uid('s/');
    const to = await kit.client(lane, lasting(lane, clientId));
    await to.subscribe(topic, 2);
    const from = await kit.client(lane);
    await from.publish(topic, 'released', { qos: 2 });
    await from.publish(topic, 'waiting', { qos: 2 });
    const [released, waiting] = await to.publishes(2);
    to.send(encode.pubrec(released!.id));
    await to.expect('pubrel');
    await to.cut();
    const back = await kit.client(lane, lasting(lane, clientId));
    const packets = [await back.next(), await back.next()];
    expect(packets).toContainEqual(expect.objectContaining({ type: 'pubrel', id: released!.id }));
    expect(packets).toContainEqual(expect.objectContaining({ type: 'publish', id: waiting!.id, dup: true }));
    back.send(encode.pubcomp(released!.id));
    await back.acknowledge(waiting!);
    await back.silence(60);
  });

  test('the QoS 2 identifiers that a client sent are remembered: a repetition after reconnect is delivered once', async () => {
    const clientId = uid('c');
    const topic = uid('s/');
    const to = await kit.client(lane);
    await to.subscribe(topic, 2);
    const from = await kit.client(lane, lasting(lane, clientId));
    from.send(
      encode.publish(lane.version, topic, 'once', { qos: 2, id: 40 }),
      encode.publish(lane.version, topic, 'twice?', { qos: 2, id: 41 }),
    );
    await from.expect('pubrec');
    await from.expect('pubrec');
    await from.cut();
    const back = await kit.client(lane, lasting(lane, clientId));
    back.send(encode.publish(lane.version, topic, 'once', { qos: 2, id: 40, dup: true }), encode.pubrel(41));
    const answers = [await back.next(), await back.next()];
    expect(answers).toContainEqual(expect.objectContaining({ type: 'pubrec', id: 40 }));
    expect(answers).toContainEqual(expect.objectContaining({ type: 'pubcomp', id: 41, code: 0 }));
    back.send(encode.pubrel(40));
    expect(await back.expect('pubcomp')).toMatchObject({ id: 40, code: 0 });
    // A server may pass them on at PUBLISH or at PUBREL, so their order is open.
    expect([(await to.take()).payload.toString(), (await to.take()).payload.toString()].toSorted()).toEqual(['once', 'twice?']);
    await to.silence(60);
  });

  test('new identifiers do not collide with those in flight from before', async () => {
    const clientId = uid('c');
    const topic = uid('s/');
    const to = await kit.client(lane, lasting(lane, clientId));
    await to.subscribe(topic, 1);
    const from = await kit.client(lane);
    for (let index = 0; index < 3; index++) await from.publish(topic, `old${index}`, { qos: 1 });
    await to.publishes(3);
    await to.cut();
    const back = await kit.client(lane, lasting(lane, clientId));
    for (let index = 0; index < 5; index++) await from.publish(topic, `new${index}`, { qos: 1 });
    const ids = (await back.publishes(8)).map((message) => message.id);
    expect(new Set(ids).size).toBe(8);
  });

  test('a clean session is over with its connection', async () => {
    const clientId = uid('c');
    const topic = uid('s/');
    const first = await kit.client(lane, { clientId, clean: true });
    await first.subscribe(topic, 1);
    await first.disconnect();
    const from = await kit.client(lane);
    await from.publish(topic, 'x', { qos: 1 });
    const second = await kit.client(lane, lasting(lane, clientId));
    expect(second.connack!.sessionPresent).toBe(false);
    await second.silence(60);
  });

  test('a session may return over another transport, port and worker', async () => {
    const clientId = uid('c');
    const topic = uid('s/');
    const to = await kit.client(lane, lasting(lane, clientId));
    await to.subscribe(topic, 1);
    const from = await kit.client(lane);
    for (const endpoint of ['ws3', 'tcp3', 'ws1', 'tcp1', 'tcp3'] as const) {
      await from.publish(topic, endpoint, { qos: 1 });
      const back = await kit.client({ ...lane, endpoint }, lasting(lane, clientId));
      expect(back.connack!.sessionPresent).toBe(present(lane, true));
      expect((await back.take()).payload.toString()).toBe(endpoint);
      await back.disconnect();
    }
  });
});

describe('session across versions', () => {
  test('a session of 3.1.1 is resumed with 5.0 and back', async () => {
    const [v4, v5] = [LANES.find((lane) => lane.version === 4)!, LANES_5[0]!];
    const clientId = uid('c');
    const topic = uid('s/');
    const first = await kit.client(v4, lasting(v4, clientId));
    await first.subscribe(topic, 1);
    await first.disconnect();
    const from = await kit.client(v5);
    await from.publish(topic, 'a', { qos: 1, properties: { user: [['k', 'v']] } });
    const second = await kit.client(v5, lasting(v5, clientId));
    expect(second.connack!.sessionPresent).toBe(true);
    expect(await second.take()).toMatchObject({ payload: Buffer.from('a'), properties: { user: [['k', 'v']] } });
    await second.disconnect();
    await from.publish(topic, 'b', { qos: 1, properties: { user: [['k', 'v']] } });
    const third = await kit.client(v4, lasting(v4, clientId));
    expect(third.connack!.sessionPresent).toBe(true);
    expect(await third.take()).toMatchObject({ payload: Buffer.from('b'), properties: {} });
  });
});

describe.concurrent.each(LANES_5)('session expiry, $name', (lane) => {
  const options = (clientId: string, sessionExpiry?: number): encode.ConnectOptions => ({
    clientId,
    clean: false,
    properties: sessionExpiry === undefined ? {} : { sessionExpiry },
  });

  test('0 or absent: the session ends with the connection', async () => {
    for (const expiry of [undefined, 0]) {
      const clientId = uid('c');
      const first = await kit.client(lane, options(clientId, expiry));
      await first.cut();
      const second = await kit.client(lane, options(clientId, 60));
      expect(second.connack!.sessionPresent).toBe(false);
    }
  });

  test('after the interval the session is gone, before it is there [5:MQTT-4.1.0-2]', async () => {
    const [gone, there] = [uid('c'), uid('c')];
    await (await kit.client(lane, options(gone, 1))).cut();
    await (await kit.client(lane, options(there, 10))).cut();
    await sleep(2200);
    expect((await kit.client(lane, options(gone, 1))).connack!.sessionPresent).toBe(false);
    expect((await kit.client(lane, options(there, 10))).connack!.sessionPresent).toBe(true);
  });

  test('the interval runs from the end of the connection, not from its start', async () => {
    const clientId = uid('c');
    const first = await kit.client(lane, options(clientId, 1));
    await sleep(1500);
    await first.cut();
    expect((await kit.client(lane, options(clientId, 1))).connack!.sessionPresent).toBe(true);
  });

  test('0xFFFFFFFF never ends', async () => {
    const clientId = uid('c');
    await (await kit.client(lane, options(clientId, 0xffffffff))).disconnect();
    expect((await kit.client(lane, options(clientId, 0))).connack!.sessionPresent).toBe(true);
  });

  test('a new connection sets a new interval', async () => {
    const clientId = uid('c');
    await (await kit.client(lane, options(clientId, 60))).cut();
    const second = await kit.client(lane, options(clientId));
    expect(second.connack!.sessionPresent).toBe(true);
    await second.cut();
    expect((await kit.client(lane, options(clientId, 60))).connack!.sessionPresent).toBe(false);
  });

  test('DISCONNECT may change it, but not from 0 to more', async () => {
    const [shorter, longer, never] = [uid('c'), uid('c'), uid('c')];
    await (await kit.client(lane, options(shorter, 60))).disconnect(0, { sessionExpiry: 0 });
    expect((await kit.client(lane, options(shorter, 60))).connack!.sessionPresent).toBe(false);
    await (await kit.client(lane, options(longer, 1))).disconnect(0, { sessionExpiry: 60 });
    await sleep(1500);
    expect((await kit.client(lane, options(longer, 60))).connack!.sessionPresent).toBe(true);
    const client = await kit.client(lane, options(never, 0));
    client.send(encode.disconnect(0, { sessionExpiry: 60 }));
    await client.refused(0x82);
    expect((await kit.client(lane, options(never, 60))).connack!.sessionPresent).toBe(false);
  });

  test('the queue of an expired session is not given to the next one', async () => {
    const clientId = uid('c');
    const topic = uid('s/');
    const first = await kit.client(lane, options(clientId, 1));
    await first.subscribe(topic, 1);
    await first.cut();
    const from = await kit.client(lane);
    await from.publish(topic, 'x', { qos: 1 });
    await sleep(2200);
    const second = await kit.client(lane, options(clientId, 60));
    expect(second.connack!.sessionPresent).toBe(false);
    await from.publish(topic, 'y', { qos: 1 });
    await second.silence();
  });
});
