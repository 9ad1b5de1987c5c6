/** A commit of the LOCAL store that is too large for one turn of its thread. */

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { parseEndpoint } from '../../../src/endpoint/schema.ts';
import type { ChangeMeta, EndpointStore, StoreChange } from '../../../src/storage/endpoint-store.ts';
import { openLocalStore } from '../../../src/storage/local/local-store.ts';

const META: ChangeMeta = { action: 'import', actor: 'tester', source: 'import', node: 'n1', requestId: 'r', reason: null };
const COUNT = 1_000;

let folder: string;
let store: EndpointStore;

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'fluxmq-large-'));
  store = await openLocalStore({ dataPath: folder });
});
afterEach(async () => {
  await store.close();
  rmSync(folder, { recursive: true, force: true });
});

const put = (id: string, port: number): StoreChange => ({ kind: 'put', endpoint: parseEndpoint({ id, port, enabled: false }).endpoint });
const many = (shift = 0) => Array.from({ length: COUNT }, (_, index) => put(`e${index}`, 10_000 + ((index + shift) % COUNT)));
const ports = async () => new Map((await store.load()).endpoints.map(({ endpoint: { id, port } }) => [id, port]));
const turn = () => new Promise((resolve) => setImmediate(resolve));

test('is one revision, in which ports may pass from each endpoint to the next', async () => {
  expect(await store.commit(many(), {}, META)).toBe(1);
  expect(await store.commit(many(1), { e5: 1 }, META)).toBe(2);
  const found = await ports();
  expect(found.size).toBe(COUNT);
  expect([found.get('e0'), found.get(`e${COUNT - 1}`)]).toEqual([10_001, 10_000]);
  const rows = await store.history({ limit: 1 });
  expect(rows).toHaveLength(COUNT);
  expect(rows.find(({ id }) => id === 'e7')).toMatchObject({ revision: 2, before: { port: 10_007 }, after: { port: 10_008 } });
});

test('has readers and other writers wait: nobody sees a part of it', async () => {
  await store.commit([put('old', 1)], {}, META);
  const writing = store.commit(many(), {}, META);
  await turn();
  expect((await ports()).size).toBe(COUNT + 1);
  const next = store.commit([put('next', 2)], {}, META);
  const other = store.commit(many(1), {}, META);
  expect(await Promise.all([writing, next, other])).toEqual([2, 3, 4]);
  expect((await ports()).size).toBe(COUNT + 2);
});

test('changes nothing when one of its endpoints cannot be stored', async () => {
  await store.commit([put('old', 10_500)], {}, META);
  await expect(store.commit(many(), {}, META)).rejects.toMatchObject({ kind: 'exists' });
  await expect(store.commit(many(), { old: 7 }, META)).rejects.toMatchObject({ kind: 'revision-mismatch' });
  expect(await ports()).toEqual(new Map([['old', 10_500]]));
  expect(await store.commit([put('next', 2)], {}, META)).toBe(2);
});

test('changes nothing when the store is closed in the middle', async () => {
  await store.commit([put('old', 1)], {}, META);
  const writing = store.commit(many(), {}, META);
  const failed = expect(writing).rejects.toMatchObject({ kind: 'unavailable' });
  await turn();
  await store.close();
  await failed;
  store = await openLocalStore({ dataPath: folder });
  expect(await ports()).toEqual(new Map([['old', 1]]));
});
