/** `/api/auth` and `/api/acl`: the authenticators and rules of endpoints without their own, changed while clients are connected. */

import { expect, test } from 'vitest';
import { startBroker } from '../kit/broker.ts';
import { useBroker } from '../kit/lanes.ts';
import { RawClient } from '../kit/raw-client.ts';
import { until } from '../kit/until.ts';

const SECRET = 'do not tell';
const fixed = (username: string, password = SECRET) => [{ authType: 'fixed', users: [{ username, password }] }];
const held = useBroker(() => ({
  endpoints: [{}, { authConfig: fixed('own') }],
  config: { auth: fixed('file'), acl: { default: 'allow', rules: [] } },
}));

interface Answer {
  status: number;
  etag: string | null;
  data: { source: string; revision: number | null; endpoints?: number; warnings?: string[]; auth?: { authType: string }[]; acl?: unknown };
}

async function api(method: string, path: string, body?: unknown, headers?: Record<string, string>): Promise<Answer> {
  const answer = await held.broker.api(method, path, body, headers);
  return { status: answer.status, etag: answer.headers.get('etag'), data: (answer.body as { data: Answer['data'] }).data };
}

async function open(username: string, port = 0, password = SECRET): Promise<{ client: RawClient; code: number }> {
  const client = await RawClient.open('tcp', held.broker.ports[port]!, 5);
  return { client, code: (await client.handshake({ username, password })).code };
}

async function code(username: string, port = 0, password = SECRET): Promise<number> {
  const opened = await open(username, port, password);
  opened.client.destroy();
  return opened.code;
}

test('auth: of the file until the store has one, then of the store, on each endpoint without its own', async () => {
  expect((await api('GET', '/api/auth')).data).toMatchObject({ source: 'configuration', revision: null, auth: [{ authType: 'fixed' }] });
  expect([await code('file'), await code('own', 1), await code('new')]).toEqual([0, 0, 0x86]);
  const dry = await api('PUT', '/api/auth', { auth: fixed('new'), dryRun: true });
  expect(dry).toMatchObject({ status: 200, data: { revision: null, endpoints: 1, source: 'store' } });
  expect(await code('new')).toBe(0x86);
  const put = await api('PUT', '/api/auth', { auth: fixed('new'), reason: 'moved' });
  expect(put).toMatchObject({ status: 200, data: { source: 'store', nodes: [{ state: 'applied' }] } });
  expect([await code('file'), await code('new'), await code('own', 1), await code('new', 1)]).toEqual([0x86, 0, 0, 0x86]);
  const read = await api('GET', '/api/auth');
  expect(read.etag).toBe(`"${put.data.revision}"`);
  expect(JSON.stringify(read)).not.toContain(SECRET);
  // A mask is the secret in force.
  const users = [
    { username: 'new', password: '******' },
    { username: 'other', password: 'x' },
  ];
  expect((await api('PUT', '/api/auth', { auth: [{ authType: 'fixed', users }] }, { 'if-match': '"1000000"' })).status).toBe(412);
  expect((await api('PUT', '/api/auth', { auth: [{ authType: 'fixed', users }] }, { 'if-match': read.etag! })).status).toBe(200);
  expect([await code('new'), await code('other', 0, 'x'), await code('other', 0, '******')]).toEqual([0, 0, 0x86]);
  expect((await api('PUT', '/api/auth', { auth: [] })).data.warnings).toEqual([expect.stringContaining('nobody can log in')]);
  expect(await code('new')).toBe(0x86);
  expect((await api('POST', '/api/auth/rollback', { revision: put.data.revision })).status).toBe(200);
  expect(await code('new')).toBe(0);
  const history = await held.broker.api('GET', '/api/auth/history?limit=10');
  const rows = (history.body as { data: { action: string; reason: string | null; before: unknown }[] }).data;
  expect(rows.map(({ action }) => action)).toEqual(['rollback', 'update', 'update', 'add']);
  expect(rows.at(-1)).toMatchObject({ reason: 'moved', before: null });
  expect(JSON.stringify(rows)).not.toContain(SECRET);
  expect((await api('DELETE', '/api/auth')).data).toMatchObject({ source: 'configuration' });
  expect([await code('file'), await code('new')]).toEqual([0, 0x86]);
  expect((await api('DELETE', '/api/auth')).status).toBe(404);
  expect(await held.broker.log()).not.toContain(SECRET);
});

