/**
 * The answers of a real broker have exactly the form that their schemas in src/answers say, on every route. A request that the broker
 * accepts has the form that the description says.
 */

import { readFileSync } from 'node:fs';
import { connectAsync, type MqttClient } from 'mqtt';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { Route } from '../../src/admin/http/route.ts';
import { envelopeOf, failureSchema } from '../../src/answers/envelope.ts';
import { type Broker, startBroker } from '../kit/broker.ts';
import { Authority, certificateFolder } from '../kit/certificates.ts';
import { freePort } from '../kit/free-port.ts';
import { allRoutes, basic } from '../unit/admin/stand-in.ts';

const LOGIN = { username: 'admin', password: 'correct horse' };
const routes = allRoutes();
const asked = new Set<string>();

let broker: Broker;
let client: MqttClient;
/** of the endpoints `plain` and `secure` */
let plain: number;
let secure: number;
beforeAll(async () => {
  const users = [
    { username: 'u', password: 'p' },
    { username: 'v', password: 'q' },
  ];
  const endpoint = { id: 'plain', enableAuth: false, authConfig: { users, filter: { User: 'u.*' } }, aclConfig: [] };
  broker = await startBroker({ endpoints: [endpoint], config: { http: { host: '127.0.0.1', port: await freePort(), ...LOGIN } } });
  plain = broker.ports[0]!;
  secure = await freePort();
  client = await connectAsync(`mqtt://127.0.0.1:${plain}`, { clientId: 'c1', username: 'u', reconnectPeriod: 0 });
});
afterAll(async () => {
  await client.endAsync();
  await broker.stop();
});

/** toEqual finds keys that the schema lacks, because parse() leaves them out. */
function expectForm(schema: { parse(value: unknown): unknown }, value: unknown, what: string): void {
  expect(schema.parse(value), what).toEqual(value);
}

async function ask<T = unknown>(method: 'GET' | 'POST' | 'PUT' | 'DELETE', path: string, body?: unknown, status = 200): Promise<T> {
  const [bare = ''] = path.split('?');
  const route = routes.find((candidate) => candidate.path === bare && candidate.method === method.toLowerCase());
  const answer = await broker.api(method, path, body, basic(LOGIN.username, LOGIN.password));
  const what = `${method} ${path}: ${JSON.stringify(answer.body).slice(0, 300)}`;
  expect(answer.status, what).toBe(status);
  asked.add(`${method} ${bare}`);
  if (status >= 400) expectForm(failureSchema, answer.body, what);
  else {
    expectForm(schemaOf(route), answer.body, what);
    const isRefused = (answer.body as { data: { valid?: boolean } | null }).data?.valid === false;
    if (!isRefused) expect(route?.body?.schema.safeParse(body).error, what).toBeUndefined();
  }
  return (answer.body as { data: T }).data;
}

function schemaOf(route: Route | undefined) {
  return envelopeOf(route!.answer.data!, route!.answer.code ?? 200);
}

const post = <T = unknown>(name: string, body: unknown, status?: number) => ask<T>('POST', `/api/endpoints/${name}`, body, status);
const get = <T = unknown>(name: string, status?: number) => ask<T>('GET', `/api/endpoints/${name}`, undefined, status);

test('changes of endpoints', async () => {
  const server = Authority.root(certificateFolder()).issue('server');
  const [cert, key] = [readFileSync(server.chain, 'utf8'), readFileSync(server.key, 'utf8')];
  const auth = [{ authType: 'fixed', users: [{ username: 'u', password: 'p' }] }, { users: [{ username: 'w', password: 'p' }] }];
  const rules = [{ permission: 'deny', subject: { type: 'user', value: 'u' }, topic: 'a/#' }];
  const all = {
    id: 'secure',
    port: secure,
    host: '127.0.0.1',
    authConfig: auth,
    aclConfig: { default: 'deny', rules },
    sslConfig: { cert, key },
  };
  await post('validate-config', { ...all, port: 0 });
  await post('add', all);
  await post('add', all, 409);
  await post('update', { id: 'plain', serverOptions: { workerGroupSize: 2 }, maxConnectionPerAddress: 7 });
  const { revision } = await ask<{ revision: number }>('POST', '/api/endpoints/update?confirmWithin=1m', { id: 'secure', wiretap: true });
  await post('confirm', { revision });
  await post('disable', { id: 'secure' });
  await post('enable', { id: 'secure' });
  await post('plan', { action: 'update', id: 'plain', useWebsocket: true });
  await post('plan', { action: 'rollback', revision: 1 });
  await post('rollback', { id: 'secure', revision });
  await post('rollback', { revision: 999 }, 404);
  await post('add', { id: 'short', port: await freePort(), host: '127.0.0.1' });
  await post('remove', { id: 'short' });
});

