/** The history over HTTP: its filters and pages, and secrets that are sealed on the disk and shown nowhere. */

import { execFile } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Broker, startBroker } from '../../kit/broker.ts';
import { freePort } from '../../kit/free-port.ts';
import { until } from '../../kit/until.ts';
import { Api, type Row } from './api.ts';

const ROOT = resolve(import.meta.dirname, '../../..');
const HOST = '127.0.0.1';
const PASSWORDS = { admin: 'pw' };
const users = (password: string) => ({ authConfig: { users: [{ username: 'alice', password }] } });
const basic = (name: string, password: string) => ({ authorization: `Basic ${Buffer.from(`${name}:${password}`).toString('base64')}` });

let broker: Broker;
let api: Api;
const folder = mkdtempSync(join(tmpdir(), 'fluxmq-rows-'));
const keyFile = join(folder, 'keys');
beforeAll(async () => {
  writeFileSync(keyFile, `${'1f'.repeat(32)}\n`);
  const http = { host: HOST, port: await freePort(), username: 'admin', password: PASSWORDS.admin };
  const store = { storeType: 'LOCAL', local: { dataPath: join(folder, 'data') }, secretKeyFile: keyFile };
  broker = await startBroker({ config: { http, store }, endpoints: [{ enableAuth: false, id: 'first' }] });
  api = new Api(broker);
});
afterAll(async () => {
  await broker.stop();
  rmSync(folder, { recursive: true, force: true });
});

const ADMIN = basic('admin', PASSWORDS.admin);
const rows = async (query: string): Promise<Row[]> => {
  const { status, data } = await api.call<Row[]>('GET', `history?${query}`, undefined, ADMIN);
  expect(status, query).toBe(200);
  return data;
};
const change = async (route: string, body: Record<string, unknown>) => {
  const { status, data } = await api.call<{ revision: number; warnings: string[] }>('POST', route, body, ADMIN);
  expect(status).toBe(200);
  return data;
};

test('shows what changed down to the single value, and of a secret only that it changed', async () => {
  const port = await freePort();
  await change('add', { id: 'guarded', port, host: HOST, ...users('word-1') });
  const { warnings } = await change('update', { id: 'guarded', maxConnectionSize: 5, ...users('word-2'), reason: 'rotated' });
  // There is a key.
  expect(warnings).toEqual([]);
  const [row, added] = await rows('id=guarded');
  expect(row).toMatchObject({ actor: 'admin', reason: 'rotated', source: 'http' });
  expect(row?.diff).toEqual([
    { path: 'authConfig[0].users[alice].password', from: '******', to: '******', secret: true },
    { path: 'maxConnectionSize', from: 1000, to: 5 },
  ]);
  expect([added?.before, added?.diff]).toEqual([null, []]);
  const stored = readdirSync(join(folder, 'data')).map((name) => readFileSync(join(folder, 'data', name), 'latin1'));
  for (const text of [JSON.stringify([row, added]), ...stored, await broker.log()]) expect(text).not.toMatch(/word-[12]/);
});

test('is filtered by actor and time, and paged without cutting a revision', async () => {
  const before = await rows('limit=1000');
  const newest = before[0]!;
  const port = await freePort();
  await change('add', { id: 'timed', port, host: HOST });
  const [timed] = await rows('id=timed');
  const at = Date.parse(timed!.at);
  expect(await rows(`since=${at}`)).toMatchObject([{ id: 'timed' }]);
  expect(await rows(`since=${new Date(at).toISOString()}&until=${at + 1}`)).toMatchObject([{ id: 'timed' }]);
  expect(await rows(`since=${new Date(at).toISOString().replace('Z', '+00:00')}&actor=admin`)).toHaveLength(1);
  expect((await rows(`until=${Date.parse(newest.at) + 1}&limit=1000`)).map(({ id }) => id)).not.toContain('timed');
  expect(await rows('actor=nobody')).toEqual([]);
  expect((await rows('actor=system')).map(({ action }) => action)).toEqual(['seed']);
  expect(await rows(`port=${port}&actor=admin`)).toHaveLength(1);

  const all = await rows('limit=1000');
  const paged: Row[] = [];
  for (let page = await rows('limit=1'); page.length > 0; page = await rows(`limit=1&before=${page.at(-1)!.revision}`)) paged.push(...page);
  expect(paged).toEqual(all);
});

