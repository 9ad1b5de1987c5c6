/** The read copy of the documents: batches are visible as a whole, a new beginning forgets, and a damaged file is made anew. */

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import type { DocumentRow } from '../../../src/storage/documents/document-store.ts';
import { type CopyPlace, openDocumentCopy } from '../../../src/storage/local/document-copy.ts';

const folder = mkdtempSync(join(tmpdir(), 'fluxmq-copy-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const row = (revision: number, key: string, body: string | null): DocumentRow => ({ kind: 'user', key, body, revision, seq: 0 });

async function* pages(place: CopyPlace, ...rows: DocumentRow[][]): AsyncGenerator<DocumentRow[], CopyPlace> {
  yield* rows;
  return place;
}

const open = (path: string | null = null) => openDocumentCopy(path, (_kind, key) => key.toUpperCase());

test('takes what changed, all at once, and finds, lists and counts it', async () => {
  const copy = open();
  expect(copy.place).toEqual({ life: '', revision: 0 });
  await copy.take(pages({ life: 'x', revision: 2 }, [row(1, 'a', 'A'), row(1, 'b', 'B')], [row(2, 'a', 'A2'), row(2, 'c', 'C')]), true);
  expect(copy.get('user', 'a')).toEqual({ key: 'a', word: 'A', revision: 2, body: 'A2' });
  expect([copy.count('user'), copy.count('ban'), copy.get('ban', 'a')]).toEqual([3, 0, null]);
  expect(copy.list('user', '', null, 2).map(({ key }) => key)).toEqual(['a', 'b']);
  expect(copy.list('user', '', { word: 'B', key: 'b' }, 9).map(({ key }) => key)).toEqual(['c']);
  expect(copy.list('user', 'B', null, 9).map(({ key }) => key)).toEqual(['b']);
  expect([copy.near('user', 'bb')!.key, copy.near('user', 'zz')!.key, copy.near('ban', '')]).toEqual(['c', 'a', null]);
  await copy.take(pages({ life: 'x', revision: 3 }, [row(3, 'a', null), row(3, 'b', 'B3')]), false);
  expect([copy.get('user', 'a'), copy.get('user', 'b')?.body, copy.get('user', 'c')?.body, copy.count('user')]).toEqual([
    null,
    'B3',
    'C',
    2,
  ]);
  await copy.take(pages({ life: 'y', revision: 1 }, [row(1, 'd', 'D')]), true);
  expect([copy.list('user', '', null, 9).map(({ key }) => key), copy.count('user'), copy.place]).toEqual([
    ['d'],
    1,
    { life: 'y', revision: 1 },
  ]);
  copy.close();
});

test('a batch that fails or is cut off changes nothing; a file that cannot be used is made anew', async () => {
  const copy = open(folder);
  await copy.take(pages({ life: 'x', revision: 1 }, [row(1, 'a', 'A')]), true);
  async function* failing(): AsyncGenerator<DocumentRow[], CopyPlace> {
    yield [row(2, 'a', 'A2'), row(2, 'b', 'B')];
    expect([copy.get('user', 'a')?.body, copy.get('user', 'b'), copy.list('user', '', null, 9)]).toMatchObject([
      'A',
      null,
      [{ body: 'A' }],
    ]);
    throw new Error('away');
  }
  await expect(copy.take(failing(), false)).rejects.toThrow('away');
  copy.close();
  const again = open(folder);
  expect([again.place.revision, again.get('user', 'a')?.body, again.get('user', 'b')]).toEqual([1, 'A', null]);
  await again.take(pages({ life: 'x', revision: 3 }, [row(3, 'b', 'B')]), false);
  expect(again.count('user')).toBe(2);
  again.close();
  writeFileSync(join(folder, 'documents-copy.db'), 'no database at all, but some text');
  const anew = open(folder);
  expect([anew.place.revision, anew.count('user')]).toEqual([0, 0]);
  anew.close();
});
