/** Receive Maximum and Maximum Packet Size, in both directions. */

import { describe, expect, test } from 'vitest';
import * as encode from '../../kit/encode.ts';
import type { Lane } from '../../kit/lanes.ts';
import { connected, LANES_5, useBroker, useSharedLanes, VERSIONS } from '../../kit/lanes.ts';
import { uid } from '../../kit/until.ts';

const kit = useSharedLanes();

describe.each(LANES_5)('Receive Maximum, $name', (lane) => {
  test('no more than the client allows are in flight, and the rest follows in order [5:MQTT-3.3.4-9, 5:MQTT-4.9.0-1, 5:MQTT-4.9.0-2]', async () => {
    const topic = uid('rm/');
    const to = await kit.client(lane, { properties: { receiveMaximum: 3 } });
    await to.subscribe(topic, 2);
    const from = await kit.client(lane);
    for (let index = 0; index < 10; index++) await from.publish(topic, `${index}`, { qos: index % 2 === 0 ? 1 : 2 });
    const window = await to.publishes(3);
    await to.silence();
    const got = window.map((message) => message.payload.toString());
    // Each one acknowledged lets exactly one more come.
    while (window.length > 0) {
      const message = window.shift()!;
      if (message.qos === 1) to.send(encode.puback(message.id));
      else {
        to.send(encode.pubrec(message.id));
        let packet = await to.next();
        while (packet.type !== 'pubrel') packet = await to.next();
        to.send(encode.pubcomp(message.id));
      }
      if (got.length === 10) continue;
      const next = await to.expect('publish');
      got.push(next.payload.toString());
      window.push(next);
      expect(to.inbox).toEqual([]);
    }
    expect(got).toEqual(Array.from({ length: 10 }, (_, index) => `${index}`));
  });

  test('PUBREC does not give a place back, PUBREC with an error does', async () => {
    const topic = uid('rm/');
    const to = await kit.client(lane, { properties: { receiveMaximum: 1 } });
    await to.subscribe(topic, 2);
    const from = await kit.client(lane);
    for (const text of ['a', 'b', 'c']) await from.publish(topic, text, { qos: 2 });
    const a = await to.expect('publish');
    to.send(encode.pubrec(a.id));
    await to.expect('pubrel');
    await to.silence();
    to.send(encode.pubcomp(a.id));
    const b = await to.expect('publish');
    to.send(encode.pubrec(b.id, 0x80));
    expect((await to.expect('publish')).payload.toString()).toBe('c');
  });

  test('other packets and QoS 0 are not held back by a full window [5:MQTT-3.3.4-10, 5:MQTT-4.9.0-3]', async () => {
    const topic = uid('rm/');
    const to = await kit.client(lane, { properties: { receiveMaximum: 1 } });
    await to.subscribe([{ filter: topic, qos: 1 }]);
    await to.subscribe([{ filter: `${topic}/zero`, qos: 0 }]);
    const from = await kit.client(lane);
    await from.publish(topic, 'a', { qos: 1 });
    await from.publish(topic, 'b', { qos: 1 });
    await to.expect('publish');
    await to.ping();
    await from.publish(`${topic}/zero`, 'z');
    expect((await to.expect('publish')).payload.toString()).toBe('z');
    await to.subscribe(uid('more/'), 1);
    expect(await to.publish(uid('more/'), 'x', { qos: 1 })).toBeLessThan(0x80);
  });

  test('more than the broker allows in flight ends the connection with 0x93 [5:MQTT-3.3.4-7]', async () => {
    const client = await kit.client(lane);
    const allowed = client.connack!.properties.receiveMaximum ?? 65535;
    expect(allowed).toBe(100);
    const topic = uid('rm/');
    for (let id = 1; id <= allowed; id++) client.send(encode.publish(5, topic, 'x', { qos: 2, id }));
    for (let id = 1; id <= allowed; id++) await client.expect('pubrec');
    // PUBREC was answered by nothing: all of them are still in flight.
    await client.ping();
    client.send(encode.publish(5, topic, 'x', { qos: 2, id: allowed + 1 }));
    await client.refused(0x93);
  });

  test('the repetition of a message in flight is not one more', async () => {
    const client = await kit.client(lane);
    const topic = uid('rm/');
    for (let id = 1; id <= 100; id++) client.send(encode.publish(5, topic, 'x', { qos: 2, id }));
    for (let id = 1; id <= 100; id++) await client.expect('pubrec');
    client.send(encode.publish(5, topic, 'x', { qos: 2, id: 50, dup: true }));
    await client.expect('pubrec');
    for (let id = 1; id <= 100; id++) client.send(encode.pubrel(id));
    for (let id = 1; id <= 100; id++) await client.expect('pubcomp');
    await client.ping();
  });
});

