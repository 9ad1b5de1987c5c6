/** CONNECT and CONNACK: what a server must accept, refuse and answer. */

import { once } from 'node:events';
import { describe, expect, test } from 'vitest';
import { startBroker } from '../../kit/broker.ts';
import * as encode from '../../kit/encode.ts';
import { connected, LANES, LANES_3, LANES_5, useSharedLanes, VERSIONS } from '../../kit/lanes.ts';
import { field, u8, u16, u32 } from '../../kit/properties.ts';
import { RawClient } from '../../kit/raw-client.ts';
import { openTcp } from '../../kit/transport.ts';
import { uid } from '../../kit/until.ts';

const kit = useSharedLanes();

describe.each(LANES)('CONNECT, $name', (lane) => {
  test('is answered by one CONNACK 0x00 before anything else [5:MQTT-3.1.4-5, 5:MQTT-3.2.0-1, 5:MQTT-3.2.0-2, 3:MQTT-3.1.4-4, 3:MQTT-3.2.0-1]', async () => {
    const client = await kit.open(lane);
    const connack = await client.handshake({ clientId: uid('c') });
    expect(connack).toMatchObject({ code: 0, sessionPresent: false });
    await client.ping();
    await client.disconnect();
  });

  test('a client identifier of 1 and of 23 letters and digits is accepted [5:MQTT-3.1.3-5, 3:MQTT-3.1.3-5]', async () => {
    for (const clientId of ['Z', '0123456789abcdefghijklm', 'nopqrstuvwxyzABCDEFGHIJ', 'KLMNOPQRSTUVWXYZ']) {
      const client = await kit.client(lane, { clientId });
      await client.disconnect();
    }
  });

  test('packets sent behind CONNECT without waiting for CONNACK are handled in order', async () => {
    const client = await kit.open(lane);
    const topic = uid('early/');
    client.send(
      encode.connect(lane.version, { clientId: uid('c') }),
      encode.subscribe(lane.version, 1, [{ filter: topic }]),
      encode.publish(lane.version, topic, 'x'),
      encode.pingreq(),
    );
    expect((await client.expect('connack')).code).toBe(0);
    // A PUBLISH for the subscription may come before its SUBACK.
    const types = [(await client.next()).type, (await client.next()).type, (await client.next()).type];
    expect(types.toSorted()).toEqual(['pingresp', 'publish', 'suback']);
  });

  test('every packet may arrive byte by byte [5:MQTT-3.1.3-1, 3:MQTT-3.1.3-1]', async () => {
    const client = await kit.open(lane);
    const topic = uid('slow/');
    const bytes = Buffer.concat([
      encode.connect(lane.version, {
        clientId: uid('c'),
        username: 'name',
        password: 'secret',
        will: { topic: uid('will/'), payload: 'w' },
      }),
      encode.subscribe(lane.version, 1, [{ filter: topic, qos: 1 }]),
      encode.publish(lane.version, topic, 'payload', { qos: 1, id: 7 }),
    ]);
    for (const byte of bytes) {
      client.send(u8(byte));
      await new Promise((resolve) => setImmediate(resolve));
    }
    await client.expect('connack');
    const three = [await client.next(), await client.next(), await client.next()];
    expect(three.map((packet) => packet.type).toSorted()).toEqual(['puback', 'publish', 'suback']);
  });

  test('a second CONNECT ends the connection, and nothing comes after the DISCONNECT [5:MQTT-3.14.4-1, 5:MQTT-3.14.4-2, 5:MQTT-3.1.0-2, 3:MQTT-3.1.0-2]', async () => {
    const client = await kit.client(lane);
    client.send(encode.connect(lane.version, { clientId: uid('c') }));
    await client.refused(0x82);
  });

  test('a packet before CONNECT ends the connection without an answer [5:MQTT-3.1.0-1, 5:MQTT-3.14.0-1, 3:MQTT-3.1.0-1]', async () => {
    for (const bytes of [
      encode.pingreq(),
      encode.publish(lane.version, 'a', 'b'),
      encode.disconnect(),
      encode.subscribe(lane.version, 1, [{ filter: 'a' }]),
    ]) {
      const client = await kit.open(lane);
      client.send(bytes);
      expect(await client.closed()).toEqual([]);
    }
  });

  test('user name and password are accepted where no authentication is asked for [5:MQTT-3.1.2-17, 5:MQTT-3.1.2-19, 3:MQTT-3.1.2-19, 3:MQTT-3.1.2-21]', async () => {
    await kit.client(lane, { username: 'someone', password: 'p' });
    await kit.client(lane, { username: 'someone' });
  });

  test('data behind a CONNECT that was refused is not processed [5:MQTT-3.1.4-6, 3:MQTT-3.1.4-5]', async () => {
    const topic = uid('refused/');
    const witness = await kit.client(lane);
    await witness.subscribe(topic);
    const client = await kit.open(lane);
    const bad = spoilt(lane.version, 0x02, field(Buffer.from([0xff])));
    client.send(bad, encode.publish(lane.version, topic, 'must not arrive'));
    await client.closed();
    await witness.silence();
  });
});