test('acl: connected clients obey it at once, and lose subscriptions that it forbids', async () => {
  const { client } = await open('file');
  expect((await client.subscribeRaw([{ filter: 'a/#', qos: 0 }])).codes).toEqual([0]);
  const other = await open('own', 1);
  const put = await api('PUT', '/api/acl', {
    acl: { rules: [{ permission: 'deny', subject: { type: 'user', value: 'file' }, topic: 'a/#' }] },
  });
  expect(put).toMatchObject({ status: 200, data: { source: 'store', endpoints: 2, warnings: [] } });
  await other.client.publish('a/x', 'x', { qos: 1 });
  expect(
    (
      await client.subscribeRaw([
        { filter: 'a/b', qos: 0 },
        { filter: 'b', qos: 0 },
      ])
    ).codes,
  ).toEqual([0x87, 0]);
  await other.client.publish('b', 'y', { qos: 1 });
  expect((await client.take()).topic).toBe('b');
  const verdict = await held.broker.api('POST', '/api/acl/test', {
    port: held.broker.ports[0],
    username: 'file',
    action: 'publish',
    topic: 'a/x',
  });
  expect(verdict.body).toMatchObject({ data: { allowed: false, path: 'acl.rules.0' } });
  expect((await api('GET', '/api/acl')).data).toMatchObject({
    source: 'store',
    acl: { order: 'first-match', default: 'allow', rules: [{}] },
  });
  const hidden = {
    rules: [
      { permission: 'allow', topic: '#' },
      { permission: 'deny', topic: 'x' },
    ].map((rule) => ({ ...rule, subject: { type: 'all' } })),
  };
  expect((await api('PUT', '/api/acl', { acl: hidden, dryRun: true })).data.warnings).toEqual([expect.stringContaining('decides nothing')]);
  expect((await api('POST', '/api/acl/remove', {})).data.source).toBe('configuration');
  expect((await client.subscribeRaw([{ filter: 'a/b', qos: 0 }])).codes).toEqual([0]);
  for (const each of [client, other.client]) each.destroy();
});

test('bad input names every problem and changes nothing', async () => {
  for (const [path, body, problem] of [
    ['/api/auth', {}, 'auth'],
    ['/api/auth', { auth: [{ authType: 'magic' }] }, 'auth.0.authType'],
    ['/api/auth', { auth: [], colour: 1 }, 'colour'],
    ['/api/auth', { auth: [], dryRun: 'yes' }, 'dryRun'],
    ['/api/acl', { acl: { rules: [{ permission: 'maybe', subject: { type: 'all' }, topic: 'a/#/b' }] } }, 'acl.rules.0.permission'],
    [
      '/api/acl',
      { acl: { rules: [{ permission: 'deny', subject: { type: 'group', value: '' }, topic: 'a' }] } },
      'acl.rules.0.subject.value',
    ],
  ] as const) {
    const { status, body: answer } = await held.broker.api('PUT', path, body);
    expect([path, body, status]).toEqual([path, body, 400]);
    expect(JSON.stringify(answer)).toContain(problem);
  }
  expect((await api('POST', '/api/acl/rollback', { revision: -1 })).status).toBe(400);
  expect([(await api('GET', '/api/auth')).data.source, (await api('GET', '/api/acl')).data.source]).toEqual([
    'configuration',
    'configuration',
  ]);
});

test('two changes at once: both count, or one is refused; a restart and kill -9 keep the last', async () => {
  const broker = await startBroker({ endpoints: [{}], config: { auth: fixed('file') } });
  const put = (name: string, headers?: Record<string, string>) => broker.api('PUT', '/api/auth', { auth: fixed(name) }, headers);
  expect((await Promise.all([put('a'), put('b')])).map(({ status }) => status)).toEqual([200, 200]);
  const etag = (await broker.api('GET', '/api/auth')).headers.get('etag')!;
  const both = await Promise.all([put('c', { 'if-match': etag }), put('c', { 'if-match': etag })]);
  expect(both.map(({ status }) => status).sort()).toEqual([200, 412]);
  await broker.kill('SIGKILL');
  const again = await startBroker({ dir: broker.dir });
  const login = async (username: string) => {
    const client = await RawClient.open('tcp', again.ports[0]!, 4);
    const { code: result } = await client.handshake({ username, password: SECRET });
    client.destroy();
    return result;
  };
  expect([await login('c'), await login('file')]).toEqual([0, 4]);
  await until('the log says whose auth is used', async () => (await again.log()).includes('auth: the store has it'));
  await again.stop();
}, 60_000);
