/** Authentication with the `fixed` authenticator and access rules, per endpoint and for the node. */

import { createHash } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import type { Version } from '../../kit/encode.ts';
import * as encode from '../../kit/encode.ts';
import { connected, useBroker } from '../../kit/lanes.ts';
import { RawClient } from '../../kit/raw-client.ts';
import { uid, until } from '../../kit/until.ts';

const sha256 = (text: string): string => createHash('sha256').update(text).digest('hex');
const md5 = (text: string): string => createHash('md5').update(text).digest('hex');
const quick = { maxConnectionPerSecond: 100_000 };

const held = useBroker(() => ({
  config: {
    auth: [{ authType: 'fixed', users: [{ username: 'node', password: 'wide', encrypt: 'plain' }] }],
    acl: {
      default: 'allow',
      rules: [{ permission: 'deny', subject: { type: 'all', value: '' }, action: 'pubsub', topic: 'node/secret/#' }],
    },
  },
  endpoints: [
    {
      ...quick,
      authType: 'fixed',
      authConfig: {
        users: [
          { username: 'plain', password: 'pass1', encrypt: 'plain' },
          { username: 'sha', password: sha256('pass2'), encrypt: 'sha256' },
          { username: 'salted', password: md5('saltpass3'), encrypt: 'md5', salt: 'salt', saltMode: 'prefix' },
        ],
      },
      aclConfig: {
        default: 'allow',
        rules: [
          { permission: 'allow', subject: { type: 'user', value: 'sha' }, action: 'pubsub', topic: 'secret/#' },
          { permission: 'deny', subject: { type: 'all', value: '' }, action: 'pubsub', topic: 'secret/#' },
          { permission: 'deny', subject: { type: 'all', value: '' }, action: 'publish', topic: 'readonly/#' },
          { permission: 'allow', subject: { type: 'all', value: '' }, action: 'pubsub', topic: 'own/${clientId}/#' },
          { permission: 'deny', subject: { type: 'all', value: '' }, action: 'pubsub', topic: 'own/#' },
        ],
      },
    },
    { ...quick, serverOptions: { workerGroupSize: 3 } },
    { ...quick, enableAuth: false, enableAcl: false },
    {
      ...quick,
      id: 'ordered',
      enableAuth: false,
      aclConfig: [
        { permission: 'deny', subject: { type: 'all' }, topic: 'o/#' },
        { permission: 'allow', subject: { type: 'all' }, topic: 'o/${clientId}' },
      ],
    },
    {
      ...quick,
      id: 'conditional',
      enableAuth: false,
      aclConfig: [
        { permission: 'deny', subject: { type: 'all' }, action: 'publish', topic: 'kept/#', retain: true },
        { permission: 'deny', subject: { type: 'all' }, action: 'pubsub', topic: 'dear/#', qos: [1, 2] },
      ],
    },
  ],
}));

/** Reason code of MQTT 5. */
const NO_SUBSCRIBERS = 0x10;
const login = (username: string, password: string): encode.ConnectOptions => ({ username, password });

describe.each([5, 4, 3] as Version[])('authentication, MQTT %i', (version) => {
  test('a right password is accepted, in every stored form', async () => {
    for (const [name, password] of [
      ['plain', 'pass1'],
      ['sha', 'pass2'],
      ['salted', 'pass3'],
    ] as const) {
      await connected('tcp', held.broker.ports[0]!, version, login(name, password));
    }
    await connected('tcp', held.broker.ports[1]!, version, login('node', 'wide'));
    await connected('tcp', held.broker.ports[2]!, version);
  });

  test('a wrong one is refused with 0x86, or 4 before MQTT 5, and the connection ends [5:MQTT-3.1.4-2, 5:MQTT-3.2.2-8]', async () => {
    const cases: [number, encode.ConnectOptions][] = [
      [0, login('plain', 'wrong')],
      [0, login('nobody', 'pass1')],
      [0, login('node', 'wide')],
      [1, login('plain', 'pass1')],
    ];
    for (const [endpoint, options] of cases) {
      const client = await RawClient.open('tcp', held.broker.ports[endpoint]!, version);
      const connack = await client.handshake({ clientId: uid('c'), ...options });
      expect(connack).toMatchObject({ sessionPresent: false, code: version === 5 ? 0x86 : 4 });
      expect(await client.closed()).toEqual([]);
    }
  });

  test('none at all is refused', async () => {
    const client = await RawClient.open('tcp', held.broker.ports[0]!, version);
    const { code } = await client.handshake({ clientId: uid('c') });
    expect(version === 5 ? [0x86, 0x87] : [4, 5]).toContain(code);
    await client.closed();
  });

  test('a refused client takes over nobody and leaves no session', async () => {
    const clientId = uid('c');
    const first = await connected('tcp', held.broker.ports[0]!, version, { clientId, ...login('plain', 'pass1') });
    const thief = await RawClient.open('tcp', held.broker.ports[0]!, version);
    await thief.handshake({ clientId, clean: false, ...login('plain', 'wrong') });
    await thief.closed();
    await first.ping();
  });
});

