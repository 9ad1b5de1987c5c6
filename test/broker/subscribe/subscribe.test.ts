/** SUBSCRIBE, UNSUBSCRIBE, their answers, and the options of a subscription. */

import { describe, expect, test } from 'vitest';
import * as encode from '../../kit/encode.ts';
import { LANES, LANES_5, useLanes, VERSIONS } from '../../kit/lanes.ts';
import { uid } from '../../kit/until.ts';

const kit = useLanes();
const MALFORMED = 0x81;
const PROTOCOL = 0x82;
/** [MQTT-4.8.2-1] [MQTT-4.8.2-2] */
const ILL_FORMED_SHARES = [
  '$share/',
  '$share/g',
  '$share/g/',
  '$share//a',
  '$share/+/a',
  '$share/g+/a',
  '$share/g#/a',
  '$share/#',
  '$share/a+b/c',
  '$share/g/a+',
];

describe.each(LANES)('SUBSCRIBE, $name', (lane) => {
  test('is answered by SUBACK with its identifier and one code for each filter, in order [5:MQTT-3.8.4-1, 5:MQTT-3.8.4-2, 5:MQTT-3.8.4-5, 5:MQTT-3.8.4-6, 5:MQTT-3.8.4-7, 5:MQTT-3.9.3-1, 5:MQTT-3.9.3-2, 5:MQTT-2.2.1-6, 3:MQTT-3.8.4-1, 3:MQTT-3.8.4-2, 3:MQTT-3.8.4-4, 3:MQTT-3.8.4-5, 3:MQTT-3.9.3-1, 3:MQTT-3.9.3-2, 3:MQTT-2.3.1-7]', async () => {
    const client = await kit.client(lane);
    const base = uid('s/');
    const filters = ([2, 0, 1, 0, 2] as const).map((qos, index) => ({ filter: `${base}/${index}`, qos }));
    client.send(encode.subscribe(lane.version, 54321, filters));
    expect(await client.expect('suback')).toMatchObject({ id: 54321, codes: [2, 0, 1, 0, 2] });
    for (let index = 0; index < 5; index++) {
      await client.publish(`${base}/${index}`, `${index}`);
      expect((await client.take()).topic).toBe(`${base}/${index}`);
    }
  });

  test('a message published on any worker after the SUBACK arrives', async () => {
    for (let round = 0; round < 10; round++) {
      const topic = uid('s/');
      const [to, from] = await Promise.all([kit.client(lane), kit.client(lane)]);
      await to.subscribe(topic, 1);
      await from.publish(topic, `${round}`, { qos: 1 });
      expect((await to.take()).payload.toString()).toBe(`${round}`);
      await Promise.all([to.disconnect(), from.disconnect()]);
    }
  });

  test('of the same filter again replaces the subscription [5:MQTT-3.8.4-3, 3:MQTT-3.8.4-3]', async () => {
    const client = await kit.client(lane);
    const from = await kit.client(lane);
    const topic = uid('s/');
    await client.subscribe(topic, 0);
    await client.subscribe(topic, 2);
    await from.publish(topic, 'a', { qos: 2 });
    expect((await client.take()).qos).toBe(2);
    await client.subscribe(topic, 0);
    await from.publish(topic, 'b', { qos: 2 });
    expect((await client.take()).qos).toBe(0);
    await client.silence();
    await client.unsubscribe(topic);
    await from.publish(topic, 'c', { qos: 2 });
    await client.silence();
  });

  test('loses no message while it replaces a subscription [5:MQTT-3.8.4-4]', async () => {
    const topic = uid('s/');
    const to = await kit.client(lane);
    await to.subscribe(topic, 0);
    const from = await kit.client(lane);
    for (let index = 0; index < 200; index++) {
      from.send(encode.publish(lane.version, topic, `${index}`));
      if (index % 10 === 0) to.send(encode.subscribe(lane.version, index + 1, [{ filter: topic }]));
    }
    const got: string[] = [];
    while (got.length < 200) {
      const packet = await to.next();
      if (packet.type === 'publish') got.push(packet.payload.toString());
    }
    expect(got).toEqual(Array.from({ length: 200 }, (_, index) => `${index}`));
  });

  test('overlapping subscriptions: the message comes with the highest QoS [5:MQTT-3.3.4-2, 3:MQTT-3.3.5-1]', async () => {
    const base = uid('s/');
    const to = await kit.client(lane);
    await to.subscribe([
      { filter: `${base}/#`, qos: 0 },
      { filter: `${base}/+`, qos: 2 },
      { filter: `${base}/x`, qos: 1 },
    ]);
    const from = await kit.client(lane);
    await from.publish(`${base}/x`, 'm', { qos: 2 });
    expect((await to.take()).qos).toBe(2);
    // One message for all of them (the standard allows several; this broker sends one).
    await to.silence();
  });

  test('a client gets its own messages when it subscribes to them', async () => {
    const client = await kit.client(lane);
    const topic = uid('s/');
    await client.subscribe(topic, 1);
    client.send(encode.publish(lane.version, topic, 'own', { qos: 1, id: 4 }));
    const both = [await client.next(), await client.next()];
    expect(both.map((packet) => packet.type).toSorted()).toEqual(['puback', 'publish']);
  });

  test('an ill-formed filter ends the connection, and nothing of its packet holds [5:MQTT-4.7.1-1, 5:MQTT-4.7.1-2, 5:MQTT-4.7.3-1, 3:MQTT-4.7.1-2, 3:MQTT-4.7.1-3, 3:MQTT-4.7.3-1]', async () => {
    const stays = { clean: false, ...(lane.version === 5 ? { properties: { sessionExpiry: 60 } } : {}) };
    const from = await kit.client(lane);
    for (const bad of [
      '',
      'a/#/b',
      'a#',
      '#/a',
      '##',
      'a+',
      '+a',
      'a/+b',
      '+a/b',
      'a/b#',
      '/#/',
      '++',
      'a\0b',
      '$queue/',
      ...ILL_FORMED_SHARES,
    ]) {
      const clientId = uid('c');
      const [had, good] = [uid('s/'), uid('s/')];
      const client = await kit.client(lane, { clientId, ...stays });
      await client.subscribe(had);
      client.send(encode.subscribe(lane.version, 7, [{ filter: good }, { filter: bad }, { filter: good }]));
      await client.refused(PROTOCOL, MALFORMED);
      // UNSUBSCRIBE likewise: what it names beside is still subscribed.
      const again = await kit.client(lane, { clientId, ...stays });
      again.send(encode.unsubscribe(lane.version, 8, [had, bad]));
      await again.refused(PROTOCOL, MALFORMED);
      const back = await kit.client(lane, { clientId, ...stays });
      await from.publish(good, 'never');
      await from.publish(had, 'still');
      expect((await back.take()).payload.toString(), bad).toBe('still');
      await back.disconnect();
    }
  });
});

