/** One word, one thing: no two exported declarations of `src` and `workers` have one name. */

import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';

const ROOT = join(import.meta.dirname, '..', '..');
const EXPORTED = /^export (?:abstract |async )?(?:class|interface|type|function\*?|const|let) (\w+)/gm;

/** Names of one thing: a room that may not import the other says what it needs of it. */
const SAME = new Map([['StoreSettings', ['src/settings/settings.ts', 'src/storage/open-store.ts']]]);

/** The files that export each name. A type and a function of one name in one file are one thing in two forms. */
function exportedNames(files: readonly { path: string; text: string }[]): Map<string, string[]> {
  const places = new Map<string, string[]>();
  for (const { path, text } of files) {
    const names = new Set([...text.matchAll(EXPORTED)].map(([, name]) => name!));
    for (const name of names) places.set(name, [...(places.get(name) ?? []), path]);
  }
  return places;
}

test('no two exported declarations have one name', () => {
  const paths = ['src', 'workers'].flatMap((folder) =>
    readdirSync(join(ROOT, folder), { recursive: true, encoding: 'utf8' }).map((name) => `${folder}/${name}`),
  );
  const files = paths.filter((path) => path.endsWith('.ts')).map((path) => ({ path, text: readFileSync(join(ROOT, path), 'utf8') }));
  const places = exportedNames(files);
  // proof that names are found at all
  expect(places.get('ControlPlane')).toEqual(['src/control/contract/control-plane.ts']);
  expect(places.get('isSystemTopic')).toEqual(['src/mqtt/topic.ts']);
  expect(new Map([...places].filter(([, found]) => found.length > 1).map(([name, found]) => [name, found.sort()]))).toEqual(SAME);
});

test('a second thing of the name is found', () => {
  const places = exportedNames([
    {
      path: 'a.ts',
      text: 'export class Held {}\ninterface Own {}\nexport async function load() {}\nexport const MAX = 1;\nfunction own() {}',
    },
    { path: 'b.ts', text: 'export type Held = string;\nexport interface Other {}\nexport function load() {}\nexport const MAX = 2;' },
  ]);
  expect([...places]).toEqual([
    ['Held', ['a.ts', 'b.ts']],
    ['load', ['a.ts', 'b.ts']],
    ['MAX', ['a.ts', 'b.ts']],
    ['Other', ['b.ts']],
  ]);
});