describe.each([5, 4] as Version[])('access rules, MQTT %i', (version) => {
  const port = (): number => held.broker.ports[0]!;

  test('a denied PUBLISH reaches nobody: 0x87 for MQTT 5, a usual acknowledgement before [3:MQTT-3.3.5-2]', async () => {
    const witness = await connected('tcp', port(), version, login('sha', 'pass2'));
    await witness.subscribe([
      { filter: 'secret/#', qos: 2 },
      { filter: 'readonly/#', qos: 2 },
    ]);
    const client = await connected('tcp', port(), version, login('plain', 'pass1'));
    const denied = version === 5 ? 0x87 : 0;
    for (const topic of ['secret/a', 'readonly/a']) {
      await client.publish(topic, 'x', { qos: 0 });
      expect(await client.publish(topic, 'x', { qos: 1 })).toBe(denied);
      expect(await client.publish(topic, 'x', { qos: 2 })).toBe(denied);
      expect(await client.publish(topic, 'x', { qos: 1, retain: true })).toBe(denied);
    }
    await client.ping();
    await witness.silence();
  });

  test('a PUBREC with an error frees the identifier [5:MQTT-4.3.3-9]', async () => {
    if (version < 5) return;
    const topic = uid('free/');
    const client = await connected('tcp', port(), version, login('plain', 'pass1'));
    await client.subscribe(topic, 2);
    expect(await client.publish('secret/a', 'x', { qos: 2, id: 3 })).toBe(0x87);
    expect(await client.publish(topic, 'new', { qos: 2, id: 3 })).toBe(0);
    expect((await client.take()).payload.toString()).toBe('new');
  });

  test('a denied SUBSCRIBE is answered with 0x87, or 0x80 before MQTT 5; the other filters hold', async () => {
    const client = await connected('tcp', port(), version, login('plain', 'pass1'));
    const open = uid('open/');
    const suback = await client.subscribeRaw([{ filter: 'secret/#' }, { filter: open, qos: 1 }, { filter: 'secret/a' }]);
    const denied = version === 5 ? 0x87 : 0x80;
    expect(suback.codes).toEqual([denied, 1, denied]);
    const other = await connected('tcp', port(), version, login('sha', 'pass2'));
    await other.publish('secret/a', 'hidden', { qos: 1 });
    await other.publish(open, 'seen', { qos: 1 });
    expect((await client.take()).payload.toString()).toBe('seen');
    await client.silence();
  });

  test('a wider filter does not show what is denied', async () => {
    const client = await connected('tcp', port(), version, login('plain', 'pass1'));
    const suback = await client.subscribeRaw([{ filter: '#', qos: 1 }]);
    const other = await connected('tcp', port(), version, login('sha', 'pass2'));
    await other.publish('secret/a', 'hidden', { qos: 1 });
    await other.publish('secret/r', 'hidden', { qos: 1, retain: true });
    await other.publish('secret/r', '', { qos: 1, retain: true });
    if (suback.codes[0]! < 0x80) {
      await other.publish('public/a', 'seen', { qos: 1 });
      let message = await client.take();
      while (message.topic !== 'public/a') {
        expect(message.topic).not.toMatch(/^secret/);
        message = await client.take();
      }
    }
    await client.silence();
  });

  test('a rule with the client identifier', async () => {
    const clientId = uid('me');
    const client = await connected('tcp', port(), version, { clientId, ...login('plain', 'pass1') });
    expect((await client.subscribeRaw([{ filter: `own/${clientId}/x` }, { filter: 'own/other/x' }])).codes).toEqual([
      0,
      version === 5 ? 0x87 : 0x80,
    ]);
  });

  test('a will to a denied topic is refused or not published', async () => {
    const witness = await connected('tcp', port(), version, login('sha', 'pass2'));
    await witness.subscribe('secret/#', 1);
    const client = await RawClient.open('tcp', port(), version);
    client.send(encode.connect(version, { clientId: uid('c'), ...login('plain', 'pass1'), will: { topic: 'secret/will', payload: 'w' } }));
    const connack = await client.expect('connack');
    if (connack.code === 0) await client.cut();
    else expect(connack.code).toBe(version === 5 ? 0x87 : 5);
    await witness.silence();
  });

  test('the rules of the node hold where the endpoint has none, and not where they are off', async () => {
    const denied = version === 5 ? 0x87 : 0x80;
    const node = await connected('tcp', held.broker.ports[1]!, version, login('node', 'wide'));
    expect((await node.subscribeRaw([{ filter: 'node/secret/x' }])).codes).toEqual([denied]);
    const off = await connected('tcp', held.broker.ports[2]!, version);
    expect((await off.subscribeRaw([{ filter: 'node/secret/x' }])).codes).toEqual([0]);
  });
});

