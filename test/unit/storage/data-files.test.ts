/** Files of the data folder before a start: damaged, empty, gone ones are named with the command, and moved aside only when that is asked for. */

import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import Database from 'better-sqlite3';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { checkConfiguration } from '../../../src/check.ts';
import { checkDataFiles, judgeDataFiles, markDataFiles } from '../../../src/storage/local/data-files.ts';
import { lockFolder } from '../../../src/storage/local/folder-lock.ts';
import { openLocalStore } from '../../../src/storage/local/local-store.ts';

let folder: string;
let path: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'fluxmq-files-'));
  path = join(folder, 'messages.db');
  const db = new Database(path);
  db.pragma('journal_mode = WAL');
  db.exec('CREATE TABLE t (a TEXT)');
  for (let n = 0; n < 200; n++) db.prepare('INSERT INTO t VALUES (?)').run('x'.repeat(500));
  db.close();
  markDataFiles(folder);
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

function flip(at: number): void {
  const bytes = readFileSync(path);
  for (let i = at; i < at + 64; i++) bytes[i] = bytes[i]! ^ 0xff;
  writeFileSync(path, bytes);
}

const HARMS: [string, () => void, RegExp][] = [
  ['its header is damaged', () => flip(0), /is damaged/],
  ['it is cut in half', () => truncateSync(path, Math.floor(statSync(path).size / 8192) * 4096), /is damaged/],
  ['a page is damaged', () => flip(8192), /is damaged/],
  ['it is text', () => writeFileSync(path, 'hello world'.repeat(1000)), /is damaged/],
  ['it is empty', () => truncateSync(path, 0), /is empty/],
  ['it is gone', () => rmSync(path), /is gone/],
  [
    'it is a folder',
    () => {
      rmSync(path);
      mkdirSync(path);
    },
    /is no file/,
  ],
];

test.each(HARMS)('%s', (_name, harm, problem) => {
  expect(checkDataFiles(folder, false)).toEqual([]);
  harm();
  const before = readdirSync(folder).sort();
  const { problems, warnings } = judgeDataFiles(folder);
  expect(problems).toEqual([expect.stringMatching(problem)]);
  expect(problems[0]).toContain(`${path} `);
  expect(problems[0]).toContain('./fluxmq start --quarantine');
  expect(warnings).toEqual([]);
  expect(readdirSync(folder).sort()).toEqual(before);
  expect(() => checkDataFiles(folder, false)).toThrow(
    expect.objectContaining({ kind: 'unavailable', message: expect.stringMatching(problem) }),
  );
  expect(() => checkDataFiles(folder, false)).toThrow(`${path} `);
  expect(() => checkDataFiles(folder, false)).toThrow('./fluxmq start --quarantine');
  expect(readdirSync(folder).sort()).toEqual(before);
  const [told] = checkDataFiles(folder, true);
  expect(told).toMatch(problem);
  expect(existsSync(path)).toBe(false);
  if (!problem.source.includes('gone')) expect(readdirSync(folder).some((name) => name.startsWith('messages.db.damaged-'))).toBe(true);
});

test('check names each damaged file, and looks at none that a running broker has', () => {
  writeFileSync(join(folder, 'config.db'), 'hello world'.repeat(1000));
  flip(0);
  expect(judgeDataFiles(folder).problems).toHaveLength(2);
  const lock = lockFolder(folder);
  expect(judgeDataFiles(folder)).toEqual({ problems: [], warnings: [expect.stringContaining('is in use by a running fluxmq')] });
  lock.release();
  expect(judgeDataFiles(folder).problems).toHaveLength(2);
  writeFileSync(join(folder, 'lock.db'), 'hello world'.repeat(1000));
  expect(judgeDataFiles(folder).problems).toHaveLength(2);
});

test('check reports the files of the data folder beside what is wrong with the configuration', async () => {
  const file = join(folder, 'config.yaml');
  const write = (storeType: string) => writeFileSync(file, JSON.stringify({ store: { storeType, local: { dataPath: folder } } }));
  write('LOCAL');
  expect(await checkConfiguration(file, {}, folder)).toMatchObject({ problems: [] });
  flip(0);
  const { problems } = await checkConfiguration(file, {}, folder);
  expect(problems).toEqual([expect.stringMatching(/messages\.db is damaged/)]);
  write('MEMORY');
  expect(await checkConfiguration(file, {}, folder)).toMatchObject({ problems: [] });
});

test('makes the folder and its files for their owner alone', async () => {
  const deep = join(folder, 'deep', 'er');
  const umask = process.umask(0);
  const store = await openLocalStore({ dataPath: deep });
  process.umask(umask);
  const modeOf = (name: string) => statSync(join(deep, name)).mode & 0o777;
  expect([modeOf('.'), modeOf('..')]).toEqual([0o700, 0o700]);
  expect(readdirSync(deep).map((name) => [name, modeOf(name)])).toEqual(readdirSync(deep).map((name) => [name, 0o600]));
  await store.close();
});

test('a folder that never had the file is new', () => {
  const empty = join(folder, 'empty');
  mkdirSync(empty);
  expect(judgeDataFiles(empty)).toEqual({ problems: [], warnings: [] });
  expect(judgeDataFiles(join(folder, 'none'))).toEqual({ problems: [], warnings: [] });
  expect(checkDataFiles(empty, false)).toEqual([]);
  expect(checkDataFiles(join(folder, 'none'), false)).toEqual([]);
});

test('makes files private that were made with another mode', () => {
  chmodSync(path, 0o644);
  expect(checkDataFiles(folder, false)).toEqual([]);
  expect(statSync(path).mode & 0o777).toBe(0o600);
  expect(statSync(join(folder, 'lock.db')).mode & 0o777).toBe(0o600);
});

test('the lock and its journal are private from the beginning, whatever the umask', () => {
  const before = process.umask(0);
  try {
    const { release } = lockFolder(folder);
    const names = readdirSync(folder).filter((name) => name.startsWith('lock.db'));
    expect(names.map((name) => [name, statSync(join(folder, name)).mode & 0o777])).toEqual(names.map((name) => [name, 0o600]));
    expect(names).toContain('lock.db-journal');
    release();
  } finally {
    process.umask(before);
  }
});

test('a damaged lock file is no hindrance: there is nothing in it', () => {
  writeFileSync(join(folder, 'lock.db'), 'hello world'.repeat(1000));
  expect(checkDataFiles(folder, false)).toEqual([]);
});
