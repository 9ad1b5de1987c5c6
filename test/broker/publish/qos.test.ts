/** PUBLISH with QoS 0, 1 and 2 in both directions: handshakes, effective QoS, duplicates, packet identifiers. */

import { describe, expect, test } from 'vitest';
import * as encode from '../../kit/encode.ts';
import type { Lane } from '../../kit/lanes.ts';
import { LANES, LANES_5, useSharedLanes } from '../../kit/lanes.ts';
import { mosquittoPub, mosquittoSub } from '../../kit/mosquitto.ts';
import type { RawClient } from '../../kit/raw-client.ts';
import { uid, until } from '../../kit/until.ts';

const kit = useSharedLanes();

async function pair(lane: Lane, qos: encode.QoS = 2): Promise<{ from: RawClient; to: RawClient; topic: string }> {
  const topic = uid('qos/');
  const to = await kit.client(lane);
  await to.subscribe(topic, qos);
  return { from: await kit.client(lane), to, topic };
}

describe.each(LANES)('QoS, $name', (lane) => {
  test('a message has the lower of its own and the subscription QoS [5:MQTT-3.8.4-8, 3:MQTT-3.8.4-6]', async () => {
    for (const granted of [0, 1, 2] as const) {
      const { from, to, topic } = await pair(lane, granted);
      for (const sent of [0, 1, 2] as const) {
        await from.publish(topic, `${sent}`, { qos: sent });
        const message = await to.take();
        expect(message).toMatchObject({ topic, qos: Math.min(sent, granted), dup: false, retain: false });
        expect(message.payload.toString()).toBe(`${sent}`);
      }
    }
  });

  test('QoS 0 goes out with DUP 0 and without packet identifier [5:MQTT-4.3.1-1, 5:MQTT-2.2.1-2, 3:MQTT-4.3.1-1, 3:MQTT-2.3.1-5]', async () => {
    const { from, to, topic } = await pair(lane, 0);
    await from.publish(topic, 'x');
    expect(await to.expect('publish')).toMatchObject({ qos: 0, dup: false, id: 0 });
  });

  test('QoS 1 is answered by PUBACK with the same identifier [5:MQTT-4.3.2-4, 5:MQTT-2.2.1-5, 5:MQTT-3.3.4-1, 3:MQTT-4.3.2-2, 3:MQTT-2.3.1-6, 3:MQTT-3.3.4-1]', async () => {
    const { from, to, topic } = await pair(lane);
    for (const id of [1, 2, 300, 65535]) {
      from.send(encode.publish(lane.version, topic, `${id}`, { qos: 1, id }));
      expect(await from.expect('puback')).toMatchObject({ id, code: 0 });
      const message = await to.take();
      expect(message).toMatchObject({ qos: 1, dup: false });
      expect(message.payload.toString()).toBe(`${id}`);
    }
  });

  test('QoS 2 is answered by PUBREC and PUBCOMP with the same identifier [5:MQTT-4.3.3-8, 5:MQTT-4.3.3-11, 3:MQTT-4.3.3-2]', async () => {
    const { from, to, topic } = await pair(lane);
    for (const id of [1, 4000, 65535]) {
      from.send(encode.publish(lane.version, topic, `${id}`, { qos: 2, id }));
      expect(await from.expect('pubrec')).toMatchObject({ id, code: 0 });
      from.send(encode.pubrel(id));
      expect(await from.expect('pubcomp')).toMatchObject({ id, code: 0 });
      expect((await to.take()).payload.toString()).toBe(`${id}`);
    }
    await to.silence();
  });

  test('a QoS 2 PUBLISH that is repeated before PUBREL is delivered once [5:MQTT-4.3.3-10, 3:MQTT-4.3.3-2]', async () => {
    const { from, to, topic } = await pair(lane);
    for (let round = 0; round < 3; round++) {
      from.send(encode.publish(lane.version, topic, 'once', { qos: 2, id: 9, dup: round > 0 }));
      expect(await from.expect('pubrec')).toMatchObject({ id: 9 });
    }
    from.send(encode.pubrel(9));
    expect(await from.expect('pubcomp')).toMatchObject({ id: 9, code: 0 });
    await to.take();
    await to.silence();
  });

  test('after PUBCOMP the same identifier is a new message [5:MQTT-4.3.3-12, 5:MQTT-4.3.2-5]', async () => {
    const { from, to, topic } = await pair(lane);
    await from.publish(topic, 'first', { qos: 2, id: 5 });
    await from.publish(topic, 'second', { qos: 2, id: 5 });
    await from.publish(topic, 'third', { qos: 1, id: 5 });
    // After its PUBACK a PUBLISH is new, whatever its DUP flag says.
    await from.publish(topic, 'fourth', { qos: 1, id: 5, dup: true });
    for (const text of ['first', 'second', 'third', 'fourth']) expect((await to.take()).payload.toString()).toBe(text);
  });

  test('acknowledgements come in the order of what they answer [5:MQTT-4.6.0-2, 5:MQTT-4.6.0-3, 5:MQTT-4.6.0-4, 3:MQTT-4.6.0-2, 3:MQTT-4.6.0-3, 3:MQTT-4.6.0-4]', async () => {
    const { from, to, topic } = await pair(lane);
    const ids = [7, 3, 900, 4, 65535, 1, 2];
    from.send(...ids.map((id) => encode.publish(lane.version, topic, `${id}`, { qos: 1, id })));
    for (const id of ids) expect(await from.expect('puback')).toMatchObject({ id });
    for (const message of await to.publishes(ids.length)) await to.acknowledge(message);
    from.send(...ids.map((id) => encode.publish(lane.version, topic, `${id}`, { qos: 2, id })));
    for (const id of ids) expect(await from.expect('pubrec')).toMatchObject({ id });
    from.send(...ids.toReversed().map((id) => encode.pubrel(id)));
    for (const id of ids.toReversed()) expect(await from.expect('pubcomp')).toMatchObject({ id });
    const messages = (await to.publishes(ids.length)).toReversed();
    to.send(...messages.map(({ id }) => encode.pubrec(id)));
    for (const { id } of messages) expect(await to.expect('pubrel')).toMatchObject({ id });
    to.send(...messages.map(({ id }) => encode.pubcomp(id)));
    await to.ping();
  });

  test('DUP of an incoming PUBLISH is not passed on [5:MQTT-3.3.1-3, 3:MQTT-3.3.1-3]', async () => {
    const { from, to, topic } = await pair(lane);
    await from.publish(topic, 'x', { qos: 1, dup: true });
    expect((await to.take()).dup).toBe(false);
    await from.publish(topic, 'x', { qos: 2, dup: true });
    expect((await to.take()).dup).toBe(false);
  });

  test('PUBREL is sent for PUBREC, and the identifiers of messages in flight differ [5:MQTT-4.3.3-1, 5:MQTT-4.3.3-2, 5:MQTT-4.3.3-4, 5:MQTT-4.3.2-1, 5:MQTT-4.3.2-2, 5:MQTT-2.2.1-4, 3:MQTT-4.3.3-1, 3:MQTT-4.3.2-1, 3:MQTT-2.3.1-4]', async () => {
    const { from, to, topic } = await pair(lane);
    for (let index = 0; index < 20; index++) await from.publish(topic, `${index}`, { qos: index % 2 === 0 ? 2 : 1 });
    const messages = await to.publishes(20);
    expect(new Set(messages.map((message) => message.id)).size).toBe(20);
    expect(messages.every((message) => !message.dup && message.id > 0)).toBe(true);
    for (const message of messages) await to.acknowledge(message);
    await to.silence();
  });

  test('nothing is sent again while the connection lasts [5:MQTT-4.4.0-1]', async () => {
    const { from, to, topic } = await pair(lane);
    await from.publish(topic, 'unacknowledged', { qos: 1 });
    const message = await to.expect('publish');
    await to.silence(1500);
    await to.acknowledge(message);
  });

  test('an acknowledgement for nothing disturbs nobody', async () => {
    const { from, to, topic } = await pair(lane);
    to.send(encode.puback(4711), encode.pubcomp(4712));
    await to.ping();
    await from.publish(topic, 'x', { qos: 1 });
    await to.take();
  });

  test('an acknowledgement that is not the one due ends the connection and settles nothing [5:MQTT-4.13.1-1, 3:MQTT-4.8.0-1]', async () => {
    const topic = uid('qos/wrong/');
    const stays = { clientId: uid('c'), clean: false, ...(lane.version === 5 ? { properties: { sessionExpiry: 60 } } : {}) };
    await (await kit.client(lane, stays)).subscribe(topic, 2);
    const from = await kit.client(lane);
    for (const [qos, wrong] of [
      [1, encode.pubrec],
      [1, encode.pubcomp],
      [2, encode.puback],
      [2, encode.pubcomp],
    ] as const) {
      const to = await kit.client(lane, stays);
      await from.publish(topic, 'x', { qos });
      const { id } = await to.expect('publish');
      to.send(wrong(id));
      await to.refused(0x82);
      const again = await kit.client(lane, stays);
      const repeated = await again.expect('publish');
      expect(repeated).toMatchObject({ id, qos, dup: true });
      await again.acknowledge(repeated);
      await again.ping();
    }
  });

  test('a message of every size comes through whole', async () => {
    const { from, to, topic } = await pair(lane, 1);
    for (const size of [0, 1, 100, 127, 128, 16_000, 16_383, 16_384, 70_000, 1_000_000, 2_097_152]) {
      const payload = Buffer.alloc(size, `${size}-abcdefghijklmnopqrstuvwxyz`);
      await from.publish(topic, payload, { qos: 1 });
      const message = await to.take();
      expect(message.payload.equals(payload), `${size} bytes`).toBe(true);
    }
  });

  test('many packets in one write, and one packet in many writes', async () => {
    const { from, to, topic } = await pair(lane, 0);
    const packets = Buffer.concat(
      Array.from({ length: 500 }, (_, index) => encode.publish(lane.version, topic, `${index}`.padStart(index, '.'))),
    );
    for (let at = 0; at < packets.length; at += 777) from.send(packets.subarray(at, at + 777));
    const messages = await to.publishes(500);
    messages.forEach((message, index) => {
      expect(message.payload.toString()).toBe(`${index}`.padStart(index, '.'));
    });
  });

  test('order per topic and QoS is kept [5:MQTT-4.6.0-5, 5:MQTT-4.6.0-6, 3:MQTT-4.6.0-5, 3:MQTT-4.6.0-6]', async () => {
    for (const qos of [0, 1, 2] as const) {
      const { from, to, topic } = await pair(lane);
      const got: number[] = [];
      to.autoAcknowledge((message) => got.push(Number(message.payload)));
      from.autoAcknowledge(() => undefined);
      let acknowledged = 0;
      from.tap = (packet) => {
        if (packet.type === 'pubrec') from.send(encode.pubrel(packet.id));
        if (packet.type === 'puback' || packet.type === 'pubcomp') acknowledged++;
      };
      const total = 300;
      for (let index = 0; index < total; index++) {
        from.send(encode.publish(lane.version, topic, `${index}`, { qos, id: index + 1 }));
        // Stay within the Receive Maximum of the broker.
        if (qos > 0 && index % 50 === 49) await until('acknowledgements', () => acknowledged === index + 1, 5000, 2);
      }
      await until(`${total} messages of QoS ${qos}`, () => got.length === total);
      expect(got).toEqual(Array.from({ length: total }, (_, index) => index));
    }
  });
});