/** CONNECT with a flags byte and payload of the test's choice. */
function spoilt(version: encode.Version, flags: number, ...payload: Buffer[]): Buffer {
  const properties = version === 5 ? [u8(0)] : [];
  return encode.frame(0x10, field(version === 3 ? 'MQIsdp' : 'MQTT'), u8(version), u8(flags), u16(60), ...properties, ...payload);
}

describe.each(VERSIONS)('malformed CONNECT, $name', (lane) => {
  const none = lane.version === 5 ? [u8(0)] : [];
  const cases: [string, Buffer][] = [
    ['with the reserved flag set [5:MQTT-3.1.2-3, 3:MQTT-3.1.2-3]', spoilt(lane.version, 0x03, field(uid()))],
    ['with Will QoS 3 [5:MQTT-3.1.2-12, 3:MQTT-3.1.2-14]', spoilt(lane.version, 0x1e, field(uid()), ...none, field('w'), field('m'))],
    ['with Will QoS but no Will Flag [5:MQTT-3.1.2-11, 3:MQTT-3.1.2-11, 3:MQTT-3.1.2-13]', spoilt(lane.version, 0x0a, field(uid()))],
    ['with Will Retain but no Will Flag [5:MQTT-3.1.2-13, 3:MQTT-3.1.2-15]', spoilt(lane.version, 0x22, field(uid()))],
    ['with Will Flag but no will [5:MQTT-3.1.2-9, 3:MQTT-3.1.2-9]', spoilt(lane.version, 0x06, field(uid()))],
    ['with a user name flag but no user name', spoilt(lane.version, 0x82, field(uid()))],
    ['with a password flag but no password', spoilt(lane.version, 0xc2, field(uid()), field('name'))],
    ['with a user name but no flag [5:MQTT-3.1.2-16, 3:MQTT-3.1.2-18]', spoilt(lane.version, 0x02, field(uid()), field('name'))],
    [
      'with a password but no flag [5:MQTT-3.1.2-18, 3:MQTT-3.1.2-20]',
      spoilt(lane.version, 0x82, field(uid()), field('name'), field('secret')),
    ],
    ['without client identifier [5:MQTT-3.1.3-3, 3:MQTT-3.1.3-3]', spoilt(lane.version, 0x02)],
    [
      'with a client identifier that is not UTF-8 [5:MQTT-3.1.3-4, 3:MQTT-3.1.3-4]',
      spoilt(lane.version, 0x02, field(Buffer.from([0xc3, 0x28]))),
    ],
    ['with U+0000 in the client identifier [5:MQTT-1.5.4-2, 3:MQTT-1.5.3-2]', spoilt(lane.version, 0x02, field('a\0b'))],
    [
      'with a surrogate in the client identifier [5:MQTT-1.5.4-1, 3:MQTT-1.5.3-1]',
      spoilt(lane.version, 0x02, field(Buffer.from([0x61, 0xed, 0xa0, 0x80]))),
    ],
    [
      'with a user name that is not UTF-8 [5:MQTT-3.1.3-12, 3:MQTT-3.1.3-11]',
      spoilt(lane.version, 0x82, field(uid()), field(Buffer.from([0xff]))),
    ],
    [
      'with a will topic that is not UTF-8 [5:MQTT-3.1.3-11, 3:MQTT-3.1.3-10]',
      spoilt(lane.version, 0x06, field(uid()), ...none, field(Buffer.from([0xff])), field('m')),
    ],
    ['with an empty will topic', spoilt(lane.version, 0x06, field(uid()), ...none, field(''), field('m'))],
    ['with a wildcard in the will topic', spoilt(lane.version, 0x06, field(uid()), ...none, field('a/#'), field('m'))],
    ['with a password length past its end', spoilt(lane.version, 0xc2, field(uid()), field('n'), u16(500), u8(1))],
    [
      'with header flags [5:MQTT-2.1.3-1, 3:MQTT-2.2.2-1, 3:MQTT-2.2.2-2]',
      Buffer.concat([u8(0x11), encode.connect(lane.version, { clientId: uid() }).subarray(1)]),
    ],
  ];
  // MQTT 3.1 leaves the unused flags open, and lets a flagged user name be missing.
  const lax = /reserved flag|no Will Flag|but no user name|but no password|header flags/;
  test.each(lane.version === 3 ? cases.filter(([name]) => !lax.test(name)) : cases)(
    '%s is refused [5:MQTT-3.1.4-1, 3:MQTT-3.1.4-1]',
    async (_name, bytes) => {
      const client = await kit.open(lane);
      client.send(bytes);
      const said = await client.closed();
      // MQTT 5 may learn why from a CONNACK; with older versions the connection ends without one.
      if (lane.version < 5) expect(said).toEqual([]);
      for (const packet of said) expect(packet).toMatchObject({ type: 'connack', sessionPresent: false });
      for (const packet of said) expect([0x81, 0x82, 0x85, 0x90]).toContain((packet as { code: number }).code);
    },
  );
});