test('files', async () => {
  const { configs } = await get<{ configs: unknown[] }>('export?secrets=include');
  expect(configs).toHaveLength(2);
  await post('import', { configs, mode: 'replace', dryRun: true });
  await post('import', { configs: [{ port: plain, maxQueuedMessages: 5 }] });
  await get('backup?history=true');
  const backup = await get<Record<string, unknown>>('backup?history=false&secrets=include');
  await post('restore', backup);
});

test('reads of endpoints', async () => {
  await get('list');
  await get('get?id=secure');
  await get('get?port=1', 404);
  const status = await get<{ certificate: unknown }[]>('status');
  expect(status.filter(({ certificate }) => certificate !== null)).toHaveLength(1);
  await get('metrics');
  await get(`metrics?port=${plain}`);
  await get(`check-port?port=${await freePort()}`);
  await get(`check-port?port=${plain}`);
  await get(`health?port=${plain}`);
  const rows = await get<{ diff: unknown[] }[]>('history?limit=100');
  expect(rows.filter(({ diff }) => diff.length > 0).length).toBeGreaterThan(2);
});

test('clients, the node and its cluster, a login', async () => {
  await ask('POST', '/api/publish', { topic: 'a', payload: 'x' });
  await ask('POST', '/api/check', { ids: ['c1', 'nobody'] });
  await ask('POST', '/api/acl/test', { id: 'plain', action: 'publish', topic: 'a' });
  const page = await ask<{ data: unknown[] }>('GET', '/api/clients');
  expect(page.data).toHaveLength(1);
  await ask('POST', '/api/close', { ids: ['c1'] });
  await ask('GET', '/api/system/health');
  await ask('GET', '/api/system/resources');
  await ask('GET', '/api/cluster/status');
  await ask('GET', '/api/cluster/nodes');
  await ask('GET', '/health');
  await ask('POST', '/public/login', LOGIN);
});

test('users of the store', async () => {
  const ann = { username: 'ann', password: 'secret', groups: ['g'], acl: [{ permission: 'allow', topic: 'a/#', qos: 1 }], comment: 'c' };
  const { revision } = await ask<{ revision: number }>('POST', '/api/users', ann);
  await ask('POST', '/api/users/add', ann, 409);
  await ask('POST', '/api/users/add', { ...ann, username: 'bob' });
  await ask('PUT', '/api/users', { username: 'ann', disabled: true, kick: true });
  await ask('POST', '/api/users/update', { username: 'ann', comment: null });
  expect(await ask('GET', '/api/users?search=a&limit=1')).toMatchObject({ total: 2 });
  await ask('GET', '/api/users/get?username=ann');
  await ask('GET', '/api/users/get?clientId=ann', undefined, 404);
  const { users } = await ask<{ users: unknown[] }>('GET', '/api/users/export');
  await ask('POST', '/api/users/import', { users, mode: 'replace' });
  await ask('POST', '/api/users/remove', { username: 'ann' });
  await ask('POST', '/api/users/rollback', { revision });
  await ask('DELETE', '/api/users?username=ann');
  expect((await ask<{ changes: unknown[] }[]>('GET', '/api/users/history'))[0]!.changes).toHaveLength(1);
});

