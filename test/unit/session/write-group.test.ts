/** The transaction of messages.db on a file that can grow no more: nothing is half applied, what must be kept is written later, within bounds. */

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import Database from 'better-sqlite3';
import { afterEach, expect, test } from 'vitest';
import { WriteGroup } from '../../../workers/host/disk/write-group.ts';

const PUT = 'INSERT INTO row VALUES (?, ?)';
const COUNT = 'SELECT count(*) AS n FROM row';
const cleanups: (() => void)[] = [];
afterEach(() => {
  for (const cleanup of cleanups.splice(0)) cleanup();
});

function open(path = ':memory:') {
  const db = new Database(path, { timeout: 20 });
  cleanups.push(() => db.close());
  db.exec('CREATE TABLE row (name TEXT NOT NULL, body BLOB)');
  const told: string[] = [];
  const group = new WriteGroup(db, { onFailed: (cause) => told.push(cause), onLost: () => told.push('lost') });
  const pages = (count: number) => db.pragma(`max_page_count = ${count}`);
  return { db, group, told, pages, rows: () => (db.prepare(COUNT).get() as { n: number }).n };
}

const body = Buffer.alloc(3_000, 1);

test('rolls a group back whole, gives up what is refusable, and keeps the rest for later', () => {
  const { group, told, pages, rows } = open();
  group.run(PUT, ['before', body]);
  expect(group.commit()).toBe('stored');
  pages(8);
  group.run(PUT, ['kept', body]);
  group.isRefusable = true;
  for (let n = 0; n < 20; n++) group.run(PUT, [`refusable ${n}`, body]);
  group.isRefusable = false;
  group.run(PUT, ['kept too', null]);
  expect(group.commit()).toBe('failed');
  expect(told).toEqual(['disk full']);
  expect(rows()).toBe(1);
  group.run(PUT, ['in the meantime', null]);
  expect(group.commit()).toBe('waiting');
  expect(rows()).toBe(1);
  pages(1_000);
  expect(group.retry(() => {})).toBeNull();
  group.resume();
  expect(rows()).toBe(4);
  group.run(PUT, ['after', body]);
  expect(group.commit()).toBe('stored');
  expect(rows()).toBe(5);
  expect(told).toEqual(['disk full']);
});

test('writes what waits in steps, none of which ends within a part', () => {
  const { group, pages, rows } = open();
  pages(4);
  for (let n = 0; n < 10; n++) group.run(PUT, [`${n}`, body]);
  expect(group.commit()).toBe('failed');
  for (let part = 0; part < 100; part++) {
    group.run(PUT, [`a ${part}`, null]);
    group.run(PUT, [`b ${part}`, null]);
    group.endPart();
  }
  pages(1_000);
  const seen: number[] = [];
  expect(group.retry(() => seen.push(rows()))).toBeNull();
  expect(seen.length).toBeGreaterThan(2);
  expect(seen.every((count) => count === 10 || count % 2 === 0)).toBe(true);
  expect(rows()).toBe(210);
});

test('continues where a step failed', () => {
  const { group, pages, rows } = open();
  pages(4);
  for (let n = 0; n < 200; n++) {
    group.run(PUT, [`${n}`, body]);
    group.endPart();
  }
  expect(group.commit()).toBe('failed');
  pages(80);
  expect(group.retry(() => {})).toBe('disk full');
  const some = rows();
  expect(some).toBeGreaterThan(0);
  expect(some).toBeLessThan(200);
  pages(1_000);
  expect(group.retry(() => {})).toBeNull();
  expect(rows()).toBe(200);
});

test('keeps so much and no more', () => {
  const { group, told, pages } = open();
  pages(4);
  const megabyte = Buffer.alloc(1024 * 1024);
  for (let n = 0; n < 40; n++) group.run(PUT, [`${n}`, megabyte]);
  expect(group.commit()).toBe('failed');
  expect(told.filter((each) => each === 'lost').length).toBeGreaterThanOrEqual(8);
});

test('names another program that holds the file, and a file that is damaged; an error of the program is thrown', () => {
  const folder = mkdtempSync(join(tmpdir(), 'fluxmq-group-'));
  cleanups.push(() => rmSync(folder, { recursive: true, force: true }));
  const path = join(folder, 'messages.db');
  const { group, told } = open(path);
  const other = new Database(path);
  cleanups.push(() => other.close());
  other.exec('BEGIN EXCLUSIVE');
  group.run(PUT, ['waits', null]);
  expect(group.commit()).toBe('failed');
  expect(told).toEqual(['database locked']);
  expect(group.retry(() => {})).toBe('database locked');
  other.exec('ROLLBACK');
  expect(group.retry(() => {})).toBeNull();
  group.resume();
  expect(() => group.run('INSERT INTO row VALUES (NULL, NULL)', [])).toThrow('NOT NULL');
});
