/** Histories and files that are large: backed up, restored and made shorter in bounded memory, while the node answers others. */

import { createWriteStream, mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { finished } from 'node:stream/promises';
import { afterAll, afterEach, expect, test } from 'vitest';
import { parseEndpoint } from '../../../src/endpoint/schema.ts';
import { type Broker, startBroker } from '../../kit/broker.ts';
import { freePort } from '../../kit/free-port.ts';
import { useBroker } from '../../kit/lanes.ts';
import { until } from '../../kit/until.ts';
import { fluxmq } from '../cli/command.ts';

const folder = mkdtempSync(join(tmpdir(), 'fluxmq-large-'));
afterAll(() => rmSync(folder, { recursive: true }));
const running: Broker[] = [];
afterEach(async () => {
  for (const broker of running.splice(0)) await broker.stop();
});

async function start(config: Record<string, unknown> = {}, endpoints: Record<string, unknown>[] = []): Promise<Broker> {
  const broker = await startBroker({ config, endpoints, readyMs: 60_000 });
  running.push(broker);
  return broker;
}

/** Few rows of long topics take less time to check than many short ones. */
const ROWS = 1_000;
const RULES = 10;
const TOPIC = 'a/long/topic/name/'.repeat(190);
/** Above the 64 MiB that were the limit once. */
const BYTES_MIN = 66 * 1024 * 1024;

async function writeBackup(path: string): Promise<void> {
  const rules = Array.from({ length: RULES }, (_, index) => ({
    permission: 'deny',
    subject: { type: 'user', value: `user-${index}` },
    action: 'publish',
    topic: `${TOPIC}${index}/#`,
  }));
  const keys = { enabled: false, enableAuth: false, maxSessionSize: 1, aclConfig: { default: 'allow', rules } };
  const { endpoint } = parseEndpoint({ port: 1, ...keys });
  const at = (revision: number) => {
    const port = 30_000 + (revision % 20);
    return { ...endpoint, port, id: `mqtt-${port}`, maxConnectionSize: revision };
  };
  const file = createWriteStream(path);
  const configs = Array.from({ length: 20 }, (_, index) => at(ROWS - index));
  file.write(`{"kind":"fluxmq-backup","version":1,"revision":${ROWS},"secrets":"none","configs":${JSON.stringify(configs)},"history":[`);
  for (let revision = 1; revision <= ROWS; revision++) {
    const after = at(revision);
    const before = revision > 20 ? at(revision - 20) : null;
    const meta = { action: before === null ? 'add' : 'update', actor: 'a', source: 'http', node: 'n', requestId: 'r', reason: null };
    const row = { ...meta, revision, at: '2026-01-01T00:00:00.000Z', id: after.id, port: after.port, before, after };
    if (!file.write(`${revision === 1 ? '' : ','}\n${JSON.stringify(row)}`))
      await new Promise<void>((resolve) => file.once('drain', resolve));
  }
  file.end(']}');
  await finished(file);
}

/** Sends a part of a file, and breaks off. */
async function tear(broker: Broker, path: string, bytes: number): Promise<void> {
  const headers = { 'content-type': 'application/json', 'content-length': statSync(path).size };
  const sending = request(`${broker.admin}/api/endpoints/restore`, { method: 'POST', headers });
  sending.on('error', () => {});
  await new Promise<void>((resolve) => sending.write(readFileSync(path).subarray(0, bytes), () => resolve()));
  sending.destroy();
}

async function revisionOf(broker: Broker): Promise<string | null> {
  return (await broker.api('GET', '/api/endpoints/list')).headers.get('etag');
}

async function residentMiB(broker: Broker): Promise<number> {
  const { body } = await broker.api('GET', '/public/metrics');
  return Number(/^process_resident_memory_bytes (\S+)/m.exec(String(body))?.[1]) / 1024 ** 2;
}

test('a backup over 64 MiB goes whole into an empty store and comes out again; one that breaks off changes nothing', {
  timeout: 240_000,
}, async () => {
  const [path, back] = [join(folder, 'backup.json'), join(folder, 'back.json')];
  await writeBackup(path);
  expect(statSync(path).size).toBeGreaterThan(BYTES_MIN);
  const broker = await start();
  const before = await residentMiB(broker);
  await tear(broker, path, 30_000_000);
  expect(await revisionOf(broker)).toBe('"0"');
  const restored = await fluxmq(['restore', path, '--yes', '--timeout', '3m', '--json', '--api', broker.admin], {
    timeoutMs: 180_000,
    ownProcess: true,
  });
  expect([restored.code, restored.stderr]).toEqual([0, '']);
  expect(JSON.parse(restored.stdout)).toMatchObject({ adopted: true, revision: ROWS, added: 20 });
  expect(await revisionOf(broker)).toBe(`"${ROWS}"`);
  const taken = await fluxmq(['backup', '--output', back, '--api', broker.admin], { timeoutMs: 180_000, ownProcess: true });
  expect([taken.code, taken.stderr]).toEqual([0, '']);
  // Neither the file nor the rows are in memory as a whole.
  expect((await residentMiB(broker)) - before).toBeLessThan(300);
  const without = await broker.api('GET', '/api/endpoints/backup?history=false');
  expect((without.body as { data: object }).data).not.toHaveProperty('history');
  const [sent, got] = [path, back].map(
    (file) => JSON.parse(readFileSync(file, 'utf8')) as { history: { revision: number }[]; configs: object[] },
  );
  expect(got!.history.length).toBe(ROWS);
  expect(got!.history.map(({ revision }) => revision)).toEqual(sent!.history.map(({ revision }) => revision));
  expect([got!.configs.length, got]).toEqual([20, expect.objectContaining({ historyFloor: 0, secrets: 'none', revision: ROWS })]);
});

test('history.keep drops what is older, with the metric to see it, and what is left restores elsewhere', { timeout: 150_000 }, async () => {
  const port = await freePort();
  const broker = await start({ history: { keep: 10, keepDays: 0 } }, [
    { port, id: 'one', enableAuth: false },
    { id: 'still', enableAuth: false },
  ]);
  for (let n = 1; n <= 40; n++)
    expect((await broker.api('POST', '/api/endpoints/update', { id: 'one', maxConnectionSize: n })).status).toBe(200);
  const rows = async () =>
    ((await broker.api('GET', '/api/endpoints/history?limit=1000')).body as { data: { id: string; revision: number }[] }).data;
  await until('the history is short', async () => (await rows()).length <= 12, 20_000);
  expect((await rows()).at(-1)).toMatchObject({ id: 'still', revision: 1 });
  await until(
    'the metric',
    async () => /^fluxmq_store_history_rows 11$/m.test(String((await broker.api('GET', '/public/metrics')).body)),
    20_000,
  );
  expect(String((await broker.api('GET', '/public/metrics')).body)).toMatch(/^fluxmq_store_bytes [1-9]/m);
  expect((await broker.api('POST', '/api/endpoints/rollback', { revision: 5, dryRun: true })).status).toBe(404);
  expect((await broker.api('POST', '/api/endpoints/rollback', { revision: 35, dryRun: true })).status).toBe(200);
  const { data } = (await broker.api('GET', '/api/endpoints/backup')).body as { data: { historyFloor: number } };
  expect(data.historyFloor).toBeGreaterThan(30);
  const other = await start();
  await broker.stop();
  running.splice(running.indexOf(broker), 1);
  const restored = await other.api('POST', '/api/endpoints/restore', data);
  expect(restored.body).toMatchObject({ code: 200, data: { adopted: true, revision: 41 } });
});

const held = useBroker(() => ({}));

test('what would be masked is said when the backup is taken, and hashes are not', { timeout: 120_000 }, async () => {
  const hash = '$2b$10$6K5eIVEpsti0niffxGUVH.Bq8SFb.A1rhVbQTLyO47OvQVGMfMRu6';
  const users = [{ username: 'h', encrypt: 'bcrypt', password: hash }];
  const { broker } = held;
  const first = { port: await freePort(), id: 'a', authType: 'fixed', authConfig: { users } };
  expect((await broker.api('POST', '/api/endpoints/add', first)).status).toBe(200);
  const hashed = await broker.api('GET', '/api/endpoints/backup');
  expect([hashed.headers.get('x-fluxmq-secrets'), hashed.headers.get('warning')]).toEqual(['none', null]);
  expect(JSON.stringify(hashed.body)).toContain(hash);
  const plain = { authType: 'fixed', authConfig: { users: [...users, { username: 'p', password: 'a-word-of-mine' }] } };
  expect((await broker.api('POST', '/api/endpoints/update', { id: 'a', ...plain })).status).toBe(200);
  for (const route of ['backup', 'export']) {
    const masked = await broker.api('GET', `/api/endpoints/${route}`);
    expect(masked.headers.get('x-fluxmq-secrets')).toBe('masked');
    expect(masked.headers.get('warning')).toMatch(/cannot be restored or imported, except where these endpoints exist/);
    expect(masked.body).toMatchObject({ data: { secrets: 'masked', note: expect.stringContaining('cannot be restored') } });
    expect(JSON.stringify(masked.body)).not.toContain('a-word-of-mine');
  }
  const told = await fluxmq(['backup', '--quiet', '--api', broker.admin]);
  expect([told.code, told.stderr]).toEqual([0, expect.stringMatching(/^warning: Secrets are masked: .*cannot be restored/)]);
  const endpointsOnly = await fluxmq(['backup', '--no-history', '--secrets', 'include', '--api', broker.admin]);
  expect(JSON.parse(endpointsOnly.stdout)).toMatchObject({ kind: 'fluxmq-backup', secrets: 'clear' });
  expect(endpointsOnly.stdout).not.toContain('"history":');
});

test('an import of 50,000 endpoints is refused, and the node answers other requests during it', { timeout: 150_000 }, async () => {
  const { broker } = held;
  const before = await revisionOf(broker);
  const configs = Array.from({ length: 50_000 }, (_, index) => ({ port: 1 + index, id: `m${index}`, enableAuth: false }));
  for (const body of [{ configs }, { configs, dryRun: true }, { action: 'import', configs }]) {
    const route = 'action' in body ? 'plan' : 'import';
    await broker.api('GET', '/public/metrics');
    const answer = await broker.api('POST', `/api/endpoints/${route}`, body);
    expect(answer).toMatchObject({ status: 413, body: { code: 413, message: expect.stringContaining('2000') } });
  }
  expect(await revisionOf(broker)).toBe(before);
});
