/** Export, import, backup and restore over HTTP: all or nothing, as one revision, with secrets that are never shown by accident. */

import { createServer } from 'node:net';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { type Broker, startBroker } from '../../kit/broker.ts';
import { freePort } from '../../kit/free-port.ts';
import { Api, canConnect, type SetAnswer } from './api.ts';

interface File {
  version: number;
  revision: number;
  secrets: string;
  keyId?: string;
  note?: string;
  configs: Record<string, unknown>[];
  history?: Record<string, unknown>[];
}
type Import = SetAnswer & { added: number; updated: number; removed: number; unchanged: number; adopted?: boolean };

const HOST = '127.0.0.1';
const KEY = '5f'.repeat(32);
const users = (password: string) => ({ authConfig: { users: [{ username: 'u', password }] } });
const config = async (id: string, extra: Record<string, unknown> = {}) => ({
  id,
  port: await freePort(),
  host: HOST,
  enableAuth: false,
  ...extra,
});
const counts = ({ added, updated, removed, unchanged }: Import) => ({ added, updated, removed, unchanged });

describe('files', () => {
  let broker: Broker;
  let api: Api;
  let start: number;
  beforeAll(async () => {
    broker = await startBroker({ endpoints: [{ enableAuth: false, id: 'first' }] });
    api = new Api(broker);
  });
  afterAll(async () => {
    expect(await broker.stop()).toBe(0);
  });
  beforeEach(async () => {
    await api.ok('POST', 'rollback', { revision: 1 });
    start = await api.revision();
  });

  test('imports what it has exported, and finds nothing to do', async () => {
    await api.add({ id: 'a', aclConfig: { rules: [{ permission: 'allow', subject: { type: 'all' }, action: 'pubsub', topic: '#' }] } });
    await api.add({ id: 'b', ...users('word-b'), serverOptions: { soBacklog: 7 } });
    const file = await api.ok<File>('GET', 'export');
    expect(file).toMatchObject({ version: 1, revision: start + 2, secrets: 'masked', note: expect.stringContaining('masked') });
    expect(file.configs).toHaveLength(3);
    expect(JSON.stringify(file)).not.toContain('word-b');
    for (const mode of ['merge', 'replace']) {
      const answer = await api.ok<Import>('POST', 'import', { ...file, mode });
      expect(counts(answer)).toEqual({ added: 0, updated: 0, removed: 0, unchanged: 3 });
      expect(answer).toMatchObject({ revision: start + 2, changes: [] });
    }
    // As curl saves it: the whole answer.
    const whole = (await broker.api('GET', '/endpoints/export')).body as Record<string, unknown>;
    expect(counts(await api.ok<Import>('POST', 'import', { ...whole, mode: 'replace' }))).toMatchObject({ unchanged: 3, removed: 0 });
  });

  test('merge changes and adds, replace also removes; either is one revision, and a dry run is none', async () => {
    const [gone, changed] = [await api.add({ id: 'gone' }), await api.add({ id: 'changed', maxConnectionSize: 5, maxQueuedMessages: 5 })];
    const configs = [await config('new'), { id: 'changed', port: changed.port, host: HOST, enableAuth: false, maxConnectionSize: 6 }];
    const first = (await api.ok<File>('GET', 'export')).configs.find(({ id }) => id === 'first');
    const before = await api.revision();
    const dry = await api.ok<Import>('POST', 'import', { configs, dryRun: true });
    expect([dry.revision, await api.revision()]).toEqual([null, before]);
    const merged = await api.ok<Import>('POST', 'import', { configs, reason: 'from a file' });
    expect(counts(merged)).toEqual(counts(dry));
    expect(counts(merged)).toEqual({ added: 1, updated: 1, removed: 0, unchanged: 0 });
    expect(merged).toMatchObject({ revision: before + 1, nodes: [{ state: 'applied' }] });
    const rows = await api.history(`limit=1&before=${before + 2}`);
    expect(rows.map(({ revision, action, source, reason }) => [revision, action, source, reason])).toEqual(
      Array(2).fill([before + 1, 'import', 'import', 'from a file']),
    );
    expect(rows.find(({ id }) => id === 'changed')?.diff).toEqual([{ path: 'maxConnectionSize', from: 5, to: 6 }]);

    const plan = await api.ok<{ endpoints: { id: string; action: string }[] }>('POST', 'plan', {
      action: 'import',
      mode: 'replace',
      configs: [first, ...configs],
    });
    expect(plan.endpoints.map(({ id, action }) => `${id} ${action}`).toSorted()).toEqual(['changed updated', 'gone removed']);
    const replaced = await api.ok<Import>('POST', 'import', { mode: 'replace', configs: [first, ...configs] });
    expect(counts(replaced)).toEqual({ added: 0, updated: 1, removed: 1, unchanged: 2 });
    expect(await api.ok('GET', 'get?id=changed')).toMatchObject({ endpoint: { maxConnectionSize: 6, maxQueuedMessages: 1000 } });
    expect(await canConnect(gone.port)).toBe(false);
    expect(Object.keys(await api.content()).toSorted()).toEqual(['changed', 'first', 'new']);
  });

  test('swaps ports, and moves by id', async () => {
    const [a, b] = [await api.add({ id: 'a' }), await api.add({ id: 'b' })];
    const answer = await api.ok<Import>('POST', 'import', {
      configs: [
        { id: 'a', port: b.port },
        { id: 'b', port: a.port },
      ],
    });
    expect(counts(answer)).toMatchObject({ updated: 2 });
    expect(await api.content()).toMatchObject({ a: [b.port, 1000], b: [a.port, 1000] });
    expect(await Promise.all([a.port, b.port].map(canConnect))).toEqual([true, true]);
  });

  test('lists the problems of all endpoints at once, and changes nothing', async () => {
    const { port } = await api.add({ id: 'a' });
    const before = await api.revision();
    const good = await config('good');
    const answer = await api.call('POST', 'import', {
      configs: [
        good,
        { port: 0, colour: 'red' },
        { ...good, id: 'twin' },
        7,
        { id: 'good', port: 2000 },
        { id: 'm', port: 2001, ...users('******') },
      ],
    });
    expect(answer.status).toBe(400);
    expect(answer.issues.map(({ path }) => path).toSorted()).toEqual([
      'configs[1].colour',
      'configs[1].port',
      'configs[2].port',
      'configs[3]',
      'configs[4].id',
      'configs[5].authConfig.users.0.password',
    ]);
    const taken = await api.call('POST', 'import', { configs: [good, { id: 'thief', port }] });
    expect([taken.status, taken.issues.map(({ path }) => path)]).toEqual([409, ['configs[1].port']]);
    for (const [body, path] of [
      [{}, 'configs'],
      [{ configs: 'x' }, 'configs'],
      [{ configs: [], version: 2 }, 'version'],
      [{ configs: [], mode: 'mix' }, 'mode'],
      [{ configs: [], history: [] }, 'history'],
      [{ configs: [], colour: 'red' }, 'colour'],
    ] as const) {
      const { status, issues } = await api.call('POST', 'import', body);
      expect([status, issues.map((issue) => issue.path)]).toEqual([400, [path]]);
    }
    expect((await api.call('POST', 'import', { configs: [good] }, { 'if-match': '"1"' })).status).toBe(412);
    expect(await api.revision()).toBe(before);
  });

  test('names each endpoint that cannot listen, and none of the others listens then', async () => {
    const foreign = [createServer(), createServer()];
    const configs = [await config('free'), await config('taken'), await config('other'), await config('taken-too')];
    await Promise.all(
      [1, 3].map((at, i) => new Promise<void>((done) => foreign[i]!.listen({ port: configs[at]!.port, host: HOST }, done))),
    );
    try {
      const answer = await api.call('POST', 'import', { configs });
      expect([answer.status, answer.kind]).toEqual([409, 'port-in-use']);
      expect(answer.issues.map(({ path }) => path).toSorted()).toEqual(['configs[1].port', 'configs[3].port']);
      expect(await api.revision()).toBe(start);
      expect(await Promise.all([0, 2].map((at) => canConnect(configs[at]!.port)))).toEqual([false, false]);
      const status = await api.call('POST', 'import', { configs: [{ ...configs[0], host: '203.0.113.9' }] });
      expect([status.status, status.kind]).toEqual([422, 'unprocessable']);
    } finally {
      for (const server of foreign) await new Promise((resolve) => server.close(resolve));
    }
    expect(counts(await api.ok<Import>('POST', 'import?confirmWithin=1s', { configs }))).toMatchObject({ added: 4 });
    await expect.poll(async () => Object.keys(await api.content()), { timeout: 15_000 }).toEqual(['first']);
  });

  test('takes older forms: without a version, endpoints by port, FluxMQ spellings', async () => {
    const { port, ...rest } = await config('old');
    const answer = await api.ok<Import>('POST', 'import', {
      endpoints: { [port]: { ...rest, port, serverOptions: { SO_BACKLOG: 64, bossGroupSize: 1 } } },
    });
    expect(counts(answer)).toMatchObject({ added: 1 });
    expect(answer.warnings).toEqual([expect.stringMatching(/^configs\[0\]: serverOptions\.bossGroupSize/)]);
    expect(await api.ok('GET', 'get?id=old')).toMatchObject({ endpoint: { serverOptions: { soBacklog: 64 } } });
  });

  test('keeps the secrets of existing endpoints where a masked export comes back, and gives them in clear only on demand', async () => {
    const { port } = await api.add({ id: 'guarded', enableAuth: true, ...users('word-1') });
    const file = await api.ok<File>('GET', 'export');
    await api.ok('POST', 'update', { id: 'guarded', maxConnectionSize: 3 });
    expect(counts(await api.ok<Import>('POST', 'import', { ...file, mode: 'replace' }))).toMatchObject({ updated: 1, unchanged: 1 });
    const clear = await api.ok<File>('GET', 'export?secrets=include');
    expect(clear).toMatchObject({ secrets: 'clear' });
    expect(JSON.stringify(clear.configs)).toContain('word-1');
    await api.ok('POST', 'remove', { port });
    const lost = await api.call('POST', 'import', file);
    expect([lost.status, lost.issues.map(({ path }) => path.replace(/\[\d\]/, '[n]'))]).toEqual([
      400,
      ['configs[n].authConfig.users.0.password'],
    ]);
    expect(counts(await api.ok<Import>('POST', 'import', clear))).toMatchObject({ added: 1 });
    expect(JSON.stringify(await api.ok('GET', 'export?secrets=include'))).toContain('word-1');
    expect((await api.call('GET', 'export?secrets=all')).status).toBe(400);
  });

  test('restores a backup as one revision when the store is not empty, and says that the history was not taken', async () => {
    await api.add({ id: 'a' });
    const backup = await api.ok<File>('GET', 'backup');
    expect(backup).toMatchObject({ kind: 'fluxmq-backup', version: 1, revision: start + 1, secrets: expect.any(String) });
    const revisions = backup.history?.map(({ revision }) => revision) as number[];
    expect([revisions[0], revisions.at(-1)]).toEqual([1, start + 1]);
    expect(revisions).toEqual(revisions.toSorted((x, y) => x - y));
    await api.ok('POST', 'remove', { id: 'a' });
    await api.add({ id: 'b' });
    const answer = await api.ok<Import>('POST', 'restore', backup);
    expect(answer).toMatchObject({ adopted: false, revision: start + 4, added: 1, removed: 1, unchanged: 1 });
    expect(answer.warnings).toContain('the history of the file was not taken: the store is not empty');
    expect((await api.history('limit=1')).map(({ action }) => action)).toEqual(['restore', 'restore']);
    expect(Object.keys(await api.content()).toSorted()).toEqual(['a', 'first']);
  });

  test('imports 500 endpoints as one revision', { timeout: 60_000 }, async () => {
    const ports = new Set<number>();
    while (ports.size < 500) ports.add(await freePort());
    const configs = [...ports].map((port) => ({ port, host: HOST, enableAuth: false, exclusivePool: false, aclConfig: { rules: RULES } }));
    expect(JSON.stringify(configs).length).toBeGreaterThan(1024 * 1024);
    const answer = await api.ok<Import>('POST', 'import?timeout=60s', { configs });
    expect(counts(answer)).toEqual({ added: 500, updated: 0, removed: 0, unchanged: 0 });
    expect([answer.revision, answer.nodes[0]?.state]).toEqual([start + 1, 'applied']);
    expect((await api.ok<{ activePorts: number[] }>('GET', 'list')).activePorts).toHaveLength(501);
    expect(await api.history(`limit=1&before=${start + 2}`)).toHaveLength(500);
    expect((await api.ok('POST', 'rollback?timeout=60s', { revision: start })).changes).toHaveLength(500);
  });
});

