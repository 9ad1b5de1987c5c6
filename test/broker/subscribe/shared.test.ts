/** Shared subscriptions, over one worker and several: each message to exactly one member. */

import { describe, expect, test } from 'vitest';
import * as encode from '../../kit/encode.ts';
import type { Lane } from '../../kit/lanes.ts';
import { LANES, LANES_5, useSharedLanes } from '../../kit/lanes.ts';
import type { RawClient } from '../../kit/raw-client.ts';
import { uid, until } from '../../kit/until.ts';

const kit = useSharedLanes();
const COUNT = 300;

/** Members that acknowledge all, and what each of them got. */
async function group(lanes: Lane[], filter: string, qos: encode.QoS): Promise<{ members: RawClient[]; got: string[][] }> {
  const members: RawClient[] = [];
  const got: string[][] = [];
  for (const lane of lanes) {
    const member = await kit.client(lane);
    const mine: string[] = [];
    member.autoAcknowledge((message) => mine.push(message.payload.toString()));
    await member.subscribe(filter, qos);
    members.push(member);
    got.push(mine);
  }
  return { members, got };
}

async function publishAll(from: RawClient, topic: string, qos: encode.QoS, count = COUNT): Promise<string[]> {
  const sent = Array.from({ length: count }, (_, index) => `${index}`);
  for (const text of sent) await from.publish(topic, text, { qos });
  return sent;
}

describe.each(LANES)('shared subscription, $name', (lane) => {
  test.each([0, 1, 2] as const)(
    'QoS %i: each message goes to exactly one member, and every member gets some [5:MQTT-4.8.2-1]',
    async (qos) => {
      const topic = uid('sh/');
      const { got } = await group([lane, lane, lane, lane], `$share/g/${topic}`, qos);
      const from = await kit.client(lane);
      const sent = await publishAll(from, topic, qos, 120);
      await until('all messages', () => got.flat().length >= 120);
      await from.ping();
      expect(got.flat().toSorted()).toEqual(sent.toSorted());
      expect(Math.min(...got.map((mine) => mine.length))).toBeGreaterThan(0);
    },
  );

  test('$queue/ is a shared subscription without a group name', async () => {
    const topic = uid('sh/');
    const { got } = await group([lane, lane], `$queue/${topic}`, 1);
    const from = await kit.client(lane);
    const sent = await publishAll(from, topic, 1, 40);
    await until('all messages', () => got.flat().length >= 40);
    expect(got.flat().toSorted()).toEqual(sent.toSorted());
    expect(Math.min(...got.map((mine) => mine.length))).toBeGreaterThan(0);
  });

  test('no retained message is sent for it', async () => {
    const topic = uid('sh/');
    const client = await kit.client(lane);
    await client.publish(topic, 'kept', { retain: true, qos: 1 });
    await client.subscribe([{ filter: `$share/g/${topic}`, qos: 1 }]);
    await client.silence();
    await client.publish(topic, '', { retain: true });
  });
});