describe.each(LANES_5)('reason codes of acknowledgements, $name', (lane) => {
  test('PUBACK and PUBREC say 0x10 when nobody subscribes, and 0 when somebody does [5:MQTT-3.4.2-1, 5:MQTT-3.5.2-1]', async () => {
    const { from, topic } = await pair(lane);
    expect(await from.publish(topic, 'x', { qos: 1 })).toBe(0);
    expect(await from.publish(topic, 'x', { qos: 2 })).toBe(0);
    // 0x10 is optional for a server: 0 is right as well.
    expect([0, 0x10]).toContain(await from.publish(uid('nobody/'), 'x', { qos: 1 }));
    expect([0, 0x10]).toContain(await from.publish(uid('nobody/'), 'x', { qos: 2 }));
  });

  test('PUBREL for an unknown identifier is answered by PUBCOMP 0x92 [5:MQTT-3.7.2-1]', async () => {
    const client = await kit.client(lane);
    client.send(encode.pubrel(555));
    expect(await client.expect('pubcomp')).toMatchObject({ id: 555, code: 0x92 });
  });

  test('PUBREC for an unknown identifier is answered by PUBREL 0x92 [5:MQTT-3.6.2-1]', async () => {
    const client = await kit.client(lane);
    client.send(encode.pubrec(556));
    expect(await client.expect('pubrel')).toMatchObject({ id: 556, code: 0x92 });
  });

  test('PUBREC with an error ends the exchange: no PUBREL, no second delivery [5:MQTT-4.4.0-2]', async () => {
    const topic = uid('nack/');
    const options = { clientId: uid('c'), clean: false, properties: { sessionExpiry: 60 } };
    const to = await kit.client(lane, options);
    await to.subscribe(topic, 2);
    const from = await kit.client(lane);
    await from.publish(topic, 'two', { qos: 2 });
    await from.publish(topic, 'one', { qos: 1 });
    const [two, one] = await to.publishes(2);
    to.send(encode.pubrec(two!.id, 0x83), encode.puback(one!.id, 0x80));
    await to.ping();
    await to.silence();
    await to.cut();
    const again = await kit.client(lane, options);
    expect(again.connack!.sessionPresent).toBe(true);
    await again.silence();
  });

  test('acknowledgements with reason string and user properties are understood', async () => {
    const { from, to, topic } = await pair(lane);
    await from.publish(topic, 'x', { qos: 1 });
    const first = await to.expect('publish');
    to.send(encode.puback(first.id, 0x00, { reasonString: 'fine', user: [['a', 'b']] }));
    await from.publish(topic, 'y', { qos: 2 });
    const second = await to.expect('publish');
    to.send(encode.pubrec(second.id, 0x00, { user: [['a', 'b']] }));
    await to.expect('pubrel');
    to.send(encode.pubcomp(second.id, 0x00, { reasonString: 'done' }));
    await to.ping();
  });
});

