/** The tests that every store implementation must pass. */

import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { Endpoint } from '../../src/endpoint/endpoint.ts';
import type { NodeStore } from '../../src/storage/documents/document-store.ts';
import { type ChangeMeta, WHOLE } from '../../src/storage/endpoint-store.ts';
import { describeDocuments } from './document-suite.ts';
import { describePast, type KindOf } from './past-suite.ts';
import { META, put, remove } from './store-changes.ts';

/** Runs the suite. `open` opens an empty store; `after` removes what the store left. */
export function describeStore(name: string, open: () => Promise<NodeStore>, after: () => Promise<void>): void {
  describe(`store ${name}`, () => {
    let store: NodeStore;
    beforeEach(async () => {
      store = await open();
    });
    afterEach(async () => {
      await store.close();
      await after();
    });
    const content = async () => {
      const { revision, endpoints } = await store.load();
      return {
        revision,
        endpoints: Object.fromEntries(endpoints.map((stored) => [stored.endpoint.id, [stored.endpoint.port, stored.revision]])),
      };
    };
    const kindOf = (work: Promise<unknown>) =>
      work.then(
        () => 'resolved',
        (error: { kind: string }) => error.kind,
      );

    describeContent(() => store, content, kindOf);
    describeHistory(() => store);
    describePast(() => store, kindOf);
    describeConcurrency(() => store, content, kindOf);
    describeDocuments(() => store.documents, kindOf);
  });
}

type Content = () => Promise<{ revision: number; endpoints: Record<string, unknown> }>;

