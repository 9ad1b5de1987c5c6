/** Topic aliases of MQTT 5, from the client and to the client. */

import { describe, expect, test } from 'vitest';
import { LANES_5, useSharedLanes } from '../../kit/lanes.ts';
import { uid } from '../../kit/until.ts';

const kit = useSharedLanes();

describe.each(LANES_5)('topic alias from the client, $name', (lane) => {
  test('is set, used and set anew, up to the maximum told [5:MQTT-3.3.2-12, 5:MQTT-3.2.2-17]', async () => {
    const base = uid('ta/');
    const to = await kit.client(lane);
    await to.subscribe(`${base}/#`, 1);
    const from = await kit.client(lane);
    const maximum = from.connack!.properties.topicAliasMaximum!;
    expect(maximum).toBeGreaterThan(0);
    for (const alias of new Set([1, Math.ceil(maximum / 2), maximum])) {
      await from.publish(`${base}/${alias}`, 'set', { qos: 1, properties: { topicAlias: alias } });
      await from.publish('', 'used', { qos: 1, properties: { topicAlias: alias } });
      await from.publish(`${base}/other`, 'set anew', { properties: { topicAlias: alias } });
      await from.publish('', 'used anew', { properties: { topicAlias: alias } });
      const topics = [];
      for (let index = 0; index < 4; index++) {
        const message = await to.take();
        // The alias is between one client and the broker: it is not passed on.
        expect(message.properties.topicAlias).toBeUndefined();
        topics.push(message.topic);
      }
      expect(topics).toEqual([`${base}/${alias}`, `${base}/${alias}`, `${base}/other`, `${base}/other`]);
    }
  });

  test('over the maximum ends the connection with 0x94 [5:MQTT-3.3.2-9]', async () => {
    const client = await kit.client(lane);
    const maximum = client.connack!.properties.topicAliasMaximum!;
    await client.publish('a', 'x', { properties: { topicAlias: maximum + 1 } });
    await client.refused(0x94);
  });

  test('is forgotten with the connection [5:MQTT-3.3.2-7]', async () => {
    const options = { clientId: uid('c'), clean: false, properties: { sessionExpiry: 60 } };
    const first = await kit.client(lane, options);
    await first.publish(uid('ta/'), 'x', { qos: 1, properties: { topicAlias: 1 } });
    await first.cut();
    const second = await kit.client(lane, options);
    await second.publish('', 'x', { properties: { topicAlias: 1 } });
    await second.refused(0x82, 0x94);
  });

  test('belongs to one connection', async () => {
    const [topicA, topicB] = [uid('ta/'), uid('ta/')];
    const to = await kit.client(lane);
    await to.subscribe([{ filter: topicA }, { filter: topicB }]);
    const [a, b] = [await kit.client(lane), await kit.client(lane)];
    await a.publish(topicA, '1', { properties: { topicAlias: 1 } });
    expect((await to.take()).topic).toBe(topicA);
    await b.publish(topicB, '2', { properties: { topicAlias: 1 } });
    expect((await to.take()).topic).toBe(topicB);
    await a.publish('', '3', { properties: { topicAlias: 1 } });
    expect((await to.take()).topic).toBe(topicA);
  });

  test('a retained message and one with QoS 2 may use it', async () => {
    const topic = uid('ta/');
    const from = await kit.client(lane);
    await from.publish(topic, 'kept', { qos: 2, retain: true, properties: { topicAlias: 2 } });
    await from.publish('', 'newer', { qos: 2, retain: true, properties: { topicAlias: 2 } });
    const to = await kit.client(lane);
    await to.subscribe(topic);
    expect(await to.take()).toMatchObject({ topic, retain: true, payload: Buffer.from('newer') });
  });
});

describe.each(LANES_5)('topic alias to the client, $name', (lane) => {
  test('is used within what the client allows, and every message has its topic [5:MQTT-3.1.2-26, 5:MQTT-3.3.2-11, 5:MQTT-3.3.2-8]', async () => {
    const base = uid('ta/');
    const maximum = 2;
    const to = await kit.client(lane, { properties: { topicAliasMaximum: maximum } });
    await to.subscribe(`${base}/#`, 1);
    const from = await kit.client(lane);
    const sent: string[] = [];
    for (let index = 0; index < 60; index++) {
      // Two busy topics and many rare ones.
      const topic = `${base}/${index % 3 === 2 ? `rare${index}` : `busy${index % 3}`}`;
      sent.push(topic);
      await from.publish(topic, `${index}`, { qos: (index % 2) as 0 | 1 });
    }
    const aliases = new Map<number, string>();
    const got: string[] = [];
    let saved = 0;
    for (let index = 0; index < 60; index++) {
      const { topic, properties } = await to.take();
      const alias = properties.topicAlias;
      if (alias !== undefined) {
        expect(alias).toBeGreaterThan(0);
        expect(alias).toBeLessThanOrEqual(maximum);
        if (topic !== '') aliases.set(alias, topic);
        else saved++;
      }
      got.push(topic === '' ? aliases.get(alias!)! : topic);
    }
    expect(got.toSorted()).toEqual(sent.toSorted());
    expect(saved, 'messages without topic').toBeGreaterThan(0);
  });

  test('is not used without Topic Alias Maximum, nor with 0 [5:MQTT-3.1.2-27]', async () => {
    for (const properties of [{}, { topicAliasMaximum: 0 }]) {
      const topic = uid('ta/');
      const to = await kit.client(lane, { properties });
      await to.subscribe(topic, 1);
      const from = await kit.client(lane);
      for (let index = 0; index < 20; index++) {
        await from.publish(topic, 'x', { qos: 1 });
        expect(await to.take()).toMatchObject({ topic, properties: {} });
      }
    }
  });

  test('starts anew on a new connection of the session [5:MQTT-3.3.2-7]', async () => {
    const topic = uid('ta/');
    const options = { clientId: uid('c'), clean: false, properties: { sessionExpiry: 60, topicAliasMaximum: 5 } };
    const first = await kit.client(lane, options);
    await first.subscribe(topic, 1);
    const from = await kit.client(lane);
    for (let index = 0; index < 5; index++) {
      await from.publish(topic, 'x', { qos: 1 });
      await first.take();
    }
    await from.publish(topic, 'unacknowledged', { qos: 1 });
    await first.expect('publish');
    await first.cut();
    const second = await kit.client(lane, options);
    expect((await second.take()).topic).toBe(topic);
  });
});