test('messages cross versions, transports, ports and workers', async () => {
  const topic = uid('cross/');
  const clients = await Promise.all(LANES.map((lane) => kit.client(lane)));
  for (const client of clients) await client.subscribe(topic, 1);
  for (const [index, from] of clients.entries()) {
    from.send(encode.publish(from.version, topic, `${index}`, { qos: 1, id: 99 }));
    for (const to of clients) {
      const packets = [await to.next(), ...(to === from ? [await to.next()] : [])];
      const message = packets.find((packet) => packet.type === 'publish')!;
      expect(message.payload.toString()).toBe(`${index}`);
      await to.acknowledge(message);
    }
  }
});

test('mosquitto_sub and mosquitto_pub talk over it', async () => {
  for (const version of ['mqttv31', 'mqttv311', 'mqttv5']) {
    const topic = uid('foreign/');
    const subscriber = await mosquittoSub(kit.broker.ports[2]!, ['-t', `${topic}/#`, '-q', '2', '-V', version]);
    for (const qos of ['0', '1', '2']) {
      expect(await mosquittoPub(kit.broker.ports[0]!, ['-t', `${topic}/${qos}`, '-m', `m${qos}`, '-q', qos, '-V', version])).toBe(0);
    }
    const lines = await subscriber.wait(3);
    expect(lines.toSorted()).toEqual([`${topic}/0 0 0 m0`, `${topic}/1 1 0 m1`, `${topic}/2 2 0 m2`]);
    await subscriber.stop();
  }
});