const RULES = Array.from({ length: 20 }, (_, index) => ({
  permission: 'allow',
  subject: { type: 'user', value: `device-${index}` },
  action: 'pubsub',
  topic: `devices/${index}/#`,
}));

describe('with a secret key', () => {
  const sealing = (secretKey: string, endpoints: object[]) => ({ store: { storeType: 'MEMORY', secretKey }, endpoints });
  const run = async (settings: Record<string, unknown>, work: (api: Api) => Promise<void>) => {
    const broker = await startBroker({ config: settings });
    try {
      await work(new Api(broker));
    } finally {
      await broker.stop();
    }
  };

  test('exports are sealed, and a node with the key takes them; a backup goes whole into an empty store', { timeout: 90_000 }, async () => {
    let sealed: File | null = null;
    let backup: File | null = null;
    let rows: unknown[] = [];
    await run(sealing(KEY, []), async (api) => {
      await api.add({ id: 'guarded', ...users('word-1') });
      await api.ok('POST', 'update', { id: 'guarded', ...users('word-2'), reason: 'rotated' });
      sealed = await api.ok<File>('GET', 'export');
      backup = await api.ok<File>('GET', 'backup');
      rows = await api.history('');
      expect(sealed).toMatchObject({ secrets: 'sealed', keyId: expect.stringMatching(/^[0-9a-f]{8}$/) });
      expect(JSON.stringify([sealed, backup])).not.toMatch(/word-\d/);
      const pasted = await api.call('POST', 'update', { id: 'guarded', ...users(`sealed:v1:${'0'.repeat(8)}:x`) });
      expect([pasted.status, pasted.message]).toEqual([400, expect.stringContaining('only an import takes one')]);
    });
    await run(sealing(KEY, []), async (api) => {
      const { history } = backup as unknown as { history: Record<string, unknown>[] };
      const misfits = [{ history: history.slice(1) }, { configs: [] }, { history: 'x' }, { history: [{ ...history[0], revision: 0 }] }];
      for (const misfit of misfits)
        expect((await api.call('POST', 'restore', { ...(backup as unknown as File), ...misfit })).status).toBe(400);
      expect(await api.revision()).toBe(0);
      expect(await api.ok<Import>('POST', 'restore', { ...backup, dryRun: true })).toMatchObject({ adopted: true, revision: null });
      const answer = await api.ok<Import>('POST', 'restore', backup);
      expect(answer).toMatchObject({ adopted: true, revision: 2, added: 1, nodes: [{ state: 'applied' }] });
      expect(await api.history('')).toEqual(rows);
      const { port } = (await api.ok<{ endpoint: { port: number } }>('GET', 'get?id=guarded')).endpoint;
      expect(await canConnect(port)).toBe(true);
      expect(JSON.stringify(await api.ok('GET', 'export?secrets=include'))).toContain('word-2');
      await api.ok('POST', 'rollback', { revision: 1 });
      expect(JSON.stringify(await api.ok('GET', 'export?secrets=include'))).toContain('word-1');
      expect(counts(await api.ok<Import>('POST', 'import', sealed))).toMatchObject({ updated: 1 });
    });
  });

  test('a viewer may export and back up, but not see secrets', async () => {
    const http = {
      host: HOST,
      port: await freePort(),
      username: 'admin',
      password: 'pw',
      viewers: [{ username: 'eve', password: 'look' }],
    };
    await run({ ...sealing(KEY, []), http }, async (api) => {
      const authorization = `Basic ${Buffer.from('eve:look').toString('base64')}`;
      for (const route of ['export', 'backup']) {
        expect((await api.call('GET', route, undefined, { authorization })).status).toBe(200);
        expect((await api.call('GET', `${route}?secrets=include`, undefined, { authorization })).status).toBe(403);
      }
    });
  });
});