function describeContent(get: () => NodeStore, content: Content, kindOf: KindOf): void {
  test('is empty at revision 0', async () => {
    expect(await get().load()).toEqual({ revision: 0, endpoints: [], pending: [] });
    expect(await get().history({ limit: 10 })).toEqual([]);
  });

  test('gives back what was put, with the revision of its last change', async () => {
    const change = put(1883, { authConfig: { users: [{ username: 'ü', password: 'p"\\' }] }, serverOptions: { workerGroupSize: 'auto' } });
    expect(await get().commit([change], {}, META)).toBe(1);
    expect(await get().commit([put(1884)], {}, META)).toBe(2);
    const { revision, endpoints } = await get().load();
    expect(revision).toBe(2);
    expect(endpoints.find((stored) => stored.endpoint.id === 'mqtt-1883')).toEqual({ endpoint: change.endpoint, revision: 1 });
    expect(endpoints).toHaveLength(2);
  });

  test('does not change through objects that it received or returned', async () => {
    const change = put(1883);
    await get().commit([change], {}, META);
    change.endpoint.serverOptions.soBacklog = 1;
    const [stored] = (await get().load()).endpoints;
    if (stored !== undefined) stored.endpoint.host = 'changed';
    const [row] = await get().history({ limit: 1 });
    if (row?.after) row.after.host = 'changed';
    expect((await get().load()).endpoints[0]?.endpoint).toMatchObject({ host: '0.0.0.0', serverOptions: { soBacklog: 511 } });
    expect((await get().history({ limit: 1 }))[0]?.after?.host).toBe('0.0.0.0');
  });

  test('compares and sets', async () => {
    await get().commit([put(1883)], { 'mqtt-1883': 0 }, META);
    expect(await kindOf(get().commit([put(1883, { wiretap: true })], { 'mqtt-1883': 0 }, META))).toBe('exists');
    expect(await kindOf(get().commit([put(1883, { wiretap: true })], { 'mqtt-1883': 2 }, META))).toBe('revision-mismatch');
    expect(await kindOf(get().commit([put(1884)], { 'mqtt-9': 1 }, META))).toBe('revision-mismatch');
    expect(await content()).toEqual({ revision: 1, endpoints: { 'mqtt-1883': [1883, 1] } });
    expect(await get().commit([put(1883, { wiretap: true })], { 'mqtt-1883': 1 }, META)).toBe(2);
    expect(await get().commit([remove('mqtt-1883')], { 'mqtt-1883': 2 }, META)).toBe(3);
    expect(await get().commit([put(1883)], { 'mqtt-1883': 0 }, META)).toBe(4);
  });

  test('compares the whole configuration when it is asked to', async () => {
    await get().commit([put(1883)], { [WHOLE]: 0 }, META);
    await get().commit([put(1884)], {}, META);
    expect(await kindOf(get().commit([put(1883, { wiretap: true })], { 'mqtt-1883': 1, [WHOLE]: 1 }, META))).toBe('revision-mismatch');
    expect(await content()).toEqual({ revision: 2, endpoints: { 'mqtt-1883': [1883, 1], 'mqtt-1884': [1884, 2] } });
    expect(await get().commit([put(1883, { wiretap: true })], { 'mqtt-1883': 1, [WHOLE]: 2 }, META)).toBe(3);
    const both = [2, 3].map((max) => get().commit([put(1884, { maxConnectionSize: max })], { [WHOLE]: 3 }, META));
    expect((await Promise.all(both.map(kindOf))).sort()).toEqual(['resolved', 'revision-mismatch']);
  });

  test('says what the current endpoint is when an expectation fails', async () => {
    await get().commit([put(1883)], {}, META);
    const failure = get().commit([put(1883)], { 'mqtt-1883': 7 }, META);
    await expect(failure).rejects.toMatchObject({ kind: 'revision-mismatch', data: { revision: 1, endpoint: { id: 'mqtt-1883' } } });
  });

  test('does all changes or none', async () => {
    await get().commit([put(1), put(2)], {}, META);
    expect(await kindOf(get().commit([put(3), remove('mqtt-1'), remove('mqtt-9')], {}, META))).toBe('not-found');
    expect(await kindOf(get().commit([put(3), put(2, { id: 'other' })], {}, META))).toBe('exists');
    expect(await kindOf(get().commit([put(3)], { 'mqtt-2': 9 }, META))).toBe('revision-mismatch');
    expect(await kindOf(get().commit([put(3), put(3, { wiretap: true })], {}, META))).toBe('invalid');
    expect(await kindOf(get().commit([], {}, META))).toBe('invalid');
    expect(await content()).toEqual({ revision: 1, endpoints: { 'mqtt-1': [1, 1], 'mqtt-2': [2, 1] } });
    expect(await get().history({ limit: 10 })).toHaveLength(2);
  });

  test('lets ports move in one commit: swapped, and taken over', async () => {
    await get().commit([put(1, { id: 'a' }), put(2, { id: 'b' })], {}, META);
    await get().commit([put(2, { id: 'a' }), put(1, { id: 'b' })], {}, META);
    expect((await content()).endpoints).toEqual({ a: [2, 2], b: [1, 2] });
    await get().commit([put(2, { id: 'c' }), remove('a')], {}, META);
    expect((await content()).endpoints).toEqual({ b: [1, 2], c: [2, 3] });
    expect(await kindOf(get().commit([put(1, { id: 'c' })], {}, META))).toBe('exists');
  });

  test('takes ids that are names of object properties', async () => {
    await get().commit([put(1, { id: 'constructor' }), put(2, { id: '__proto__' })], {}, META);
    expect((await get().load()).endpoints.map((stored) => stored.endpoint.id).sort()).toEqual(['__proto__', 'constructor']);
  });

  test('rejects calls after close, which may be called twice', async () => {
    await get().close();
    await get().close();
    expect(await kindOf(get().load())).toBe('unavailable');
    expect(await kindOf(get().commit([put(1)], {}, META))).toBe('unavailable');
    expect(await kindOf(get().history({ limit: 1 }))).toBe('unavailable');
  });
}

