/** Keep alive, PINGREQ and the end of silent connections. */

import { describe, expect, test } from 'vitest';
import * as encode from '../../kit/encode.ts';
import { connected, LANES, useBroker, useSharedLanes } from '../../kit/lanes.ts';
import { sleep, uid } from '../../kit/until.ts';

const kit = useSharedLanes();

describe.concurrent.each(LANES)('keep alive, $name', (lane) => {
  test('a client that is silent for 1.5 keep alives is closed [5:MQTT-3.1.2-22, 5:MQTT-3.2.2-22, 3:MQTT-3.1.2-24]', async () => {
    const client = await kit.client(lane, { keepAlive: 1 });
    const start = performance.now();
    await client.refused(0x8d);
    const lasted = performance.now() - start;
    expect(lasted).toBeGreaterThan(1300);
    expect(lasted).toBeLessThan(4000);
  });

  test('PINGREQ is answered and keeps the connection [5:MQTT-3.12.4-1, 3:MQTT-3.12.4-1]', async () => {
    const client = await kit.client(lane, { keepAlive: 1 });
    for (let index = 0; index < 4; index++) {
      await sleep(800);
      await client.ping();
    }
  });

  test('any packet keeps the connection, also one of many parts', async () => {
    const client = await kit.client(lane, { keepAlive: 1 });
    const topic = uid('k/');
    for (let index = 0; index < 3; index++) {
      await sleep(800);
      await client.publish(topic, 'x');
    }
    await client.ping();
  });

  test('keep alive 0 turns it off', async () => {
    const client = await kit.client(lane, { keepAlive: 0 });
    await sleep(3000);
    await client.ping();
  });

  test('what the broker sends does not count for the client', async () => {
    const topic = uid('k/');
    const silent = await kit.client(lane, { keepAlive: 1 });
    await silent.subscribe(topic);
    const talker = await kit.client(lane);
    const timer = setInterval(() => talker.send(encode.publish(lane.version, topic, 'x')), 200);
    try {
      await silent.closed(4000);
    } finally {
      clearInterval(timer);
    }
  });

  test('no Server Keep Alive means that the one of the client holds', async () => {
    const client = await kit.client(lane, { keepAlive: 1 });
    expect(client.connack!.properties.serverKeepAlive).toBeUndefined();
  });
});

describe.concurrent('maxKeepAlive', () => {
  const held = useBroker(() => ({ endpoints: [{ enableAuth: false, maxKeepAlive: 2 }] }));
  const connect = (version: encode.Version, keepAlive: number) => connected('tcp', held.broker.ports[0]!, version, { keepAlive });

  test.each([60, 0, 3])('an MQTT 5 client that asks for %i gets the one that holds, and it holds [5:MQTT-3.1.2-22]', async (asked) => {
    const start = performance.now();
    const client = await connect(5, asked);
    expect(client.connack!.properties.serverKeepAlive).toBe(2);
    await client.refused(0x8d);
    const lasted = performance.now() - start;
    expect(lasted).toBeGreaterThan(2800);
    expect(lasted).toBeLessThan(5500);
  });

  test.each([1, 2])('one that asks for %i has what it asked for [5:MQTT-3.2.2-22]', async (asked) => {
    const client = await connect(5, asked);
    expect(client.connack!.properties.serverKeepAlive).toBeUndefined();
  });

  test.each([3, 4] as const)('version %i cannot get another one: what the client asked for holds', async (version) => {
    const [none, long] = [await connect(version, 0), await connect(version, 60)];
    await sleep(4500);
    await none.ping();
    await long.ping();
  });
});