test('the first rule decides; another order takes effect for connected clients at once', async () => {
  const clientId = uid('me');
  const client = await connected('tcp', held.broker.ports[3]!, 5, { clientId });
  const own = `o/${clientId}`;
  const use = async () => [(await client.subscribeRaw([{ filter: own }])).codes[0], await client.publish(own, 'x', { qos: 1 })];
  const change = (aclConfig: object) => held.broker.api('POST', '/api/endpoints/update', { id: 'ordered', aclConfig });
  expect(await use()).toEqual([0x87, 0x87]);
  const { body } = await change({ order: 'allow-overrides' });
  expect(body).toMatchObject({ data: { endpoint: { aclConfig: { order: 'allow-overrides', default: 'allow' } } } });
  expect(await use()).toEqual([0, 0]);
  expect((await client.take()).topic).toBe(own);
  const unreached = 'decides nothing, because aclConfig.rules.0 comes first';
  const plan = { action: 'update', id: 'ordered', aclConfig: { order: 'first-match' } };
  expect(JSON.stringify((await held.broker.api('POST', '/api/endpoints/plan', plan)).body)).toContain(unreached);
  const back = await change({ order: 'first-match' });
  expect(JSON.stringify(back.body)).toContain(unreached);
  await until('the subscription is withdrawn', async () => (await client.publish(own, 'x', { qos: 1 })) === 0x87);
  expect((await client.subscribeRaw([{ filter: 'o/other' }, { filter: 'x' }])).codes).toEqual([0x87, 0]);
  expect(await client.publish('y', 'x', { qos: 1 })).toBe(NO_SUBSCRIBERS);
  await client.silence();
});

test.each([5, 4, 3] as Version[])('rules of some QoS or of RETAIN, MQTT %i', async (version) => {
  const port = held.broker.ports[4]!;
  const hear = await connected('tcp', port, version);
  const codes = (await hear.subscribeRaw([{ filter: 'kept/#', qos: 2 }, { filter: 'dear/#' }, { filter: 'dear/#', qos: 1 }])).codes;
  expect(codes).toEqual([2, 0, version === 5 ? 0x87 : 0x80]);
  const client = await connected('tcp', port, version);
  const [kept, dear] = [uid('kept/'), uid('dear/')];
  const send = async (topic: string, options: { qos: 0 | 1 | 2; retain?: boolean }) => client.publish(topic, `${options.qos}`, options);
  // One topic in turns: the decision about the last topic is remembered.
  await send(dear, { qos: 0 });
  for (const qos of [1, 2, 1] as const) expect(await send(dear, { qos })).toBe(version === 5 ? 0x87 : 0);
  await send(dear, { qos: 0 });
  for (const qos of [0, 1, 2] as const) {
    expect(await send(kept, { qos })).toBe(0);
    const code = await send(kept, { qos, retain: true });
    if (qos > 0) expect(code).toBe(version === 5 ? 0x87 : 0);
  }
  const heard = [];
  for (let count = 0; count < 5; count++) heard.push(await hear.take());
  expect(heard.map(({ topic, payload }) => `${topic} ${payload.toString()}`).toSorted()).toEqual(
    [`${dear} 0`, `${dear} 0`, `${kept} 0`, `${kept} 1`, `${kept} 2`].toSorted(),
  );
  await hear.silence();
  const will = (topic: string, retain: boolean) => ({ will: { topic, payload: 'will', qos: 0 as const, retain } });
  const refused = await RawClient.open('tcp', port, version);
  expect((await refused.handshake({ clientId: uid('w'), ...will(kept, true) })).code).toBe(version === 5 ? 0x87 : 5);
  const allowed = await connected('tcp', port, version, will(kept, false));
  allowed.destroy();
  expect((await hear.take()).payload.toString()).toBe('will');
});

test('a rule that comes to be about the QoS of a subscription withdraws it', async () => {
  const client = await connected('tcp', held.broker.ports[4]!, 5);
  const topic = uid('t/');
  await client.subscribe(topic, 1);
  await client.subscribe(`${topic}/0`, 0);
  const { body } = await held.broker.api('GET', '/api/endpoints/get?id=conditional');
  const { rules } = (body as { data: { endpoint: { aclConfig: { rules: object[] } } } }).data.endpoint.aclConfig;
  expect(rules).toMatchObject([{ retain: true }, { qos: [1, 2] }]);
  const more = { permission: 'deny', subject: { type: 'all' }, action: 'subscribe', topic: `${topic}/#`, qos: 1 };
  const change = { id: 'conditional', aclConfig: { rules: [...rules, more] } };
  expect((await held.broker.api('POST', '/api/endpoints/update', change)).status).toBe(200);
  expect(await client.publish(topic, 'x', { qos: 1 })).toBe(NO_SUBSCRIBERS);
  await client.publish(`${topic}/0`, 'x', { qos: 1 });
  expect((await client.take()).topic).toBe(`${topic}/0`);
});

