/** Endpoints of a node that was alone, when it gets another store: taken, or refused by name; at no step lost or doubled. */

import { copyFileSync, cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import type { LogFields } from '../../../src/kernel/logger.ts';
import type { NodeStore } from '../../../src/storage/documents/document-store.ts';
import { checkDataFiles, markDataFiles } from '../../../src/storage/local/data-files.ts';
import { openLocalStore } from '../../../src/storage/local/local-store.ts';
import { openMemoryStore } from '../../../src/storage/memory/memory-store.ts';
import { sealStore } from '../../../src/storage/sealed/sealed-store.ts';
import { Sealer } from '../../../src/storage/sealed/sealer.ts';
import { takeLocal, warnOfTaken } from '../../../src/storage/take-local.ts';
import { META, put } from '../../contract/store-changes.ts';

const CLEAR = new Sealer({ secretKey: null, secretKeysOld: [] });
const SEALING = new Sealer({ secretKey: 'ab'.repeat(32), secretKeysOld: [] });

let root: string;
let folder: string;
let shared: NodeStore;
let lines: string[];
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'fluxmq-take-'));
  folder = join(root, 'a');
  shared = openMemoryStore();
  lines = [];
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

const log = (level: string) => (message: string, _fields?: LogFields) => void lines.push(`${level} ${message}`);
const logger = { debug: log('debug'), info: log('info'), warn: log('warn'), error: log('error') };

/** One commit for each list of ports. */
async function fill(dataPath: string, commits: number[][], confirmUntil?: number): Promise<void> {
  mkdirSync(dataPath, { recursive: true });
  const store = await openLocalStore({ dataPath });
  const more = { authConfig: { users: [{ username: 'u', password: 'in-clear' }] } };
  for (const ports of commits) {
    const changes = ports.map((port) => put(port, { ...more, id: `${dataPath.at(-1)}-${port}` }));
    await store.commit(changes, {}, META, confirmUntil === undefined ? {} : { confirmUntil });
  }
  await store.close();
  markDataFiles(dataPath);
}

const take = (more: { dataPath?: string; sealer?: Sealer; isDiscarding?: boolean } = {}) =>
  takeLocal(shared, { dataPath: folder, sealer: CLEAR, node: 'n1', into: 'the cluster', isDiscarding: false, logger, ...more });
const portsOf = async (store: NodeStore) => (await store.load()).endpoints.map(({ endpoint }) => endpoint.port).sort();
const filesOf = (dataPath: string) => readdirSync(dataPath).filter((name) => name.startsWith('config.db'));

test('an empty store gets them all as one revision with its reason; the file is moved aside and not missed', async () => {
  await fill(folder, [[1883], [1884, 1885]]);
  await take();
  expect(await portsOf(shared)).toEqual([1883, 1884, 1885]);
  const rows = await shared.history({ limit: 10 });
  expect(rows.map(({ revision }) => revision)).toEqual([1, 1, 1]);
  expect(rows[0]).toMatchObject({ action: 'import', actor: 'system', reason: 'taken from the LOCAL store of node n1' });
  expect(lines[0]).toBe('info Cluster: 3 endpoints of the LOCAL store were taken into the cluster');
  expect(filesOf(folder)).toEqual([expect.stringMatching(/^config\.db\.taken-/)]);
  expect(checkDataFiles(folder, false)).toEqual([]);
  await take();
  expect((await shared.load()).revision).toBe(1);
});

test('killed between its commit and the move: it is neither taken twice nor refused, whatever others have changed by then', async () => {
  await fill(folder, [[1883, 1884]]);
  cpSync(folder, join(root, 'killed'), { recursive: true });
  await take();
  await shared.commit([put(1883, { id: 'a-1883', maxConnectionSize: 7 })], {}, META);
  await take({ dataPath: join(root, 'killed') });
  expect((await shared.load()).revision).toBe(2);
  expect(filesOf(join(root, 'killed'))).toEqual([expect.stringMatching(/^config\.db\.taken-/)]);
});

test('killed between the marker and the rename: the next start finds the file', async () => {
  await fill(folder, [[1883]]);
  copyFileSync(join(folder, 'config.db'), join(root, 'config.db'));
  await take();
  copyFileSync(join(root, 'config.db'), join(folder, 'config.db'));
  expect(checkDataFiles(folder, false)).toEqual([]);
  await take();
  expect((await shared.load()).revision).toBe(1);
  expect(existsSync(join(folder, 'config.db'))).toBe(false);
});

