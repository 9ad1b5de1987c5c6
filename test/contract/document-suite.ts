/** The tests of documents that every store implementation must pass; part of the store suite. */

import { expect, test } from 'vitest';
import type { DocumentChange, DocumentRow, DocumentStore } from '../../src/storage/documents/document-store.ts';
import { DOCUMENT_CHANGES_MAX } from '../../src/storage/documents/document-store.ts';
import type { KindOf } from './past-suite.ts';
import { META } from './store-changes.ts';

const user = (key: string, body: string | null, expected?: number): DocumentChange => ({
  kind: 'user',
  key,
  body,
  ...(expected === undefined ? {} : { expected }),
});

/** All versions, read in pages. */
async function all(store: DocumentStore, limit = 3, from = { revision: 0, seq: -1 }): Promise<DocumentRow[]> {
  const rows: DocumentRow[] = [];
  for (let place: { revision: number; seq: number } | null = from; place !== null; ) {
    const page = await store.since(place, limit);
    expect(page.rows.length).toBeLessThanOrEqual(limit);
    rows.push(...page.rows);
    place = page.next;
  }
  return rows;
}

const texts = (rows: DocumentRow[]) => rows.map(({ revision, key, body }) => `${revision} ${key} ${body}`);

export function describeDocuments(get: () => DocumentStore, kindOf: KindOf): void {
  test('documents: empty, then each commit is a revision, read as what changed since', async () => {
    const store = get();
    expect(await store.state()).toMatchObject({ revision: 0, floor: 0 });
    expect(await all(store)).toEqual([]);
    const odd = '["","ü\\u0001🙂%_\'"]';
    expect(await store.commit([user('b', 'B1'), user(odd, '{"x":"é\\\\\'"}'), { ...user('b', 'ban'), kind: 'ban' }], META)).toBe(1);
    const { life } = await store.state();
    expect(life).not.toBe('');
    expect(await store.commit([user('a', 'A2'), user('b', null)], META)).toBe(2);
    expect(await store.state()).toEqual({ life, revision: 2, floor: 0 });
    expect(texts(await all(store))).toEqual(['1 b B1', `1 ${odd} {"x":"é\\\\'"}`, '1 b ban', '2 a A2', '2 b null']);
    expect(texts(await all(store, 1, { revision: 1, seq: 1 }))).toEqual(['1 b ban', '2 a A2', '2 b null']);
    expect(await all(store, 10, { revision: 2, seq: 1 })).toEqual([]);
  });

  test('documents: expectations, all or nothing, exact keys', async () => {
    const store = get();
    await store.commit([user('Ann', '1'), user('ann', '2')], META);
    expect(await kindOf(store.commit([user('new', '1'), user('Ann', '1', 0)], META))).toBe('exists');
    expect(await kindOf(store.commit([user('new', '1'), user('Ann', '3', 2)], META))).toBe('revision-mismatch');
    expect(await kindOf(store.commit([user('new', '1'), user('ANN', null)], META))).toBe('not-found');
    expect(await kindOf(store.commit([], META))).toBe('invalid');
    expect(await kindOf(store.commit([user('x', '1'), user('x', '2')], META))).toBe('invalid');
    expect(await kindOf(store.commit([user('blank ', '1')], META))).toBe('invalid');
    expect(await kindOf(store.commit([user('k'.repeat(513), '1')], META))).toBe('invalid');
    const many = Array.from({ length: DOCUMENT_CHANGES_MAX + 1 }, (_, index) => user(String(index), ''));
    expect(await kindOf(store.commit(many, META))).toBe('invalid');
    expect(texts(await all(store))).toEqual(['1 Ann 1', '1 ann 2']);
    expect(await store.commit([user('Ann', null, 1), user('new', 'n', 0), user('é'.repeat(512), '')], META)).toBe(2);
    expect(await kindOf(store.commit([user('Ann', 'x', 1)], META))).toBe('revision-mismatch');
    expect(await kindOf(store.commit([user('Ann', null)], META))).toBe('not-found');
    expect(await store.commit([user('Ann', 'again', 0)], META)).toBe(3);
  });

  test('documents: two writers of one document, one wins', async () => {
    const store = get();
    await store.commit([user('a', '0')], META);
    const outcomes = await Promise.all(
      Array.from({ length: 6 }, (_, index) => kindOf(store.commit([user('a', String(index), 1), user(`b${index}`, 'x')], META))),
    );
    expect(outcomes.toSorted()).toEqual(['resolved', ...Array(5).fill('revision-mismatch')].toSorted());
    expect((await all(store)).filter(({ revision }) => revision === 2)).toHaveLength(2);
    expect(await store.state()).toMatchObject({ revision: 2 });
  });

  test('documents: authors, changes, and what was there at a revision', async () => {
    const store = get();
    await store.commit([user('a', 'A1'), user('b', 'B1'), user('c', 'C1')], { ...META, actor: 'Zoë', reason: 'first' });
    await store.commit([user('a', 'A2'), user('d', 'D2')], META);
    await store.commit([user('a', null), user('b', 'B3')], META);
    expect(await store.commits(2)).toMatchObject([
      { revision: 3, count: 2 },
      { revision: 2, count: 2 },
    ]);
    const [first] = await store.commits(5, 2);
    expect(first).toMatchObject({ ...META, revision: 1, count: 3, actor: 'Zoë', reason: 'first' });
    expect(Math.abs(first!.at - Date.now())).toBeLessThan(60_000);
    expect((await store.steps(3, -1, 1)).map(({ key, before, body }) => [key, before, body])).toEqual([['a', 'A2', null]]);
    expect((await store.steps(3, 0, 9)).map(({ key, before, body }) => [key, before, body])).toEqual([['b', 'B1', 'B3']]);
    expect((await store.steps(1, 1, 9)).map(({ key, before }) => [key, before])).toEqual([['c', null]]);
    expect((await store.former(1, null, 2)).map(({ key, body }) => [key, body])).toEqual([
      ['a', 'A1'],
      ['b', 'B1'],
    ]);
    expect((await store.former(1, { kind: 'user', key: 'b' }, 9)).map(({ key, body }) => [key, body])).toEqual([['d', null]]);
    expect(await store.former(3, null, 9)).toEqual([]);
    expect((await store.former(0, null, 9)).map(({ body }) => body)).toEqual([null, null, null, null]);
    expect(await kindOf(store.former(4, null, 9))).toBe('not-found');
    await store.commit([{ kind: 'other', key: 'a', body: 'x' }], META);
    expect((await store.commits(2, undefined, 'user')).map(({ revision }) => revision)).toEqual([3, 2]);
    expect((await store.commits(9, undefined, 'other')).map(({ revision }) => revision)).toEqual([4]);
    expect((await store.commits(1, 3, 'user')).map(({ revision }) => revision)).toEqual([2]);
  });

  test('documents: old versions and removals are dropped, the newest stay', async () => {
    const store = get();
    const revisions = 140;
    await store.commit([user('still', 's'), user('gone', 'g')], META);
    await store.commit([user('gone', null)], META);
    for (let revision = 3; revision <= revisions; revision++) await store.commit([user('a', String(revision))], META);
    expect(await store.compactDocuments({ keep: 10, since: 0 })).toBe(false);
    expect(await store.state()).toMatchObject({ revision: revisions, floor: 0 });
    while (await store.compactDocuments({ keep: 10, since: Date.now() + 60_000 }));
    const { floor } = await store.state();
    expect(floor).toBe(revisions - 10);
    expect(texts(await all(store)).slice(0, 3)).toEqual(['1 still s', `${floor} a ${floor}`, `${floor + 1} a ${floor + 1}`]);
    expect(await all(store)).toHaveLength(12);
    expect(await store.commits(20)).toHaveLength(10);
    expect((await store.former(floor, null, 9)).map(({ key, body }) => [key, body])).toEqual([['a', String(floor)]]);
    expect(await kindOf(store.former(floor - 1, null, 9))).toBe('not-found');
    expect(await kindOf(store.commit([user('gone', null)], META))).toBe('not-found');
    expect(await store.commit([user('still', 't', 1)], META)).toBe(revisions + 1);
  });

  test('documents: thousands in one commit are one revision', async () => {
    const store = get();
    const body = 'x'.repeat(300);
    const changes = Array.from({ length: 3_000 }, (_, index) => user(`many-${index}`, `${body}${index}`));
    expect(await store.commit(changes, META)).toBe(1);
    const rows = await all(store, 1_000);
    expect(rows).toHaveLength(3_000);
    expect(rows.at(-1)).toMatchObject({ revision: 1, seq: 2_999, key: 'many-2999', body: `${body}2999` });
    expect(await store.commit([...changes.slice(0, 1_500).map(({ key }) => user(key, null, 1)), user('one', '1')], META)).toBe(2);
    expect(await store.former(1, null, 2_000)).toHaveLength(1_501);
    expect(await store.commits(1)).toMatchObject([{ revision: 2, count: 1_501 }]);
  });
}
