/** Administrators and API keys on the real broker: roles, when tokens end, what is kept, restart. */

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { type Broker, startBroker } from '../kit/broker.ts';
import { freePort } from '../kit/free-port.ts';
import { useBroker } from '../kit/lanes.ts';
import { basic } from '../unit/admin/stand-in.ts';
import { cells, fluxmq } from './cli/command.ts';

const PASSWORD = 'correct horse';
const port = await freePort();
const held = useBroker(() => ({
  endpoints: [{ enableAuth: false }],
  config: { http: { host: '127.0.0.1', port, username: 'root', password: PASSWORD, viewers: [{ username: 'eve', password: 'look' }] } },
}));
const ROOT = basic('root', PASSWORD);

async function ask<T = Record<string, unknown>>(method: string, path: string, body?: unknown, headers: Record<string, string> = ROOT) {
  const answer = await held.broker.api(method, path, body, headers);
  return { status: answer.status, data: (answer.body as { data: T }).data, text: JSON.stringify(answer.body) };
}

const bearer = (token: string) => ({ authorization: `Bearer ${token}` });
const status = async (headers: Record<string, string>, path = '/api/endpoints/list') => (await ask('GET', path, undefined, headers)).status;

async function tokenOf(username: string, password: string): Promise<string> {
  return (await ask<{ token: string }>('POST', '/public/login', { username, password }, {})).data.token;
}

/** An update that changes nothing of importance. */
async function write(headers: Record<string, string>): Promise<number> {
  const endpoint = held.broker.ports[0]!;
  const maxQueuedMessages = 1 + Math.floor(Math.random() * 900_000);
  return (await ask('POST', '/api/endpoints/update', { port: endpoint, maxQueuedMessages }, headers)).status;
}

test('administrators come, change and go, and their tokens end with the password, the role and the removal', async () => {
  const added = await ask('POST', '/api/admins', { username: 'ann', password: 'first password', role: 'admin', comment: 'ops' });
  expect([added.status, added.data['admin']]).toMatchObject([200, { username: 'ann', role: 'admin', comment: 'ops', isConfigured: false }]);
  expect((await ask('POST', '/api/admins', { username: 'ann', password: 'other password', role: 'admin' })).status).toBe(409);
  expect([await status(basic('ann', 'first password'), '/api/admins'), await status(basic('ann', 'first passwor_'))]).toEqual([200, 401]);
  const token = await tokenOf('ann', 'first password');
  expect(await status(bearer(token))).toBe(200);
  expect((await ask('PUT', '/api/admins', { username: 'ann', comment: 'on call' })).status).toBe(200);
  expect(await status(bearer(token))).toBe(200);
  await ask('PUT', '/api/admins', { username: 'ann', password: 'second password' });
  expect([
    await status(bearer(token)),
    await status(basic('ann', 'first password')),
    await status(basic('ann', 'second password')),
  ]).toEqual([401, 401, 200]);
  const second = await tokenOf('ann', 'second password');
  await ask('PUT', '/api/admins', { username: 'ann', role: 'operator' });
  expect([await status(bearer(second)), await status(basic('ann', 'second password'), '/api/admins')]).toEqual([401, 403]);
  // A password that was wrong before is right as soon as it is set.
  await ask('PUT', '/api/admins', { username: 'ann', password: 'first passwor_' });
  expect(await status(basic('ann', 'first passwor_'))).toBe(200);
  const third = await tokenOf('ann', 'first passwor_');
  expect((await ask('DELETE', '/api/admins?username=ann')).status).toBe(200);
  expect([await status(bearer(third)), await status(basic('ann', 'first passwor_'))]).toEqual([401, 401]);
  expect((await ask('DELETE', '/api/admins?username=ann')).status).toBe(404);
}, 30_000);

test('those of the configuration stay, and nobody gets out of reach of the last one', async () => {
  for (const [method, path, body] of [
    ['DELETE', '/api/admins?username=root', undefined],
    ['PUT', '/api/admins', { username: 'root', role: 'viewer' }],
    ['POST', '/api/admins', { username: 'eve', password: 'long enough', role: 'admin' }],
  ] as const)
    expect([path, (await ask(method, path, body)).status]).toEqual([path, 409]);
  const { data } = await ask<{ admins: { username: string; isConfigured: boolean }[] }>('GET', '/api/admins');
  expect(data.admins.filter(({ isConfigured }) => isConfigured).map(({ username }) => username)).toEqual(['root', 'eve']);
  const bad = [
    { username: 'x', password: 'short', role: 'admin' },
    { username: 'x y', password: 'long enough', role: 'admin' },
    { username: 'x', password: 'long enough', role: 'king' },
    { username: 'x', password: 'long enough' },
    { username: 'x', role: 'admin' },
    { username: 'x', password: 'long enough', role: 'admin', hash: 'y' },
  ];
  for (const body of bad) expect([body, (await ask('POST', '/api/admins', body)).status]).toEqual([body, 400]);
  const revision = { 'if-match': '"99999"' };
  await ask('POST', '/api/admins', { username: 'bob', password: 'long enough', role: 'viewer' });
  expect((await ask('PUT', '/api/admins', { username: 'bob', comment: 'x' }, { ...ROOT, ...revision })).status).toBe(412);
});