describe.each(LANES_5)('Maximum Packet Size, $name', (lane) => {
  test('a message that is too large for the client is dropped for it alone, and its window stays in use [5:MQTT-3.1.2-24, 5:MQTT-3.1.2-25]', async () => {
    const topic = uid('mps/');
    const small = await kit.client(lane, { properties: { maximumPacketSize: 100, receiveMaximum: 2 } });
    await small.subscribe(topic, 2);
    const large = await kit.client(lane);
    await large.subscribe(topic, 2);
    const from = await kit.client(lane);
    for (let index = 0; index < 5; index++) await from.publish(topic, 'x'.repeat(200), { qos: (index % 3) as encode.QoS });
    await from.publish(topic, 'fits', { qos: 1 });
    expect((await small.take()).payload.toString()).toBe('fits');
    for (let index = 0; index < 6; index++) await large.take();
    await small.silence();
  });

  test('the limit holds to the byte', async () => {
    const topic = uid('mps/');
    const limit = 64;
    const to = await kit.client(lane, { properties: { maximumPacketSize: limit } });
    await to.subscribe(topic);
    const from = await kit.client(lane);
    const room = limit - 2 - 2 - topic.length - 1;
    await from.publish(topic, 'a'.repeat(room + 1));
    await from.publish(topic, 'b'.repeat(room));
    const message = await to.take();
    expect(message.payload.toString()).toBe('b'.repeat(room));
    expect(message.size).toBe(limit);
  });

  test('a reason string never makes a packet larger than the client allows [5:MQTT-3.2.2-19, 5:MQTT-3.2.2-20, 5:MQTT-3.4.2-2, 5:MQTT-3.4.2-3, 5:MQTT-3.5.2-2, 5:MQTT-3.5.2-3, 5:MQTT-3.6.2-2, 5:MQTT-3.6.2-3, 5:MQTT-3.7.2-2, 5:MQTT-3.7.2-3, 5:MQTT-3.9.2-1, 5:MQTT-3.9.2-2, 5:MQTT-3.11.2-1, 5:MQTT-3.11.2-2, 5:MQTT-3.14.2-3, 5:MQTT-3.14.2-4]', async () => {
    // CONNACK of this broker needs more than 20 bytes only for what it must say.
    const client = await kit.client(lane, { properties: { maximumPacketSize: 40 } });
    client.send(encode.subscribe(5, 1, [{ filter: 'bad/#/filter' }]));
    const packet = await client.next().catch(() => null);
    if (packet?.type === 'suback') {
      client.send(encode.unsubscribe(5, 2, ['never/had']));
      await client.expect('unsuback');
      client.send(encode.pubrel(9));
      await client.expect('pubcomp');
      client.send(encode.frame(0x00));
    }
    await client.closed();
    expect(client.largest).toBeLessThanOrEqual(40);
  });
});

test('a refusal that explains itself is left unexplained where the explanation would be too large [5:MQTT-3.2.2-19]', async () => {
  for (const [maximumPacketSize, hasReason] of [
    [20, false],
    [200, true],
  ] as const) {
    const client = await kit.open(LANES_5[0]!);
    const connack = await client.handshake({ properties: { maximumPacketSize, authMethod: 'GS2-KRB5' } });
    expect(connack.code).toBe(0x8c);
    expect(connack.properties.reasonString !== undefined).toBe(hasReason);
    await client.closed();
    expect(client.largest).toBeLessThanOrEqual(maximumPacketSize);
  }
});

test.each([{}, { clientId: '' }])(
  'a client that does not take its own CONNACK is refused within what it takes, %o [5:MQTT-3.1.2-24]',
  async (options) => {
    const lane = LANES_5[0]!;
    const { largest } = await kit.client(lane, options);
    for (const maximumPacketSize of [1, 4, 5, largest - 1, largest]) {
      const client = await kit.open(lane);
      client.send(encode.connect(5, { clientId: uid('c'), ...options, properties: { maximumPacketSize } }));
      if (maximumPacketSize === largest) {
        expect(await client.expect('connack')).toMatchObject({ code: 0 });
        await client.ping();
        continue;
      }
      const said = await client.closed();
      if (maximumPacketSize < 5) expect(said).toEqual([]);
      else expect(said).toMatchObject([{ type: 'connack', code: 0x95 }]);
      expect(client.largest).toBeLessThanOrEqual(maximumPacketSize);
    }
  },
);

describe.each(VERSIONS)('messageMaxSize, $name', (lane: Lane) => {
  const held = useBroker(() => ({ endpoints: [{ enableAuth: false, messageMaxSize: 2048 }] }));

  test('a packet over it ends the connection (0x95), one of exactly that size passes [5:MQTT-3.2.2-15]', async () => {
    const port = held.broker.ports[0]!;
    const client = await connected('tcp', port, lane.version);
    if (lane.version === 5) expect(client.connack!.properties.maximumPacketSize).toBe(2048);
    const topic = uid('mms/');
    const overhead = encode.publish(lane.version, topic, Buffer.alloc(1000)).length - 1000;
    client.send(encode.publish(lane.version, topic, Buffer.alloc(2048 - overhead)));
    await client.ping();
    client.send(encode.publish(lane.version, topic, Buffer.alloc(2048 - overhead + 1)));
    await client.refused(0x95);
  });

  test('it is judged by the length field alone, before the packet is there', async () => {
    const client = await connected('tcp', held.broker.ports[0]!, lane.version);
    client.send(Buffer.from([0x30, 0xff, 0xff, 0xff, 0x7f]));
    await client.refused(0x95);
  });

  test('a CONNECT over it is refused', async () => {
    const { RawClient } = await import('../../kit/raw-client.ts');
    const client = await RawClient.open('tcp', held.broker.ports[0]!, lane.version);
    client.send(encode.connect(lane.version, { clientId: uid(), username: 'x'.repeat(3000), password: 'p' }));
    for (const packet of await client.closed()) expect(packet).toMatchObject({ type: 'connack', code: 0x95 });
  });
});