function describeHistory(get: () => NodeStore): void {
  const summary = async (query: Parameters<NodeStore['history']>[0]) =>
    (await get().history(query)).map((row) => `${row.revision} ${row.id} ${row.before?.port ?? '-'} ${row.after?.port ?? '-'}`);

  test('writes a whole row for each change', async () => {
    const before = Date.now();
    await get().commit([put(1883, { wiretap: true })], {}, META);
    const meta: ChangeMeta = { action: 'remove', actor: 'bob', source: 'file', node: 'n2', requestId: 'r-2', reason: null };
    await get().commit([remove('mqtt-1883')], {}, meta);
    const rows = await get().history({ limit: 10 });
    const endpoint: Endpoint = put(1883, { wiretap: true }).endpoint;
    const common = { at: expect.any(Number), id: 'mqtt-1883', port: 1883 };
    expect(rows).toEqual([
      { ...meta, ...common, revision: 2, before: endpoint, after: null },
      { ...META, ...common, revision: 1, before: null, after: endpoint },
    ]);
    for (const row of rows) expect(row.at).toBeGreaterThanOrEqual(before);
  });

  test('pages and filters, newest first', async () => {
    await get().commit([put(1, { id: 'a' })], {}, META);
    await get().commit([put(2, { id: 'b' })], {}, META);
    await get().commit([put(3, { id: 'a' })], {}, META);
    await get().commit([remove('b')], {}, META);
    expect(await summary({ limit: 2 })).toEqual(['4 b 2 -', '3 a 1 3']);
    expect(await summary({ limit: 2, before: 3 })).toEqual(['2 b - 2', '1 a - 1']);
    expect(await summary({ limit: 1000, before: 1 })).toEqual([]);
    expect(await summary({ limit: 10, id: 'b' })).toEqual(['4 b 2 -', '2 b - 2']);
    expect(await summary({ limit: 10, port: 1 })).toEqual(['3 a 1 3', '1 a - 1']);
    expect(await summary({ limit: 10, port: 3, id: 'a' })).toEqual(['3 a 1 3']);
    expect(await summary({ limit: 1, id: 'a', before: 3 })).toEqual(['1 a - 1']);
  });

  test('never cuts a revision in two', async () => {
    await get().commit([put(1)], {}, META);
    await get().commit([put(2), put(3), put(4)], {}, META);
    await get().commit([put(5)], {}, META);
    expect((await get().history({ limit: 2 })).map((row) => row.revision)).toEqual([3, 2, 2, 2]);
    expect((await get().history({ limit: 1, port: 3 })).map((row) => row.revision)).toEqual([2]);
  });

  test.each([0, 1001, -1, 1.5, Number.NaN])('refuses the limit %d', async (limit) => {
    await expect(get().history({ limit })).rejects.toMatchObject({ kind: 'invalid' });
  });
}

function describeConcurrency(get: () => NodeStore, content: Content, kindOf: KindOf): void {
  test('numbers 50 commits at once without a gap', async () => {
    const revisions = await Promise.all(Array.from({ length: 50 }, (_, index) => get().commit([put(1000 + index)], {}, META)));
    expect(revisions.toSorted((a, b) => a - b)).toEqual(Array.from({ length: 50 }, (_, index) => index + 1));
    const { revision, endpoints } = await content();
    expect([revision, Object.keys(endpoints)]).toEqual([50, expect.objectContaining({ length: 50 })]);
    expect(new Set((await get().history({ limit: 100 })).map((row) => row.revision)).size).toBe(50);
  });

  test('lets one of 20 rivals win', async () => {
    await get().commit([put(1883)], {}, META);
    const rivals = Array.from({ length: 20 }, (_, index) =>
      get().commit([put(1883, { maxConnectionSize: index + 1 })], { 'mqtt-1883': 1 }, META),
    );
    const kinds = await Promise.all(rivals.map(kindOf));
    expect(kinds.filter((kind) => kind === 'resolved')).toHaveLength(1);
    expect(kinds.filter((kind) => kind === 'revision-mismatch')).toHaveLength(19);
    expect((await content()).revision).toBe(2);
  });
}