test('an unknown protocol name ends the connection [5:MQTT-3.1.2-1, 3:MQTT-3.1.2-1]', async () => {
  for (const name of ['MQTTX', 'mqtt', 'HTTP', '', 'MQIsdpx']) {
    const client = await kit.open(VERSIONS[1]!);
    client.send(encode.frame(0x10, field(name), u8(4), u8(2), u16(60), field(uid())));
    for (const packet of await client.closed()) expect(packet).toMatchObject({ type: 'connack', code: 1 });
  }
});

test('an unknown protocol level is refused and the connection ends [5:MQTT-3.1.2-2, 3:MQTT-3.1.2-2]', async () => {
  for (const level of [0, 1, 2, 6, 7, 0x80, 0xff]) {
    const client = await kit.open(VERSIONS[1]!);
    client.send(encode.frame(0x10, field('MQTT'), u8(level), u8(2), u16(60), field(uid())));
    const said = await client.closed().catch((error: Error) => error.message);
    // 0x01 in the form of MQTT 3.1.1, or 0x84 in the form of MQTT 5: the client's own form cannot be known.
    expect(JSON.stringify(said), `level ${level}`).toMatch(/"code":1[,}]|CONNACK return code 132/);
  }
});

test('a level with the bit by which bridges name themselves is refused in the form of its own version', async () => {
  for (const [name, level, answer] of [
    ['MQTT', 0x84, '20020001'],
    ['MQIsdp', 0x83, '20020001'],
    ['MQTT', 0x85, '2003008400'],
  ] as const) {
    const socket = await openTcp(kit.broker.ports[0]!);
    const said: Buffer[] = [];
    socket.on('data', (bytes) => said.push(bytes));
    const closed = once(socket, 'close');
    const properties = level === 0x85 ? [u8(0)] : [];
    socket.write(encode.frame(0x10, field(name), u8(level), u8(2), u16(60), ...properties, field(uid())));
    await closed;
    expect(Buffer.concat(said).toString('hex'), `level ${level}`).toBe(answer);
  }
});

