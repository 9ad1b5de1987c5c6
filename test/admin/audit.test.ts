/** The audit of a real broker: every writing request, who, from where, and what became of it; refused ones; over HTTP, NATS and the command line. */

import { expect, test } from 'vitest';
import { startBroker } from '../kit/broker.ts';
import { freePort } from '../kit/free-port.ts';
import { useBroker } from '../kit/lanes.ts';
import { until } from '../kit/until.ts';
import { basic } from '../unit/admin/stand-in.ts';
import { cells, fluxmq } from './cli/command.ts';

const PASSWORD = 'correct horse';
const http = {
  host: '127.0.0.1',
  port: await freePort(),
  username: 'root',
  password: PASSWORD,
  viewers: [{ username: 'eve', password: 'look' }],
};
const held = useBroker(() => ({ endpoints: [{ id: 'first', enableAuth: false }], config: { http } }));
const ROOT = basic('root', PASSWORD);

interface Entry {
  action: string;
  actor: string | null;
  role: string | null;
  address: string | null;
  source: string;
  about: Record<string, unknown>;
  status: number;
  error: string | null;
  revision: number | null;
  requestId: string;
}

const ask = (method: string, path: string, body?: unknown, headers: Record<string, string> = ROOT) =>
  held.broker.api(method, path, body, headers);

async function entries(query = ''): Promise<Entry[]> {
  return ((await ask('GET', `/api/audit?limit=1000${query}`)).body as { data: { entries: Entry[] } }).data.entries;
}

/** The entry of a request id, once it is there. */
const entryOf = (requestId: string): Promise<Entry> =>
  until(`entry ${requestId}`, async () => (await entries()).find((entry) => entry.requestId === requestId));

test('writing requests: who, from where, what, and the result', async () => {
  const id = (name: string) => ({ ...ROOT, 'x-request-id': name });
  await ask('POST', '/api/endpoints/update', { id: 'first', maxQueuedMessages: 77, reason: 'ticket 4711' }, id('change-1'));
  expect(await entryOf('change-1')).toMatchObject({
    action: 'POST /api/endpoints/update',
    actor: 'root',
    role: 'admin',
    address: '127.0.0.1',
    source: 'http',
    about: { id: 'first', reason: 'ticket 4711' },
    status: 200,
    error: null,
    revision: 2,
  });
  await ask('POST', '/api/users', { username: 'ann', password: 'the secret of ann' }, id('change-2'));
  await ask('DELETE', '/api/users?username=ann', undefined, id('change-3'));
  await ask('POST', '/api/endpoints/add', { port: 'x' }, id('bad-1'));
  await ask('POST', '/api/endpoints/plan', { action: 'remove', id: 'first' }, id('read-1'));
  await ask('POST', '/api/publish', { topic: 'a', payload: 'b' }, id('message-1'));
  expect(await entryOf('change-3')).toMatchObject({ action: 'DELETE /api/users', about: { username: 'ann' }, status: 200 });
  expect(await entryOf('bad-1')).toMatchObject({ status: 400, error: 'invalid', revision: null });
  const all = await entries();
  expect(all.some(({ requestId }) => requestId === 'read-1' || requestId === 'message-1')).toBe(false);
  expect(JSON.stringify(all)).not.toContain('the secret of ann');
  expect((await entries('&action=/api/users')).map(({ action }) => action)).toEqual(['DELETE /api/users', 'POST /api/users']);
});

test('refused requests: no login, a role that may not, and who may read the audit', async () => {
  await ask('POST', '/api/endpoints/remove', { id: 'first' }, { ...basic('eve', 'look'), 'x-request-id': 'eve-1' });
  expect(await entryOf('eve-1')).toMatchObject({ actor: 'eve', role: 'viewer', status: 403, error: 'forbidden' });
  await ask('GET', '/api/endpoints/list', undefined, { ...basic('root', 'guess'), 'x-request-id': 'guess-1' });
  expect(await entryOf('guess-1')).toMatchObject({ actor: null, status: 401, error: 'unauthorized' });
  expect((await ask('GET', '/api/audit', undefined, basic('eve', 'look'))).status).toBe(403);
  expect((await entries('&refused=true')).every(({ error }) => error !== null)).toBe(true);
  expect((await entries('&refused=false')).every(({ error }) => error === null)).toBe(true);
  await ask('POST', '/public/login', { username: 'root', password: PASSWORD }, { 'x-request-id': 'login-1' });
  expect(await entryOf('login-1')).toMatchObject({ actor: 'root', action: 'POST /public/login', status: 200 });
  for (const query of ['limit=0', 'since=soon', 'refused=maybe', 'after=x', 'x=1'])
    expect((await ask('GET', `/api/audit?${query}`)).status).toBe(400);
});

test('the command line, and kill -9', async () => {
  const env = { FLUXMQ_API_USER: 'root', FLUXMQ_API_PASSWORD: PASSWORD };
  const run = (line: string) => fluxmq(line.split(' '), { cwd: held.broker.dir, env });
  await run('ban add client sensor-1 --reason stolen');
  await until('the entry', async () => (await entries('&action=/api/bans')).length === 1);
  expect((await entries('&action=/api/bans'))[0]).toMatchObject({ source: 'cli', about: { clientId: 'sensor-1', reason: 'stolen' } });
  const table = cells((await run('audit --action /api/bans')).stdout);
  expect(table[0]).toEqual(['AT', 'WHO', 'FROM', 'WHAT', 'ABOUT', 'RESULT', 'REV']);
  expect(table[1]?.slice(1, 4)).toEqual(['root', '127.0.0.1', 'POST /api/bans']);
  const before = await entries();
  await held.broker.kill('SIGKILL');
  held.broker = await startBroker({ dir: held.broker.dir });
  expect((await entries()).length).toBeGreaterThanOrEqual(before.length);
});