test('API keys: shown once, with a role and an end, revoked at once', async () => {
  const made = await ask<{ key: string; about: unknown }>('POST', '/api/keys', { name: 'ci', role: 'operator', comment: 'pipeline' });
  const { key, about } = made.data;
  expect(about).toMatchObject({ name: 'ci', role: 'operator', until: null, author: 'root', usedAt: null });
  expect([await status(bearer(key)), await write(bearer(key)), await status(bearer(key), '/api/keys')]).toEqual([200, 200, 403]);
  const { data } = await ask<{ actor: string }[]>('GET', `/api/endpoints/history?port=${held.broker.ports[0]}&limit=1`);
  expect(data[0]!.actor).toBe('key:ci');
  const listed = await ask<{ keys: { usedAt: string | null }[] }>('GET', '/api/keys');
  expect(listed.data.keys[0]!.usedAt).not.toBeNull();
  expect(listed.text).not.toContain(key.slice(4, 40));
  expect((await ask('POST', '/api/keys', { name: 'ci', role: 'viewer' })).status).toBe(409);
  for (const body of [{ name: 'x' }, { name: 'x', role: 'admin', until: '2001-01-01' }, { name: 'a/b', role: 'admin' }])
    expect([body, (await ask('POST', '/api/keys', body)).status]).toEqual([body, 400]);
  const soon = await ask<{ key: string }>('POST', '/api/keys', { name: 'soon', role: 'viewer', until: Date.now() + 1_500 });
  expect([await status(bearer(soon.data.key)), await write(bearer(soon.data.key))]).toEqual([200, 403]);
  await new Promise((resolve) => setTimeout(resolve, 1_600));
  expect(await status(bearer(soon.data.key))).toBe(401);
  const flipped = `${key.slice(0, 10)}${key[10] === 'A' ? 'B' : 'A'}${key.slice(11)}`;
  for (const wrong of [flipped, key.replace('.ci', '.soon'), key.slice(0, -1), 'fmq_', `${key}x`])
    expect(await status(bearer(wrong))).toBe(401);
  expect((await ask('DELETE', '/api/keys?name=ci')).status).toBe(200);
  expect([await status(bearer(key)), (await ask('DELETE', '/api/keys?name=ci')).status]).toEqual([401, 404]);
});

test('the command line: a name, a role and a typed password; a key that is printed once', async () => {
  const env = { FLUXMQ_API_USER: 'root', FLUXMQ_API_PASSWORD: PASSWORD };
  const run = (line: string, input = '') => fluxmq(line.split(' '), { cwd: held.broker.dir, env, input });
  expect(await run('admin add kim operator --comment shift', 'kims password\n')).toMatchObject({
    code: 0,
    stdout: 'added kim, operator\n',
  });
  expect(await status(basic('kim', 'kims password'))).toBe(200);
  expect((await run('admin role kim viewer')).stdout).toBe('kim is viewer\n');
  expect(await write(basic('kim', 'kims password'))).toBe(403);
  await run('admin passwd kim', 'another password');
  expect(await status(basic('kim', 'another password'))).toBe(200);
  expect(cells((await run('admin list')).stdout)).toContainEqual(['kim', 'viewer', 'store', 'shift']);
  expect((await run('admin remove kim')).stdout).toBe('removed kim\n');
  const key = (await run('key add nightly viewer --for 1h -q')).stdout.trim();
  expect(await status(bearer(key))).toBe(200);
  expect(cells((await run('key list')).stdout)[1]?.slice(0, 2)).toEqual(['nightly', 'viewer']);
  expect((await run('key remove nightly')).code).toBe(0);
  expect(await status(bearer(key))).toBe(401);
  for (const line of ['admin add', 'admin add kim king', 'admin add kim viewer secret', 'key add x', 'admin remove'])
    expect([line, (await run(line, 'long enough')).code]).toEqual([line, 2]);
  expect((await run('admin remove root')).code).toBe(1);
});

test('kill -9 keeps administrators and keys; no secret is in the log or the files', async () => {
  await ask('POST', '/api/admins', { username: 'zoe', password: 'quite a secret', role: 'operator' });
  const { key } = (await ask<{ key: string }>('POST', '/api/keys', { name: 'robot', role: 'admin' })).data;
  await held.broker.kill('SIGKILL');
  held.broker = await startBroker({ dir: held.broker.dir });
  expect([
    await status(basic('zoe', 'quite a secret')),
    await status(bearer(key), '/api/keys'),
    await write(basic('zoe', 'quite a secret')),
  ]).toEqual([200, 200, 200]);
  const files = ['documents.db', 'documents.db-wal', 'documents-copy.db', 'documents-copy.db-wal'].map((name) =>
    fileText(held.broker, name),
  );
  for (const secret of ['quite a secret', key.slice(4, 47)])
    for (const text of [await held.broker.log(), ...files]) expect(text).not.toContain(secret);
}, 30_000);

function fileText({ dir }: Broker, name: string): string {
  try {
    return readFileSync(join(dir, 'data', name), 'latin1');
  } catch {
    return '';
  }
}
