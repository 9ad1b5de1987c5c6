/** The store suite on each implementation, and faults that only a durable store has: reopening, kill -9, damage, a second broker. */

import { chmodSync, mkdirSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import Database from 'better-sqlite3';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { openLocalStore } from '../../src/storage/local/local-store.ts';
import { CONFIG_SCHEMA_VERSION } from '../../src/storage/local/migrations.ts';
import { openMemoryStore } from '../../src/storage/memory/memory-store.ts';
import { openStore } from '../../src/storage/open-store.ts';
import { answered, kill, startCommitting } from './processes.ts';
import { META, pastOf, put } from './store-changes.ts';
import { describeStore } from './store-suite.ts';

let folder = '';
const makeFolder = () => {
  folder = mkdtempSync(join(tmpdir(), 'fluxmq-store-'));
  return folder;
};
const dropFolder = async () => rmSync(folder, { recursive: true, force: true });

describeStore(
  'MEMORY',
  async () => openMemoryStore(),
  async () => {},
);
describeStore('LOCAL', () => openLocalStore({ dataPath: join(makeFolder(), 'made', 'here') }), dropFolder);

describe('MEMORY', () => {
  test('drops old rows of thousands', async () => {
    const store = openMemoryStore();
    await store.commit([put(1, { id: 'still' })], {}, META);
    for (let revision = 2; revision <= 4; revision += 1) {
      await store.commit(
        Array.from({ length: 1000 }, (_, index) => put(index + 2, { maxConnectionSize: revision })),
        {},
        META,
      );
    }
    expect((await store.at(1)).endpoints).toHaveLength(1);
    await store.compact({ keep: 1500, since: Date.now() + 1000, waiting: Number.MAX_SAFE_INTEGER });
    await expect(store.at(1)).rejects.toMatchObject({ kind: 'not-found' });
    expect(await store.history({ limit: 1, before: 2 })).toMatchObject([{ revision: 1, id: 'still' }]);
    expect((await store.at(3)).endpoints.map((stored) => stored.revision).toSorted()).toEqual([1, ...Array(1000).fill(3)]);
    expect(await store.size()).toEqual({ bytes: null, historyRows: 2001 });
    await store.close();
  });
});

describe('LOCAL', () => {
  beforeEach(() => {
    makeFolder();
  });
  afterEach(dropFolder);
  const open = () => openLocalStore({ dataPath: folder });

  test('keeps everything when it is closed and opened again', async () => {
    const store = await open();
    await store.commit([put(1), put(2)], {}, META);
    await store.commit([{ kind: 'remove', id: 'mqtt-1' }], {}, META);
    const [content, rows] = [await store.load(), await store.history({ limit: 10 })];
    await store.close();
    const again = await openStore(
      { storeType: 'LOCAL', local: { dataPath: folder } },
      { bus: null, node: 'n', name: 'test', onFailure: expect.unreachable },
    );
    expect(await again.load()).toEqual(content);
    expect(await again.history({ limit: 10 })).toEqual(rows);
    expect(await again.commit([put(3)], {}, META)).toBe(3);
    await again.close();
  });

  test('belongs to one process, and to the next one after its end', async () => {
    const store = await open();
    await expect(open()).rejects.toMatchObject({
      kind: 'unavailable',
      message: expect.stringContaining('in use by another fluxmq process'),
    });
    await store.close();
    const child = startCommitting({ storeType: 'LOCAL', dataPath: folder });
    await answered(child, 1);
    await expect(open()).rejects.toMatchObject({ kind: 'unavailable', message: expect.stringContaining('in use') });
    await kill(child);
    await (await open()).close();
  });

  test('keeps every answered commit, whole, through kill -9', async () => {
    let last = 0;
    for (let round = 0; round < 4; round += 1) {
      const child = startCommitting({ storeType: 'LOCAL', dataPath: folder });
      last = await answered(child, last + 5 + round * 7);
      last = Math.max(last, await kill(child));
      const store = await open();
      const { revision, endpoints } = await store.load();
      // The last commit may have been stored although the process died before it printed the answer.
      expect(revision).toBeGreaterThanOrEqual(last);
      expect(revision).toBeLessThanOrEqual(last + 1);
      expect(endpoints.map((stored) => [stored.revision, stored.endpoint.maxConnectionSize])).toEqual(Array(3).fill([revision, revision]));
      const rows = await store.history({ limit: 1000 });
      expect(rows.map((row) => row.revision)).toEqual(Array.from({ length: revision * 3 }, (_, index) => revision - Math.floor(index / 3)));
      await store.close();
      last = revision;
    }
  });

  test('opens a store of an older version, with the defaults of new keys', async () => {
    const store = await open();
    await store.commit([put(1, { wiretap: true })], {}, META);
    await store.close();
    edit((database) => database.exec(`UPDATE endpoint SET body = json_remove(body, '$.maxQueuedMessages', '$.childOptions.soLinger')`));
    const again = await open();
    expect((await again.load()).endpoints[0]?.endpoint).toEqual(put(1, { wiretap: true }).endpoint);
    await again.close();
  });

  test('forgets the rows of a process that died during a restore', async () => {
    const store = await open();
    await store.commit([put(1)], {}, META);
    await store.close();
    edit((database) => database.exec('UPDATE state SET revision = 0; DELETE FROM endpoint'));
    const again = await open();
    expect(await again.size()).toMatchObject({ historyRows: 0 });
    expect(await again.adopt(pastOf([{ ...META, revision: 1, at: 1, id: 'mqtt-2', port: 2, before: null, after: put(2).endpoint }]))).toBe(
      1,
    );
    await again.close();
  });

  test('opens a store of the first schema, with its history', async () => {
    const store = await open();
    await store.commit([put(1)], {}, META);
    const rows = await store.history({ limit: 10 });
    await store.close();
    edit((database) => {
      database.exec(`DROP TABLE pending; DROP INDEX history_facts;
        DROP INDEX history_id; DROP INDEX history_at; DROP INDEX history_actor; DROP INDEX history_port; DROP INDEX history_old_port;
        ALTER TABLE history RENAME COLUMN old_body TO before; ALTER TABLE history RENAME COLUMN new_body TO after`);
      database.pragma('user_version = 1');
    });
    const again = await open();
    for (const query of [{}, { id: 'mqtt-1' }, { port: 1 }, { actor: META.actor }]) {
      expect(await again.history({ limit: 10, ...query })).toEqual(rows);
    }
    expect(await again.commit([put(2)], {}, META, { confirmUntil: 1 })).toBe(2);
    await again.close();
  });

  test('refuses a store of a newer version and leaves it alone', async () => {
    await (await open()).close();
    edit((database) => database.pragma(`user_version = ${CONFIG_SCHEMA_VERSION + 1}`));
    await expect(open()).rejects.toMatchObject({ kind: 'unavailable', message: expect.stringContaining('newer fluxmq') });
    edit((database) => expect(database.pragma('user_version', { simple: true })).toBe(CONFIG_SCHEMA_VERSION + 1));
  });

  test('reports a damaged file or an unusable folder as unavailable, and releases the folder', async () => {
    writeFileSync(join(folder, 'config.db'), 'this is no database, but it is long enough to be taken for one'.repeat(100));
    await expect(open()).rejects.toMatchObject({ kind: 'unavailable', message: expect.stringContaining(folder) });
    rmSync(join(folder, 'config.db'));
    await (await open()).close();
    writeFileSync(join(folder, 'file'), '');
    await expect(openLocalStore({ dataPath: join(folder, 'file') })).rejects.toMatchObject({ kind: 'unavailable' });
  });

  test('keeps password hashes from other users of the machine', async () => {
    const dataPath = join(folder, 'data');
    mkdirSync(dataPath);
    chmodSync(dataPath, 0o755);
    const store = await openLocalStore({ dataPath });
    await store.commit([put(1)], {}, META);
    for (const file of ['config.db', 'config.db-wal']) expect([file, statSync(join(dataPath, file)).mode & 0o077]).toEqual([file, 0]);
    await store.close();
  });

  test('reports soon that a tool locks its file, and opens it after the release', async () => {
    await (await open()).close();
    const tool = new Database(join(folder, 'config.db'));
    try {
      tool.exec('BEGIN IMMEDIATE');
      const startedAt = performance.now();
      await expect(open()).rejects.toMatchObject({ kind: 'unavailable', message: expect.stringContaining('locked') });
      // SQLite's own default is 5 s, during which the main thread would be blocked.
      expect(performance.now() - startedAt).toBeLessThan(4_000);
    } finally {
      tool.close();
    }
    const store = await open();
    expect(await store.commit([put(1)], {}, META)).toBe(1);
    await store.close();
  });

  test('holds its file alone and maps no part of it, so a failing disk is an error and not the end of the process', async () => {
    const store = await open();
    await store.commit([put(1)], {}, META);
    expect(readdirSync(folder)).not.toContain('config.db-shm');
    const tool = new Database(join(folder, 'config.db'), { timeout: 0 });
    expect(() => tool.prepare('SELECT * FROM state').get()).toThrow('locked');
    tool.close();
    expect((await store.load()).revision).toBe(1);
    await store.close();
  });

  test('works with a write-ahead log', async () => {
    await (await open()).close();
    edit((database) => expect(database.pragma('journal_mode', { simple: true })).toBe('wal'));
  });

  function edit(work: (database: Database.Database) => void): void {
    const database = new Database(join(folder, 'config.db'));
    try {
      work(database);
    } finally {
      database.close();
    }
  }
});