test('has the reason as it was written, from the body or the header, and the request under which the log has it, too', async () => {
  const port = await freePort();
  const reason = 'größer — ☃';
  const header = Buffer.from(reason).toString('latin1');
  await api.call('POST', 'add', { id: 'named', port, host: HOST }, { ...ADMIN, 'x-reason': header, 'x-request-id': 'request-4711' });
  await api.call('POST', 'update', { id: 'named', wiretap: true, reason }, { ...ADMIN, 'x-reason': 'another' });
  await api.call('POST', 'update', { id: 'named', wiretap: false }, { ...ADMIN, 'x-reason': 'caf\xe9' });
  await api.call('POST', 'update', { id: 'named', wiretap: true }, { ...ADMIN, 'x-reason': '' });
  expect((await rows('id=named')).map((row) => row.reason)).toEqual([null, 'café', reason, reason]);
  const taken = await api.call(
    'POST',
    'add',
    { id: 'late', port: Number(new URL(broker.admin).port), host: HOST },
    { ...ADMIN, 'x-request-id': 'request-4712' },
  );
  expect(taken.status).toBe(409);
  const of = async (requestId: string) => {
    const lines = (await broker.log()).split('\n').filter((line) => line.endsWith('}'));
    return lines.map((line) => JSON.parse(line) as Record<string, unknown>).filter((line) => line['requestId'] === requestId);
  };
  // The file follows a moment behind the answer.
  await until('the refusal is in the log', async () => (await of('request-4712')).length > 0);
  expect(await of('request-4711')).toMatchObject([{ level: 'info', msg: `Endpoint ${port}: add`, actor: 'admin', endpoint: 'named' }]);
  expect(await of('request-4712')).toMatchObject([
    { level: 'warn', msg: expect.stringMatching(/^Endpoint \d+: add was not made: Port \d+ is already in use/), actor: 'admin' },
  ]);
});

test('refuses what it cannot understand, all at once', async () => {
  const query = 'limit=0&before=x&since=yesterday&until=2026-13-01&actor=&colour=red';
  const { status, issues } = await api.call('GET', `history?${query}`, undefined, ADMIN);
  expect([status, issues.map(({ path }) => path).toSorted()]).toEqual([400, ['actor', 'before', 'colour', 'limit', 'since', 'until']]);
  const backwards = await api.call('GET', 'history?since=2000&until=1000', undefined, ADMIN);
  expect([backwards.status, backwards.issues]).toEqual([400, [{ path: 'until', message: 'must be after since' }]]);
  expect((await api.call('GET', 'history?since=2026-01-31T12:00', undefined, ADMIN)).status).toBe(400);
  const noMonth = await api.call('GET', 'history?since=2026-13-01', undefined, ADMIN);
  for (const moment of ['2026-02-30', '2026-02-29', '2026-02-30T10:00:00Z', '2026-04-31T10:00:00%2B02:00']) {
    expect(await api.call('GET', `history?since=${moment}`, undefined, ADMIN)).toMatchObject({ status: 400, issues: noMonth.issues });
  }
  for (const moment of ['2024-02-29', '2026-12-31T23:59:59-12:00']) {
    expect((await api.call('GET', `history?since=${moment}`, undefined, ADMIN)).status).toBe(200);
  }
});

test('does not start with another key, names the one that is needed, and starts with it as an old key', { timeout: 60_000 }, async () => {
  expect(await broker.stop()).toBe(0);
  writeFileSync(keyFile, `${'2f'.repeat(32)}\n`);
  const output = await new Promise<string>((done) => {
    const args = [join(ROOT, 'dist/main.js'), 'start', '--config', join(broker.dir, 'config.yaml')];
    execFile(process.execPath, args, { cwd: broker.dir, timeout: 30_000 }, (error, stdout, stderr) =>
      done(`${error?.code} ${stdout}${stderr}`),
    );
  });
  expect(output).toMatch(/^1 /);
  expect(output).toMatch(/password of endpoint guarded is sealed with key [0-9a-f]{8}, and only [0-9a-f]{8} is configured/);
  writeFileSync(keyFile, `${'2f'.repeat(32)}\n${'1f'.repeat(32)}\n`);
  broker = await startBroker({ dir: broker.dir });
  api = new Api(broker);
  const { data } = await api.call('GET', 'export?secrets=include', undefined, ADMIN);
  expect(JSON.stringify(data)).toContain('word-2');
});