describe.each(LANES_5)('shared subscription of MQTT 5, $name', (lane) => {
  test('groups, and plain subscriptions, each get every message', async () => {
    const topic = uid('sh/');
    const one = await group([lane, lane], `$share/one/${topic}`, 1);
    const two = await group([lane, lane, lane], `$share/two/${topic}`, 1);
    const plain = await group([lane], topic, 1);
    const from = await kit.client(lane);
    const sent = await publishAll(from, topic, 1, 60);
    for (const { got } of [one, two, plain]) {
      await until('all messages', () => got.flat().length >= 60);
      expect(got.flat().toSorted()).toEqual(sent.toSorted());
    }
  });

  test('wildcards in the filter part, overlapping filters of one group', async () => {
    const base = uid('sh/');
    const a = await group([lane, lane], `$share/g/${base}/#`, 1);
    const from = await kit.client(lane);
    await publishAll(from, `${base}/x/y`, 1, 20);
    await until('all messages', () => a.got.flat().length === 20);
    await a.members[0]!.ping();
    expect(a.got.flat()).toHaveLength(20);
  });

  test('an ill-formed share name or filter ends the connection [5:MQTT-4.8.2-2]', async () => {
    for (const filter of ['$share/', '$share/g', '$share/g/', '$share//a', '$share/+/a', '$share/g#/a', '$share/#', '$share/a+b/c']) {
      const client = await kit.client(lane);
      client.send(encode.subscribe(5, 1, [{ filter }]));
      await client.refused(0x81, 0x82);
    }
  });

  test('the granted QoS holds [5:MQTT-4.8.2-3]', async () => {
    const topic = uid('sh/');
    const to = await kit.client(lane);
    await to.subscribe(`$share/g/${topic}`, 1);
    const from = await kit.client(lane);
    await from.publish(topic, 'x', { qos: 2 });
    expect((await to.take()).qos).toBe(1);
    await from.publish(topic, 'y', { qos: 0 });
    expect((await to.take()).qos).toBe(0);
  });

  test('it carries its subscription identifier', async () => {
    const topic = uid('sh/');
    const to = await kit.client(lane);
    await to.subscribe([{ filter: `$share/g/${topic}`, qos: 1 }], 0, { subscriptionIds: [7] });
    await to.publish(topic, 'x');
    expect((await to.take()).properties).toEqual({ subscriptionIds: [7] });
  });

  test('UNSUBSCRIBE takes a member out', async () => {
    const topic = uid('sh/');
    const filter = `$share/g/${topic}`;
    const { members, got } = await group([lane, lane], filter, 1);
    expect((await members[0]!.unsubscribe(filter)).codes).toEqual([0]);
    const from = await kit.client(lane);
    await publishAll(from, topic, 1, 20);
    await until('all messages', () => got[1]!.length === 20);
    expect(got[0]).toEqual([]);
  });

  test('what a member did not acknowledge when its session ended goes to another one', async () => {
    const topic = uid('sh/');
    const filter = `$share/g/${topic}`;
    const lazy = await kit.client(lane, { properties: { sessionExpiry: 0, receiveMaximum: 5 } });
    await lazy.subscribe(filter, 1);
    const { got } = await group([lane], filter, 1);
    const from = await kit.client(lane);
    const sent = await publishAll(from, topic, 1, 40);
    // The lazy one holds some and acknowledges none.
    await lazy.expect('publish');
    expect(got.flat().length).toBeLessThan(40);
    await lazy.cut();
    await until('all messages', () => new Set(got.flat()).size === 40);
    expect([...new Set(got.flat())].toSorted()).toEqual(sent.toSorted());
  });

  test('a retained message that a member leaves to another one is not retained again', async () => {
    const topic = uid('sh/');
    const filter = `$share/g/${topic}`;
    const options = { clientId: uid('c'), clean: false, properties: { sessionExpiry: 60 } };
    // The session worker has it, which keeps the retained messages, too.
    const away = await kit.client(lane, options);
    await away.subscribe([{ filter, qos: 1, retainAsPublished: true }]);
    await away.disconnect();
    const leaving = await kit.client(lane);
    await leaving.subscribe(filter, 1);
    const from = await kit.client(lane);
    await from.publish(topic, 'old', { qos: 1, retain: true });
    await from.publish(topic, '', { qos: 1, retain: true });
    const [, removal] = await leaving.publishes(2);
    leaving.send(encode.puback(removal!.id));
    await leaving.disconnect();
    const back = await kit.client(lane, options);
    expect(await back.take()).toMatchObject({ payload: Buffer.from('old'), retain: true });
    const late = await kit.client(lane);
    await late.subscribe(topic, 1);
    await late.silence();
  });

  test('a message of QoS 2 that was sent to a member goes to no other one [5:MQTT-4.8.2-5]', async () => {
    const topic = uid('sh/');
    const filter = `$share/g/${topic}`;
    const first = await kit.client(lane);
    await first.subscribe(filter, 2);
    const from = await kit.client(lane);
    await from.publish(topic, 'received', { qos: 2 });
    await from.publish(topic, 'sent', { qos: 2 });
    const [received] = await first.publishes(2);
    // The other one may be under way to the broker as well.
    first.send(encode.pubrec(received!.id));
    await first.expect('pubrel');
    const second = await kit.client(lane);
    await second.subscribe(filter, 2);
    await first.cut();
    await second.silence(400);
  });

  test('a QoS 2 message to a member with a session is completed when it returns [5:MQTT-4.8.2-4]', async () => {
    const topic = uid('sh/');
    const filter = `$share/g/${topic}`;
    const options = { clientId: uid('c'), clean: false, properties: { sessionExpiry: 60 } };
    const first = await kit.client(lane, options);
    await first.subscribe(filter, 2);
    const from = await kit.client(lane);
    await from.publish(topic, 'sent', { qos: 2 });
    const message = await first.expect('publish');
    const second = await kit.client(lane);
    await second.subscribe(filter, 2);
    await first.cut();
    await second.silence();
    const again = await kit.client(lane, options);
    const repeated = await again.take();
    expect(repeated).toMatchObject({ dup: true, id: message.id, payload: Buffer.from('sent') });
    await second.silence(50);
  });

  test('a message that a member refused is given to nobody else [5:MQTT-4.8.2-6]', async () => {
    const topic = uid('sh/');
    const filter = `$share/g/${topic}`;
    const [a, b] = [await kit.client(lane), await kit.client(lane)];
    await a.subscribe(filter, 1);
    const from = await kit.client(lane);
    await from.publish(topic, 'refused', { qos: 1 });
    const message = await a.expect('publish');
    await b.subscribe(filter, 1);
    a.send(encode.puback(message.id, 0x83));
    await a.ping();
    await b.silence(300);
    await a.cut();
    await b.silence(300);
  });

  test('members that are connected come before one that is away', async () => {
    const topic = uid('sh/');
    const filter = `$share/g/${topic}`;
    const options = { clientId: uid('c'), clean: false, properties: { sessionExpiry: 60 } };
    const away = await kit.client(lane, options);
    await away.subscribe(filter, 1);
    await away.disconnect();
    const { got } = await group([lane], filter, 1);
    const from = await kit.client(lane);
    await publishAll(from, topic, 1, 20);
    await until('all messages', () => got.flat().length === 20);
    const back = await kit.client(lane, options);
    await back.silence();
  });

  test('a group whose members are all away keeps the messages for one of them', async () => {
    const topic = uid('sh/');
    const filter = `$share/g/${topic}`;
    const ids = [uid('c'), uid('c')];
    for (const clientId of ids) {
      const member = await kit.client(lane, { clientId, clean: false, properties: { sessionExpiry: 60 } });
      await member.subscribe(filter, 1);
      await member.disconnect();
    }
    const from = await kit.client(lane);
    const sent = await publishAll(from, topic, 1, 20);
    const got: string[] = [];
    for (const clientId of ids) {
      const member = await kit.client(lane, { clientId, clean: false, properties: { sessionExpiry: 60 } });
      member.autoAcknowledge((message) => got.push(message.payload.toString()));
    }
    await until('all messages', () => got.length >= 20);
    expect(got.toSorted()).toEqual(sent.toSorted());
  });

  test('one client in a group and beside it gets both copies or one with both, never less', async () => {
    const topic = uid('sh/');
    const to = await kit.client(lane);
    await to.subscribe([{ filter: `$share/g/${topic}`, qos: 1 }], 0, { subscriptionIds: [1] });
    await to.subscribe([{ filter: topic, qos: 1 }], 0, { subscriptionIds: [2] });
    await to.publish(topic, 'x');
    const ids = [...((await to.take()).properties.subscriptionIds ?? [])];
    if (ids.length < 2) ids.push(...((await to.take()).properties.subscriptionIds ?? []));
    expect(ids.toSorted()).toEqual([1, 2]);
  });
});

test('a group over transports, versions and workers shares evenly enough, while members come and go', async () => {
  const topic = uid('sh/');
  const filter = `$share/mixed/${topic}`;
  const { members, got } = await group(LANES, filter, 1);
  const from = await kit.client(LANES[2]!);
  const sent: string[] = [];
  for (let index = 0; index < COUNT; index++) {
    sent.push(`${index}`);
    await from.publish(topic, `${index}`, { qos: 1 });
    // A member that leaves properly has acknowledged what it got.
    if (index === COUNT / 2) members[0]!.send(encode.unsubscribe(members[0]!.version, 999, [filter]));
  }
  await until('all messages', () => new Set(got.flat()).size === COUNT);
  expect(got.flat().toSorted()).toEqual(sent.toSorted());
  for (const mine of got.slice(1)) expect(mine.length).toBeGreaterThan(COUNT / LANES.length / 4);
});