test('authenticators and rules of the node', async () => {
  const auth = [{ authType: 'fixed', users: [{ username: 'u', password: 'p' }] }, { authType: 'users' }];
  const acl = { default: 'deny', rules: [{ permission: 'allow', subject: { type: 'group', value: 'g' }, topic: 'a/#', qos: 1 }] };
  for (const [path, body] of [
    ['/api/auth', { auth }],
    ['/api/acl', { acl }],
  ] as const) {
    await ask('GET', path);
    const { revision } = await ask<{ revision: number }>('PUT', path, { ...body, reason: 'r' });
    await ask('POST', `${path}/update`, { ...body, dryRun: true });
    await ask('POST', `${path}/update`, {}, 400);
    await ask('GET', path);
    await ask('GET', `${path}/history?limit=5`);
    await ask('POST', `${path}/rollback`, { revision, dryRun: true });
    await ask('POST', `${path}/remove`, { reason: 'back' });
    await ask('DELETE', path, undefined, 404);
  }
});

test('bans', async () => {
  await ask('POST', '/api/bans', { clientId: 'x', namespace: 'n', until: Date.now() + 60_000, reason: 'r' });
  await ask('POST', '/api/bans/add', { bans: [{ address: '10.0.0.0/8' }, { usernamePattern: 'a*', until: null }], reason: 'list' });
  await ask('POST', '/api/bans', { clientId: '' }, 400);
  expect(await ask('GET', '/api/bans?by=address&limit=1')).toMatchObject({ total: 3 });
  await ask('POST', '/api/bans/remove', { clientId: 'x', namespace: 'n' });
  await ask('DELETE', '/api/bans?address=10.0.0.0%2F8');
  await ask('DELETE', '/api/bans?address=10.0.0.0%2F8', undefined, 404);
});

test('administrators and keys', async () => {
  const ann = { username: 'ann', password: 'long enough', role: 'operator', comment: 'c' };
  await ask('POST', '/api/admins', ann);
  await ask('POST', '/api/admins/add', ann, 409);
  await ask('POST', '/api/admins/add', { ...ann, username: 'bob' });
  await ask('PUT', '/api/admins', { username: 'ann', role: 'viewer' });
  await ask('POST', '/api/admins/update', { username: 'ann', comment: 'd' });
  expect((await ask<{ admins: unknown[] }>('GET', '/api/admins')).admins).toHaveLength(3);
  await ask('POST', '/api/admins/remove', { username: 'bob' });
  await ask('DELETE', '/api/admins?username=ann');
  await ask('POST', '/api/keys', { name: 'ci', role: 'viewer', until: '2100-01-01' });
  await ask('POST', '/api/keys', { name: 'cd', role: 'admin' });
  expect((await ask<{ keys: unknown[] }>('GET', '/api/keys')).keys).toHaveLength(2);
  await ask('POST', '/api/keys/remove', { name: 'ci' });
  await ask('DELETE', '/api/keys?name=cd');
});

test('a removal with a key that it does not know removes nothing', async () => {
  await ask('POST', '/api/users', { username: 'stays', password: 'x' });
  await ask('PUT', '/api/auth', { auth: [] });
  for (const [path, body] of [
    ['/api/users/remove', { username: 'stays' }],
    ['/api/auth/remove', {}],
    ['/api/bans/remove', { clientId: 'x' }],
    ['/api/admins/remove', { username: 'x' }],
    ['/api/keys/remove', { name: 'x' }],
  ] as const) {
    await ask('POST', path, { ...body, dryRun: true }, 400);
  }
  await ask('POST', '/api/users/remove', { username: 'stays' });
  await ask('POST', '/api/auth/remove', {});
});

test('the audit', async () => {
  const { entries } = await ask<{ entries: unknown[] }>('GET', '/api/audit?limit=3&refused=false&since=2026-01-01');
  expect(entries.length).toBeLessThanOrEqual(3);
});

test('no route with an answer in JSON is missing above', () => {
  const withData = routes.filter(({ answer }) => answer.data !== undefined);
  expect([...asked].sort()).toEqual(withData.map(({ method, path }) => `${method.toUpperCase()} ${path}`).sort());
});