describe('POST /api/acl/test', () => {
  const asked = (body: object) => held.broker.api('POST', '/api/acl/test', body);

  test('answers what the endpoint does, and which rule decides', async () => {
    const clientId = uid('me');
    const port = held.broker.ports[0]!;
    const client = await connected('tcp', port, 5, { clientId, ...login('plain', 'pass1') });
    const requests: [string, string | null][] = [
      ['secret/a', 'aclConfig.rules.1'],
      ['secret/#', 'aclConfig.rules.1'],
      ['$share/g/secret/#', 'aclConfig.rules.1'],
      ['#', 'aclConfig.rules.1'],
      ['readonly/x', null],
      [`own/${clientId}/#`, 'aclConfig.rules.3'],
      ['own/other', 'aclConfig.rules.4'],
      ['open', null],
    ];
    for (const [topic, path] of requests) {
      const { data } = (await asked({ port, clientId, username: 'plain', action: 'subscribe', topic })).body as {
        data: { allowed: boolean; path: string | null };
      };
      const [code] = (await client.subscribeRaw([{ filter: topic }])).codes;
      expect([topic, data]).toEqual([topic, expect.objectContaining({ allowed: code === 0, path })]);
    }
    const publish = async (topic: string, username: string | null) =>
      ((await asked({ port, username, action: 'publish', topic })).body as { data: unknown }).data;
    expect(await publish('secret/a', 'sha')).toMatchObject({
      allowed: true,
      path: 'aclConfig.rules.0',
      rule: { permission: 'allow', subject: { type: 'user', value: 'sha' }, action: 'pubsub', topic: 'secret/#' },
      reason: 'aclConfig.rules.0 decides, with order first-match',
    });
    expect(await publish('readonly/x', null)).toMatchObject({ allowed: false, path: 'aclConfig.rules.2' });
    expect(await publish('open', null)).toMatchObject({ allowed: true, rule: null, reason: 'no rule decides: aclConfig.default is allow' });
    expect(await publish('$SYS/x', 'sha')).toMatchObject({ allowed: false, reason: 'clients do not publish below $SYS/' });
    const conditional = async (body: object) =>
      ((await asked({ id: 'conditional', ...body })).body as { data: { allowed: boolean; path: string | null } }).data;
    expect(await conditional({ action: 'publish', topic: 'kept/a' })).toMatchObject({ allowed: true, path: null });
    const retained = { action: 'publish', topic: 'kept/a', retain: true };
    expect(await conditional(retained)).toMatchObject({ allowed: false, path: 'aclConfig.rules.0', rule: { retain: true } });
    expect(await conditional({ action: 'subscribe', topic: 'dear/a', qos: 1 })).toMatchObject({ allowed: false, rule: { qos: [1, 2] } });
    const subscribe = { action: 'subscribe', topic: 'node/secret/x' };
    expect((await asked({ ...subscribe, port: held.broker.ports[1]! })).body).toMatchObject({
      data: { allowed: false, path: 'acl.rules.0' },
    });
    expect((await asked({ ...subscribe, port: held.broker.ports[2]! })).body).toMatchObject({
      data: { allowed: true, reason: 'enableAcl is false: the endpoint has no rules' },
    });
  });

  test.each([
    [{ action: 'publish', topic: 'a' }, 'id'],
    [{ port: 1, action: 'publish', topic: 'a/+' }, 'topic'],
    [{ port: 1, action: 'subscribe', topic: 'a/#/b' }, 'topic'],
    [{ port: 1, action: 'subscribe', topic: '$share//a' }, 'topic'],
    [{ port: 1, action: 'pubsub', topic: 'a' }, 'action'],
    [{ port: 1, action: 'publish', topic: 'a', ip: 'host' }, 'ip'],
    [{ port: 1, action: 'publish', topic: 'a', user: 'x' }, 'user'],
  ])('%j is refused', async (body, path) => {
    const { status, body: answer } = await asked(body);
    expect([status, (answer as { error: { issues: { path: string }[] } }).error.issues.map((issue) => issue.path)]).toEqual([400, [path]]);
  });

  test('an endpoint that does not exist is not found', async () => {
    expect((await asked({ port: 1, action: 'publish', topic: 'a' })).status).toBe(404);
  });
});