// MQTT 3.1 knows no empty identifier.
describe.each(LANES_3.filter((lane) => lane.version === 4))('client identifier of MQTT 3.1.1, $name', (lane) => {
  test('an empty one with clean session gets a unique one [3:MQTT-3.1.3-6]', async () => {
    const first = await kit.client(lane, { clientId: '' });
    const second = await kit.client(lane, { clientId: '' });
    await first.ping();
    await second.ping();
  });
});

describe.each(LANES_3)('client identifier, $name', (lane) => {
  test('an empty one without clean session is refused with 0x02 [3:MQTT-3.1.3-8, 3:MQTT-3.1.3-9, 3:MQTT-3.2.2-4, 3:MQTT-3.2.2-5]', async () => {
    const client = await kit.open(lane);
    expect(await client.handshake({ clientId: '', clean: false })).toMatchObject({ code: 2, sessionPresent: false });
    expect(await client.closed()).toEqual([]);
  });

  test('a password without a user name is refused [3:MQTT-3.1.2-22]', async () => {
    const client = await kit.open(lane);
    client.send(encode.connect(lane.version, { clientId: uid(), password: 'alone' }));
    expect(await client.closed()).toEqual([]);
  });
});

test('MQTT 3.1: a user name flag without user name and password is allowed', async () => {
  const client = await kit.open(VERSIONS[2]!);
  client.send(spoilt(3, 0xc2, field(uid())));
  expect((await client.expect('connack')).code).toBe(0);
});

test('MQTT 3.1: an empty client identifier is refused with 0x02', async () => {
  const client = await kit.open(VERSIONS[2]!);
  expect((await client.handshake({ clientId: '' })).code).toBe(2);
  await client.closed();
});

describe.each(LANES_5)('CONNACK properties, $name', (lane) => {
  test('an assigned client identifier is new and usable [5:MQTT-3.1.3-6, 5:MQTT-3.1.3-7, 5:MQTT-3.2.2-16]', async () => {
    const ids = new Set<string>();
    for (let index = 0; index < 5; index++) {
      const client = await kit.client(lane, { clientId: '', clean: false, properties: { sessionExpiry: 60 } });
      ids.add(client.connack!.properties.assignedClientId!);
    }
    expect(ids.size).toBe(5);
    const [id] = ids;
    expect(id).toMatch(/./);
    const again = await kit.client(lane, { clientId: id!, clean: false });
    expect(again.connack!.sessionPresent).toBe(true);
    expect(again.connack!.properties.assignedClientId).toBeUndefined();
  });

  test('an accepted identifier is not assigned another one', async () => {
    const client = await kit.client(lane);
    expect(client.connack!.properties.assignedClientId).toBeUndefined();
  });

  test('CONNACK has the limits, and only those that differ from the defaults [5:MQTT-3.2.2-9]', async () => {
    const { properties } = (await kit.client(lane)).connack!;
    expect(properties).toMatchObject({ receiveMaximum: 100, maximumPacketSize: 4194304 });
    expect(properties.topicAliasMaximum).toBeGreaterThan(0);
    for (const flag of ['retainAvailable', 'wildcardAvailable', 'subscriptionIdsAvailable', 'sharedAvailable'] as const) {
      expect(properties[flag] ?? 1).toBe(1);
    }
    expect(properties.maximumQos).toBeUndefined();
  });

  test('no Response Information unless it was asked for [5:MQTT-3.1.2-28]', async () => {
    for (const properties of [{}, { requestResponse: 0 }]) {
      expect((await kit.client(lane, { properties })).connack!.properties.responseInformation).toBeUndefined();
    }
  });

  test('no authentication method in CONNACK when CONNECT had none [5:MQTT-4.12.0-6]', async () => {
    const { properties } = (await kit.client(lane)).connack!;
    expect(properties).not.toHaveProperty('authMethod');
    expect(properties).not.toHaveProperty('authData');
  });

  test('an unknown authentication method is refused with 0x8C [5:MQTT-4.12.0-1, 5:MQTT-4.12.0-4, 5:MQTT-3.2.2-6, 5:MQTT-3.2.2-7, 5:MQTT-4.13.2-1]', async () => {
    const client = await kit.open(lane);
    const connack = await client.handshake({
      clientId: uid(),
      clean: false,
      properties: { authMethod: 'SCRAM-SHA-1', authData: Buffer.from('x') },
    });
    expect(connack).toMatchObject({ code: 0x8c, sessionPresent: false });
    expect(await client.closed()).toEqual([]);
  });

  test('AUTH without an authentication method in CONNECT is a protocol error [5:MQTT-4.12.0-7, 5:MQTT-3.15.2-1]', async () => {
    const client = await kit.client(lane);
    client.send(encode.auth(0x19, { authMethod: 'SCRAM-SHA-1' }));
    await client.refused(0x82);
  });

  test('a password without a user name is allowed', async () => {
    await kit.client(lane, { password: 'alone' });
  });

  test('with Request Problem Information 0 acknowledgements carry no reason string [5:MQTT-3.1.2-29]', async () => {
    const client = await kit.client(lane, { properties: { requestProblem: 0 } });
    const suback = await client.subscribeRaw([{ filter: 'a/#/b' }, { filter: 'ok' }]).catch(() => null);
    if (suback) expect(suback.properties).toEqual({});
    const other = await kit.client(lane, { properties: { requestProblem: 0 } });
    const id = other.id();
    other.send(encode.publish(5, uid('nobody/'), 'x', { qos: 1, id }));
    expect((await other.expect('puback')).properties).toEqual({});
    other.send(encode.pubrel(777));
    expect(await other.expect('pubcomp')).toMatchObject({ code: 0x92, properties: {} });
  });
});