describe.each(LANES)('UNSUBSCRIBE, $name', (lane) => {
  test('is answered by UNSUBACK with its identifier, also for what was never subscribed [5:MQTT-3.10.4-4, 5:MQTT-3.10.4-5, 3:MQTT-3.10.4-4, 3:MQTT-3.10.4-5]', async () => {
    const client = await kit.client(lane);
    const topic = uid('u/');
    await client.subscribe(topic);
    client.send(encode.unsubscribe(lane.version, 777, [topic]), encode.unsubscribe(lane.version, 778, [uid('never/')]));
    const [had, never] = [await client.expect('unsuback'), await client.expect('unsuback')];
    expect([had.id, never.id]).toEqual([777, 778]);
    if (lane.version === 5) expect([had.codes, never.codes]).toEqual([[0x00], [0x11]]);
  });

  test('stops new messages and compares filters character by character [5:MQTT-3.10.4-1, 5:MQTT-3.10.4-2, 3:MQTT-3.10.4-1, 3:MQTT-3.10.4-2]', async () => {
    const base = uid('u/');
    const client = await kit.client(lane);
    await client.subscribe([`${base}/+`, `${base}/x/#`, `${base}/A`]);
    // None of these is one of them.
    await client.unsubscribe(`${base}/#`, `${base}/x`, `${base}/a`, `${base}/+/#`);
    const from = await kit.client(lane);
    await from.publish(`${base}/x`, 'still');
    await client.take();
    await client.unsubscribe(`${base}/+`);
    await from.publish(`${base}/y`, 'gone');
    await from.publish(`${base}/x/1`, 'stays');
    expect((await client.take()).payload.toString()).toBe('stays');
    await client.silence();
  });

  test('of several filters is one answer with one code each, in order [5:MQTT-3.10.4-6, 5:MQTT-3.11.3-1, 5:MQTT-3.11.3-2, 3:MQTT-3.10.4-6]', async () => {
    const base = uid('u/');
    const client = await kit.client(lane);
    await client.subscribe([`${base}/1`, `${base}/2`, `${base}/3`]);
    const unsuback = await client.unsubscribe(`${base}/1`, `${base}/none`, `${base}/3`);
    expect(unsuback.codes).toEqual(lane.version === 5 ? [0, 0x11, 0] : []);
    for (const leaf of ['1', '2', '3']) await client.publish(`${base}/${leaf}`, leaf);
    expect((await client.take()).payload.toString()).toBe('2');
    await client.silence();
  });

  test('lets a message in flight come to its end [5:MQTT-3.10.4-3, 3:MQTT-3.10.4-3]', async () => {
    const topic = uid('u/');
    const to = await kit.client(lane);
    await to.subscribe(topic, 2);
    const from = await kit.client(lane);
    await from.publish(topic, 'two', { qos: 2 });
    const message = await to.expect('publish');
    await to.unsubscribe(topic);
    await to.acknowledge(message);
    await to.ping();
  });
});