test('a store that has other endpoints: refused, both are named, the ways out too, and nothing has changed', async () => {
  await fill(folder, [[1883, 1884]]);
  await shared.commit([put(1883), put(1999)], {}, META);
  const refused = await take().catch((error) => error);
  expect(refused).toMatchObject({ kind: 'unavailable', data: { reason: 'differs' } });
  expect(refused.message).toContain(join(folder, 'config.db'));
  expect(refused.message).toContain('1883 (other settings there), 1884 (not there); the cluster has: 1883, 1999');
  expect(refused.message).toMatch(/--discard-local.*export > FILE.*import FILE/);
  expect(filesOf(folder)).toEqual(['config.db']);
  expect((await shared.load()).revision).toBe(1);
  await take({ isDiscarding: true });
  expect(await portsOf(shared)).toEqual([1883, 1999]);
  expect(filesOf(folder)).toEqual([expect.stringMatching(/^config\.db\.discarded-/)]);
  expect(checkDataFiles(folder, false)).toEqual([]);
});

test.each([
  ['the same', [[1883], [1884]]],
  ['some of them', [[1884]]],
])('a store that has them already under ids of another node (%s): the start continues', async (_name, commits) => {
  await fill(join(root, 'b'), [[1883, 1884]]);
  await fill(folder, commits);
  await take({ dataPath: join(root, 'b') });
  await take();
  expect(await portsOf(shared)).toEqual([1883, 1884]);
  expect((await shared.load()).revision).toBe(1);
  expect(filesOf(folder)).toEqual([expect.stringMatching(/^config\.db\.taken-/)]);
});

test('two nodes at the same time: one fills the store, the other one is refused and keeps its file', async () => {
  await fill(folder, [[1883]]);
  await fill(join(root, 'b'), [[1884]]);
  const outcomes = await Promise.allSettled([take(), take({ dataPath: join(root, 'b') })]);
  expect(outcomes.map(({ status }) => status).sort()).toEqual(['fulfilled', 'rejected']);
  const isFirst = outcomes[0]?.status === 'fulfilled';
  expect(await portsOf(shared)).toEqual([isFirst ? 1883 : 1884]);
  expect(filesOf(isFirst ? join(root, 'b') : folder)).toEqual(['config.db']);
});

test('secrets in clear are sealed when they are taken; sealed ones without their key end the start', async () => {
  await fill(folder, [[1883]]);
  await take({ sealer: SEALING });
  expect(JSON.stringify(await shared.load())).not.toContain('in-clear');
  expect(JSON.stringify(await sealStore(shared, SEALING).load())).toContain('in-clear');
  const other = join(root, 'c');
  mkdirSync(other);
  const store = await openLocalStore({ dataPath: other });
  await sealStore(store, SEALING).commit([put(1883, { authConfig: { users: [{ username: 'u', password: 'x' }] } })], {}, META);
  await store.close();
  shared = openMemoryStore();
  await expect(take({ dataPath: other })).rejects.toMatchObject({ kind: 'unprocessable' });
  expect((await shared.load()).revision).toBe(0);
  expect(filesOf(other)).toEqual(['config.db']);
});

test('a change that waits for its confirmation is not taken as if it were confirmed', async () => {
  await fill(folder, [[1883]], 4e12);
  await expect(take()).rejects.toThrow('waits for a confirmation');
  expect((await shared.load()).revision).toBe(0);
});

test('a LOCAL store that is empty since then: the start says where the endpoints are, until there are others', async () => {
  await fill(folder, [[1883]]);
  await take();
  lines = [];
  const store = await openLocalStore({ dataPath: folder });
  await warnOfTaken(store, folder, logger);
  expect(lines).toEqual([expect.stringMatching(/^warn .*config\.db\.taken-/)]);
  await store.commit([put(1)], {}, META);
  await warnOfTaken(store, folder, logger);
  expect(lines).toHaveLength(1);
  await store.close();
});

test('a file that has never held anything is left alone', async () => {
  await fill(folder, []);
  await take();
  expect((await shared.load()).revision).toBe(0);
  expect(filesOf(folder)).toContain('config.db');
  expect(readFileSync(join(folder, 'files.json'), 'utf8')).toContain('config.db');
});