describe('CONNECT properties that break a rule', () => {
  const lane = LANES_5[0]!;
  const raw = (properties: Buffer): Buffer => encode.frame(0x10, field('MQTT'), u8(5), u8(2), u16(60), properties, field(uid()));
  const block = (...parts: Buffer[]): Buffer => {
    const body = Buffer.concat(parts);
    return Buffer.concat([u8(body.length), body]);
  };
  const cases: [string, Buffer, number][] = [
    ['Receive Maximum 0', raw(block(u8(0x21), u16(0))), 0x82],
    ['Maximum Packet Size 0', raw(block(u8(0x27), Buffer.alloc(4))), 0x82],
    ['Session Expiry Interval twice', raw(block(u8(0x11), Buffer.alloc(4), u8(0x11), Buffer.alloc(4))), 0x82],
    ['Request Problem Information 2', raw(block(u8(0x17), u8(2))), 0x82],
    ['Request Response Information 2', raw(block(u8(0x19), u8(2))), 0x82],
    ['Authentication Data without Method', raw(block(u8(0x16), field('x'))), 0x82],
    ['a property of another packet (Topic Alias)', raw(block(u8(0x23), u16(1))), 0x81],
    ['an unknown property', raw(block(u8(0x7f), u8(1))), 0x81],
    ['a property length past the end of the packet', raw(u8(120)), 0x81],
    ['a property length that cuts a property', raw(Buffer.concat([u8(3), u8(0x11), u32(60)])), 0x81],
    ['a user property that is not UTF-8 [5:MQTT-1.5.7-1]', raw(block(u8(0x26), field(Buffer.from([0xff])), field('v'))), 0x81],
  ];
  test.each(cases)('%s', async (_name, bytes, code) => {
    const client = await kit.open(lane);
    client.send(bytes);
    for (const packet of await client.closed()) {
      expect(packet.type).toBe('connack');
      expect([code, 0x81, 0x82]).toContain((packet as { code: number }).code);
    }
  });
});

test('a connection that sends no CONNECT is closed in the end, others stay', async () => {
  const broker = await startBroker({ endpoints: [{ enableAuth: false }] });
  try {
    const bystander = await connected('tcp', broker.ports[0]!, 5);
    const idle = await RawClient.open('tcp', broker.ports[0]!, 5);
    idle.send(u8(0x10));
    expect(await idle.closed(20_000)).toEqual([]);
    await bystander.ping();
  } finally {
    await broker.stop();
  }
}, 40_000);