describe.each(LANES_5)('subscription options, $name', (lane) => {
  test('No Local keeps a client from its own messages and from no others [5:MQTT-3.8.3-3]', async () => {
    const topic = uid('nl/');
    const self = await kit.client(lane);
    await self.subscribe([{ filter: topic, qos: 1, noLocal: true }]);
    const other = await kit.client(lane);
    await self.publish(topic, 'mine', { qos: 1 });
    await other.publish(topic, 'theirs', { qos: 1 });
    expect((await self.take()).payload.toString()).toBe('theirs');
    await self.silence();
  });

  test('No Local holds on a new connection of the session, and for what waited in it', async () => {
    const topic = uid('nl/');
    const options = { clientId: uid('c'), clean: false, properties: { sessionExpiry: 60 } };
    const self = await kit.client(lane, options);
    await self.subscribe([{ filter: topic, qos: 1, noLocal: true }]);
    await self.publish(topic, 'mine', { qos: 1 });
    await self.cut();
    const again = await kit.client(lane, options);
    await again.publish(topic, 'mine again', { qos: 1 });
    await again.silence();
  });

  test('with a subscription that is not No Local beside it the message comes', async () => {
    const base = uid('nl/');
    const self = await kit.client(lane);
    await self.subscribe([
      { filter: `${base}/#`, noLocal: true },
      { filter: `${base}/a`, qos: 1 },
    ]);
    self.send(encode.publish(5, `${base}/a`, 'mine'));
    expect((await self.take()).payload.toString()).toBe('mine');
    await self.silence();
  });

  test('Retain As Published keeps the flag, without it the flag is 0 [5:MQTT-3.3.1-12, 5:MQTT-3.3.1-13]', async () => {
    const topic = uid('rap/');
    const keep = await kit.client(lane);
    await keep.subscribe([{ filter: topic, qos: 1, retainAsPublished: true }]);
    const clear = await kit.client(lane);
    await clear.subscribe(topic, 1);
    const from = await kit.client(lane);
    for (const retain of [true, false]) {
      await from.publish(topic, 'x', { qos: 1, retain });
      expect((await keep.take()).retain).toBe(retain);
      expect((await clear.take()).retain).toBe(false);
    }
    await from.publish(topic, '', { retain: true });
  });

  test('subscription identifiers come with the message: all that match, in one message [5:MQTT-3.3.4-3, 5:MQTT-3.3.4-4, 5:MQTT-3.3.4-5]', async () => {
    const base = uid('id/');
    const to = await kit.client(lane);
    await to.subscribe([{ filter: `${base}/#`, qos: 1 }], 0, { subscriptionIds: [1] });
    await to.subscribe([{ filter: `${base}/+`, qos: 2 }], 0, { subscriptionIds: [268_435_455] });
    await to.subscribe([{ filter: `${base}/x`, qos: 0 }], 0, { subscriptionIds: [300] });
    await to.subscribe([{ filter: `${base}/x/#`, qos: 0 }]);
    const from = await kit.client(lane);
    await from.publish(`${base}/x`, 'all', { qos: 2 });
    const all = await to.take();
    expect(all.qos).toBe(2);
    expect(all.properties.subscriptionIds!.toSorted((a, b) => a - b)).toEqual([1, 300, 268_435_455]);
    await from.publish(`${base}/y/z`, 'one', { qos: 2 });
    expect(await to.take()).toMatchObject({ qos: 1, properties: { subscriptionIds: [1] } });
    await to.silence();
  });

  test('subscription identifiers are each subscriber’s own, and live with the session', async () => {
    const topic = uid('id/');
    const options = { clientId: uid('c'), clean: false, properties: { sessionExpiry: 60 } };
    const a = await kit.client(lane, options);
    await a.subscribe([{ filter: topic, qos: 1 }], 0, { subscriptionIds: [11] });
    const b = await kit.client(lane);
    await b.subscribe([{ filter: topic, qos: 1 }], 0, { subscriptionIds: [22] });
    const plain = await kit.client(lane);
    await plain.subscribe(topic, 1);
    await a.disconnect();
    const from = await kit.client(lane);
    await from.publish(topic, 'x', { qos: 1 });
    expect((await b.take()).properties).toEqual({ subscriptionIds: [22] });
    expect((await plain.take()).properties).toEqual({});
    const again = await kit.client(lane, options);
    expect((await again.take()).properties).toEqual({ subscriptionIds: [11] });
    await from.publish(topic, 'y', { qos: 1 });
    expect((await again.take()).properties).toEqual({ subscriptionIds: [11] });
  });

  test('replacing a subscription replaces its identifier', async () => {
    const topic = uid('id/');
    const to = await kit.client(lane);
    await to.subscribe(topic, 0, { subscriptionIds: [1] });
    await to.subscribe(topic, 0, { subscriptionIds: [2] });
    await to.publish(topic, 'a');
    expect((await to.take()).properties).toEqual({ subscriptionIds: [2] });
    await to.subscribe(topic, 0);
    await to.publish(topic, 'b');
    expect((await to.take()).properties).toEqual({});
  });
});

