/** Users of the store in the broker: what a change means for the next CONNECT, own rules, namespaces, and nothing secret anywhere. */

import { statSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { startBroker } from '../../kit/broker.ts';
import type { Version } from '../../kit/encode.ts';
import { useBroker } from '../../kit/lanes.ts';
import { RawClient } from '../../kit/raw-client.ts';
import { uid, until } from '../../kit/until.ts';

const held = useBroker(() => ({
  endpoints: [
    { authType: 'users' },
    { authType: 'users', authConfig: { look: 'both' }, namespace: 'other', useWebsocket: true },
    { authConfig: [{ authType: 'users' }, { authType: 'fixed', users: [{ username: 'fix', password: 'pw' }] }] },
    {
      authType: 'users',
      namespace: 'plant',
      aclConfig: {
        default: 'deny',
        rules: [
          { permission: 'allow', subject: { type: 'group', value: 'staff' }, topic: 'staff/#' },
          { permission: 'allow', subject: { type: 'namespace', value: 'plant' }, topic: 'plant/#' },
          { permission: 'allow', subject: { type: 'namespace', value: 'default' }, topic: 'office/#' },
        ],
      },
    },
  ],
}));
const BAD = 0x86;

async function code(username: string | null, password: string, { port = 0, version = 5 as Version, clientId = uid('c') } = {}) {
  const client = await RawClient.open(port === 1 ? 'ws' : 'tcp', held.broker.ports[port]!, version);
  try {
    return (await client.handshake({ clientId, ...(username === null ? {} : { username }), password })).code;
  } finally {
    client.destroy();
  }
}

async function api(method: string, path: string, body?: unknown, headers?: Record<string, string>) {
  const answer = await held.broker.api(method, `/api/users${path}`, body, headers);
  return { status: answer.status, data: (answer.body as { data: Record<string, unknown> }).data };
}

test('a user comes in, and each change counts from the next CONNECT on', async () => {
  expect(await api('POST', '', { username: 'ann', password: 'one' })).toMatchObject({ status: 200, data: { revision: 1 } });
  for (const version of [5, 4, 3] as Version[]) {
    expect(await code('ann', 'one', { version })).toBe(0);
    expect(await code('ann', 'two', { version })).toBe(version === 5 ? BAD : 4);
  }
  expect(await code('ann', 'one', { port: 2 })).toBe(0);
  expect(await code('fix', 'pw', { port: 2 })).toBe(0);
  expect((await api('POST', '', { username: 'ann', password: 'x' })).status).toBe(409);
  expect((await api('PUT', '', { username: 'ann', password: 'two' }, { 'if-match': '"7"' })).status).toBe(412);
  expect((await api('PUT', '', { username: 'ann', password: 'two' }, { 'if-match': '"1"' })).status).toBe(200);
  expect([await code('ann', 'one'), await code('ann', 'two')]).toEqual([BAD, 0]);
  await api('PUT', '', { username: 'ann', disabled: true });
  expect(await code('ann', 'two')).toBe(BAD);
  expect((await api('POST', '/rollback', { revision: 1 })).data).toMatchObject({ updated: 1 });
  expect(await code('ann', 'one')).toBe(0);
  expect((await api('DELETE', '?username=ann')).status).toBe(200);
  expect(await code('ann', 'one')).toBe(BAD);
  expect((await api('DELETE', '?username=ann')).status).toBe(404);
  expect(await code('nobody', 'one')).toBe(BAD);
});

test('namespaces, client identifiers, and superusers', async () => {
  await api('POST', '', { username: 'ned', password: 'pw', namespace: 'other', isSuperuser: true });
  await api('POST', '', { clientId: 'device', password: 'id', namespace: 'other' });
  expect([await code('ned', 'pw'), await code('ned', 'pw', { port: 1 })]).toEqual([BAD, 0]);
  expect(await code('anybody', 'id', { port: 1, clientId: 'device' })).toBe(0);
  expect(await code('anybody', 'id', { port: 1, clientId: 'device2' })).toBe(BAD);
  expect(await code('anybody', 'id', { clientId: 'device' })).toBe(BAD);
});

test('kick disconnects the clients of a changed or removed user, and nobody else', async () => {
  for (const [username, namespace] of [
    ['kim', 'default'],
    ['kim', 'plant'],
    ['leo', 'default'],
  ])
    await api('POST', '', { username, namespace, password: 'pw' });
  const enter = async (username: string, port: number, version: Version, clientId = uid('c')) => {
    const client = await RawClient.open('tcp', held.broker.ports[port]!, version);
    expect((await client.handshake({ clientId, username, password: 'pw' })).code).toBe(0);
    return client;
  };
  const kicked = [await enter('kim', 0, 5), await enter('kim', 2, 5), await enter('kim', 0, 4)];
  const others = [await enter('kim', 3, 5), await enter('leo', 0, 5, 'kim')];
  expect((await api('PUT', '', { username: 'kim', comment: 'stays' })).data).not.toHaveProperty('kicked');
  expect((await api('PUT', '', { username: 'kim', kick: 'yes' })).status).toBe(400);
  expect((await api('PUT', '', { username: 'nobody', kick: true })).status).toBe(404);
  for (const client of kicked) await client.ping();
  expect((await api('PUT', '', { username: 'kim', disabled: true, kick: true })).data).toMatchObject({ kicked: 3 });
  for (const client of kicked) await client.refused(0x98);
  for (const client of others) await client.ping();
  expect((await api('DELETE', '?username=leo&kick=true')).data).toMatchObject({ user: null, kicked: 1 });
  await others[1]!.refused(0x98);
  await others[0]!.ping();
  expect((await api('POST', '/remove', { username: 'kim', namespace: 'plant', kick: true })).data).toMatchObject({ kicked: 1 });
});

test('own rules come before those of the endpoint', async () => {
  await api('POST', '', {
    username: 'rex',
    password: 'pw',
    acl: [
      { permission: 'allow', action: 'all', topic: '${username}/#' },
      { permission: 'deny', topic: '#' },
    ],
  });
  const client = await RawClient.open('tcp', held.broker.ports[0]!, 5);
  await client.handshake({ clientId: uid('c'), username: 'rex', password: 'pw' });
  expect(
    (
      await client.subscribeRaw([
        { filter: 'rex/a', qos: 1 },
        { filter: 'other', qos: 1 },
      ])
    ).codes,
  ).toEqual([1, 0x87]);
  client.destroy();
});

test('rules about groups and namespaces, and what acl test says of a user', async () => {
  await api('POST', '', {
    username: 'gil',
    password: 'pw',
    namespace: 'plant',
    groups: ['night', 'staff'],
    acl: [{ permission: 'deny', topic: 'staff/secret' }],
  });
  await api('POST', '', { username: 'hal', password: 'pw', namespace: 'plant' });
  await api('POST', '', { username: 'ida', password: 'pw', namespace: 'plant', isSuperuser: true });
  const filters = ['staff/a', 'plant/a', 'office/a', 'staff/secret'];
  const port = held.broker.ports[3]!;
  const test = async (username: string, topic: string, more = {}) => {
    const { body } = await held.broker.api('POST', '/api/acl/test', { port, username, action: 'subscribe', topic, ...more });
    return (body as { data: { allowed: boolean; path: string | null; reason: string } }).data;
  };
  for (const [username, expected] of [
    ['gil', [0, 0, 0x87, 0x87]],
    ['hal', [0x87, 0, 0x87, 0x87]],
    ['ida', [0, 0, 0, 0]],
  ] as const) {
    const client = await RawClient.open('tcp', port, 5);
    await client.handshake({ clientId: uid('g'), username, password: 'pw' });
    expect([username, (await client.subscribeRaw(filters.map((filter) => ({ filter, qos: 0 as const })))).codes]).toEqual([
      username,
      expected,
    ]);
    const verdicts = await Promise.all(filters.map((topic) => test(username, topic)));
    expect([username, verdicts.map(({ allowed }) => (allowed ? 0 : 0x87))]).toEqual([username, expected]);
    client.destroy();
  }
  expect(await test('gil', 'staff/secret')).toMatchObject({ path: 'user.acl.0' });
  expect(await test('gil', 'staff/a')).toMatchObject({ path: 'aclConfig.rules.0' });
  expect((await test('ida', 'x')).reason).toContain('superuser');
  await api('POST', '', { clientId: 'box', password: 'pw', namespace: 'other', acl: [{ permission: 'deny', topic: 'x' }] });
  const byClient = await held.broker.api('POST', '/api/acl/test', {
    port: held.broker.ports[1],
    clientId: 'box',
    action: 'subscribe',
    topic: 'x',
  });
  expect(byClient.body).toMatchObject({ data: { allowed: false, path: 'user.acl.0' } });
  expect(await test('hal', 'staff/a', { groups: ['staff'] })).toMatchObject({ allowed: true, path: 'aclConfig.rules.0' });
});

test('an import is one change, and what is wrong in it changes nothing', async () => {
  const hash = '$7$101$AAAAAAAAAAAAAAAA$';
  const users = Array.from({ length: 2_000 }, (_, index) => ({
    username: `many-${index}`,
    hash: `${hash}${Buffer.alloc(64, index % 251).toString('base64')}`,
  }));
  const before = (await api('GET', '?limit=1')).data as unknown as { total: number; revision: number };
  const bad = await api('POST', '/import', { users: [...users, { username: 'many-1', hash: 'zz' }] });
  expect(bad.status).toBe(400);
  expect((await api('GET', '?limit=1')).data).toMatchObject({ total: before.total });
  for (const wrong of [{}, { 0: users[0] }, 'x', null])
    expect((await api('POST', '/import', { users: wrong, mode: 'replace' })).status).toBe(400);
  expect((await api('GET', '?limit=1')).data).toMatchObject({ total: before.total });
  expect((await api('POST', '/import', { users })).data).toMatchObject({ added: 2_000 });
  expect((await api('POST', '/import', { users })).data).toMatchObject({ added: 0, unchanged: 2_000 });
  const page = (await api('GET', '?search=many-19&limit=1000')).data as unknown as { users: unknown[]; total: number; next: string | null };
  expect([page.users.length, page.total - before.total, page.next]).toEqual([111, 2_000, null]);
  const text = JSON.stringify([page, (await api('GET', '/history')).data]);
  expect(text).not.toMatch(/\$7\$|\$argon2id|"hash"/);
  expect((await api('POST', '/rollback', { revision: before.revision })).data).toMatchObject({ removed: 2_000 });
  expect((await api('GET', '?limit=1')).data).toMatchObject({ total: before.total });
  const log = await held.broker.log();
  expect(log).not.toMatch(/\$7\$|\$argon2id/);
});

test('kill -9 in the middle of an import leaves all of it or nothing', async () => {
  const first = await startBroker();
  const hash = `$7$101$AAAAAAAAAAAAAAAA$${Buffer.alloc(64).toString('base64')}`;
  const users = Array.from({ length: 6_000 }, (_, index) => ({ username: `many-${index}`, hash }));
  await first.api('POST', '/api/users', { username: 'ann', password: 'one' });
  const lost = first.api('POST', '/api/users/import', { users }).then(
    ({ status }) => status,
    () => null,
  );
  const grown = () => statSync(join(first.dir, 'data/documents.db-wal')).size > 500_000;
  await until('rows on the disk', async () => grown(), 15_000, 5);
  await first.kill('SIGKILL');
  const isDone = (await lost) === 200;
  const again = await startBroker({ dir: first.dir });
  const { data } = (await again.api('GET', '/api/users?limit=1')).body as { data: { total: number } };
  expect(isDone ? [6_001] : [1, 6_001]).toContain(data.total);
  expect((await again.api('POST', '/api/users', { username: 'bob', password: 'two' })).status).toBe(200);
  await again.stop();
}, 60_000);
