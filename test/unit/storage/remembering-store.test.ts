/** A store that is away at the start or later, and what the node keeps of it beside itself. */

import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { FluxError } from '../../../src/kernel/errors.ts';
import type { NodeStore } from '../../../src/storage/documents/document-store.ts';
import { openMemoryStore } from '../../../src/storage/memory/memory-store.ts';
import { openRemembering } from '../../../src/storage/remembering-store.ts';
import { META, put } from '../../contract/store-changes.ts';

const SOURCE = 'POSTGRESQL db.example/fluxmq';

describe('a store that may be away', () => {
  let dataPath: string;
  let inner: NodeStore;
  let fault: FluxError | null;
  let failures: string[];
  let opened: NodeStore[];

  beforeEach(() => {
    dataPath = join(mkdtempSync(join(tmpdir(), 'fluxmq-known-')), 'data');
    inner = openMemoryStore();
    fault = null;
    failures = [];
    opened = [];
  });
  afterEach(async () => {
    for (const store of opened) await store.close();
    rmSync(join(dataPath, '..'), { recursive: true, force: true });
  });

  /** Its `close` leaves the store behind it open, as a database stays when a broker ends. */
  const open = async (source = SOURCE) => {
    const behind = Object.assign(Object.create(inner) as NodeStore, {
      load: () => (fault === null ? inner.load() : Promise.reject(fault)),
      commit: (...args: Parameters<NodeStore['commit']>) => inner.commit(...args),
      history: (query: Parameters<NodeStore['history']>[0]) => inner.history(query),
      close: async () => {},
    });
    const attempt = async () => {
      if (fault !== null) throw fault;
      return behind;
    };
    const store = await openRemembering({ open: attempt, dataPath, source, onFailure: (reason) => void failures.push(reason) });
    opened.push(store);
    return store;
  };
  const away = () => new FluxError('unavailable', 'the database does not answer');

  /** The files of a process that had these endpoints. */
  const leave = async (...ports: number[]) => {
    const store = await open();
    await store.load();
    for (const port of ports) await store.commit([put(port)], {}, META);
    await store.close();
  };

  test('starts with what was last known, says so, and has the store itself as soon as it is back', async () => {
    await leave(1, 2);
    fault = away();
    const store = await open();
    const substitute = await store.load();
    expect(substitute).toMatchObject({
      revision: 2,
      endpoints: [{ revision: 1, endpoint: put(1).endpoint }, { revision: 2 }],
      pending: [],
    });
    expect(substitute.away).toEqual({ reason: 'the database does not answer', savedAt: expect.stringMatching(/^20\d\d-/) });
    await expect(store.load()).rejects.toMatchObject({ kind: 'unavailable' });
    await expect(store.commit([put(3)], {}, META)).rejects.toMatchObject({ kind: 'unavailable' });
    await expect(store.history({ limit: 1 })).rejects.toMatchObject({ kind: 'unavailable' });
    await inner.commit([put(9)], {}, META);
    fault = null;
    const snapshot = await store.load();
    expect(snapshot.away).toBeUndefined();
    expect(snapshot.revision).toBe(3);
    expect(await store.commit([put(3)], {}, META)).toBe(4);
  });

  test('starts with what was last known when the store goes away between its opening and the first load, and then only', async () => {
    const unknowing = await open();
    fault = away();
    await expect(unknowing.load()).rejects.toThrow('does not answer');
    await unknowing.close();
    fault = null;
    await leave(1, 2);
    const store = await open();
    fault = away();
    expect(await store.load()).toMatchObject({ revision: 2, away: { reason: 'the database does not answer' } });
    await expect(store.load()).rejects.toThrow('does not answer');
    fault = null;
    expect((await store.load()).away).toBeUndefined();
  });

  test('has the store when that comes back between the start and the first load', async () => {
    await leave(1);
    fault = away();
    const store = await open();
    fault = null;
    expect((await store.load()).away).toBeUndefined();
    fault = away();
    await expect(store.load()).rejects.toMatchObject({ kind: 'unavailable' });
  });

  test("does not start without anything known, with another store's configuration, or with a damaged one", async () => {
    fault = away();
    await expect(open()).rejects.toThrow('the database does not answer');
    fault = null;
    await leave(1);
    fault = away();
    await expect(open('MYSQL elsewhere')).rejects.toThrow('the database does not answer');
    writeFileSync(join(dataPath, 'last-known.json'), '{"version":1,"sou');
    await expect(open()).rejects.toThrow(/the database does not answer; and the last known configuration .*last-known.json cannot be read/);
  });

  test('does not start when more is wrong with the store than being away', async () => {
    await leave(1);
    fault = new FluxError('unprocessable', 'written by a newer version');
    await expect(open()).rejects.toThrow('written by a newer version');
  });

  test('keeps the file whole and to itself, after each load and commit', async () => {
    const store = await open();
    await store.load();
    const file = join(dataPath, 'last-known.json');
    const seen = new Set<number>();
    let isDone = false;
    const reading = (async () => {
      while (!isDone) {
        if (existsSync(file)) seen.add((JSON.parse(readFileSync(file, 'utf8')) as { revision: number }).revision);
        await new Promise((resolve) => setImmediate(resolve));
      }
    })();
    for (let n = 1; n <= 30; n++) {
      await store.commit([put(n)], {}, META);
      await new Promise((resolve) => setTimeout(resolve, n % 5));
    }
    await store.commit([{ kind: 'remove', id: 'mqtt-7' }], {}, META);
    await store.close();
    isDone = true;
    await reading;
    expect(seen.size).toBeGreaterThan(2);
    expect(readdirSync(dataPath).sort()).toEqual(['last-known.json', 'lock.db']);
    expect(statSync(file).mode & 0o777).toBe(0o600);
    fault = away();
    const { revision, endpoints } = await (await open()).load();
    const { endpoints: expected } = await inner.load();
    expect(revision).toBe(31);
    expect(endpoints).toEqual(expected);
  });

  test('follows what others have written, and what it wrote itself beyond that', async () => {
    const store = await open();
    await store.load();
    await inner.commit([put(1)], {}, META);
    await store.commit([put(2)], {}, META);
    await store.load();
    await store.close();
    fault = away();
    expect((await (await open()).load()).endpoints.map(({ endpoint }) => endpoint.port).sort()).toEqual([1, 2]);
  });

  test('still works when the file cannot be written, and reports it', async () => {
    const store = await open();
    mkdirSync(join(dataPath, 'last-known.json.new'));
    await store.load();
    await store.commit([put(1)], {}, META);
    await expect.poll(() => failures.length).toBeGreaterThan(0);
    expect(failures[0]).toContain('EISDIR');
  });

  test('does not wait longer than 2 s for a store that hangs, and takes it when it is there at last', async () => {
    await leave(1);
    let arrive: () => void = () => {};
    const slow = new Promise<NodeStore>((resolve) => {
      arrive = () => resolve(inner);
    });
    const startedAt = performance.now();
    const store = await openRemembering({ open: () => slow, dataPath, source: SOURCE, onFailure: () => {} });
    opened.push(store);
    expect(performance.now() - startedAt).toBeGreaterThan(1_000);
    expect((await store.load()).away?.reason).toContain('did not answer');
    arrive();
    await expect.poll(() => store.load().then((snapshot) => snapshot.away)).toBeUndefined();
  }, 15_000);

  test('belongs to one process', async () => {
    await open();
    await expect(open()).rejects.toMatchObject({ message: expect.stringContaining('in use by another fluxmq process') });
  });
});