/** topic → filters that match it, and filters that do not. */
const MATCHES: [topic: string, yes: string[], no: string[]][] = [
  [
    'T/sport/tennis',
    ['T/sport/tennis', 'T/#', 'T/sport/#', 'T/sport/tennis/#', 'T/+/tennis', 'T/sport/+', 'T/+/+'],
    ['T/+', 'T', 'T/sport', 'T/sport/tennis/+'],
  ],
  ['T', ['T', 'T/#'], ['T/+', 'T/']],
  ['T/', ['T/', 'T/+', 'T/#'], ['T', 'T/+/+']],
  ['T//a', ['T//a', 'T/+/a', 'T//+', 'T/+/+', 'T//#'], ['T/a', 'T/+']],
  ['/T/a', ['/T/a', '+/T/a', '/T/+', '/T/#', '+/T/#'], ['T/a', '+/+']],
  ['T/Case', ['T/Case'], ['T/case', 't/Case']],
  ['T/a b/ü', ['T/a b/ü', 'T/+/ü'], ['T/a/ü']],
  ['T/$x', ['T/$x', 'T/+', 'T/#'], ['T/$X']],
];

describe.each(VERSIONS)('topic matching, $name', (lane) => {
  test.each(MATCHES)('%s [5:MQTT-3.3.2-3, 3:MQTT-3.3.2-3]', async (topic, yes, no) => {
    const unique = uid('m');
    const own = (text: string): string => text.replace('T', unique).replace(/^t\//, `${unique.toUpperCase()}/`);
    const from = await kit.client(lane);
    const matching = await Promise.all(yes.map(async (filter) => ({ filter, client: await kit.client(lane) })));
    const others = await Promise.all(no.map(async (filter) => ({ filter, client: await kit.client(lane) })));
    for (const { filter, client } of [...matching, ...others]) await client.subscribe(own(filter));
    await from.publish(own(topic), 'x');
    for (const { client } of matching) expect((await client.take()).topic).toBe(own(topic));
    await others[0]!.client.silence(100);
    for (const { filter, client } of others)
      expect(
        client.inbox.filter((packet) => packet.type === 'publish' && packet.topic === own(topic)),
        filter,
      ).toEqual([]);
  });

  test('a filter that begins with a wildcard does not match a topic that begins with $ [5:MQTT-4.7.2-1, 3:MQTT-4.7.2-1]', async () => {
    const to = await kit.client(lane);
    await to.subscribe(['#', '+/#', '+/+/+']);
    const dollar = await kit.client(lane);
    const name = uid();
    await dollar.subscribe(`$own/${name}/#`);
    const from = await kit.client(lane);
    await from.publish(`$own/${name}/x`, 'dollar');
    await from.publish(`own/${name}/x`, 'plain');
    expect((await dollar.take()).payload.toString()).toBe('dollar');
    let packet = await to.next();
    while (packet.type !== 'publish' || !packet.topic.startsWith(`own/${name}`)) {
      if (packet.type === 'publish') expect(packet.topic).not.toMatch(/^\$/);
      packet = await to.next();
    }
  });
});

test('$SYS topics are there, also as retained messages, and not under #', async () => {
  const lane = VERSIONS[0]!;
  const to = await kit.client(lane);
  await to.subscribe('$SYS/#');
  const message = await to.expect('publish', 15_000);
  expect(message.topic).toMatch(/^\$SYS\/./);
});

test('a client cannot publish to $SYS', async () => {
  const lane = VERSIONS[0]!;
  const to = await kit.client(lane);
  const topic = `$SYS/broker/${uid()}`;
  await to.subscribe(topic, 1);
  const from = await kit.client(lane);
  from.send(encode.publish(5, topic, 'forged', { qos: 1, id: 1 }));
  await from.next().catch(() => null);
  await to.silence();
});

test('a group with # gets no $ topics either, and a will cannot forge $SYS', async () => {
  const lane = VERSIONS[0]!;
  const name = uid();
  const member = await kit.client(lane);
  await member.subscribe(['$share/g/#', `$share/g/+/${name}`]);
  const forged = `$SYS/broker/${name}`;
  const watcher = await kit.client(lane);
  await watcher.subscribe([forged, `$x/${name}`]);
  // Dropped as such a PUBLISH is: the client itself is let in.
  for (const on of VERSIONS) {
    const leaver = await kit.client(on, { will: { topic: forged, payload: 'forged', retain: true } });
    await leaver.cut();
  }
  const from = await kit.client(lane);
  await from.publish(`$x/${name}`, 'dollar');
  expect((await watcher.take()).payload.toString()).toBe('dollar');
  await watcher.silence();
  expect(member.inbox.filter((packet) => packet.type === 'publish' && packet.topic.startsWith('$'))).toEqual([]);
});

test('many subscriptions in one session, taken back one by one', async () => {
  const lane = LANES[0]!;
  const client = await kit.client(lane);
  const base = uid('many/');
  const filters = Array.from({ length: 2000 }, (_, index) => `${base}/${index}/${index % 5 === 0 ? '+' : 'x'}`);
  for (let at = 0; at < filters.length; at += 200) await client.subscribe(filters.slice(at, at + 200));
  await client.publish(`${base}/1500/x`, 'a');
  expect((await client.take()).topic).toBe(`${base}/1500/x`);
  for (let at = 0; at < filters.length; at += 200) await client.unsubscribe(...filters.slice(at, at + 200));
  await client.publish(`${base}/1500/x`, 'b');
  await client.silence();
});
