/** The walls of the house: every file of the project keeps the rules. */

import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { checkSources, type SourceFile } from './checker.ts';

const ROOT = join(import.meta.dirname, '..', '..');
const WINGS = ['src', 'workers', 'test', 'bench', 'scripts'];

function readAll(): SourceFile[] {
  return WINGS.filter((wing) => existsSync(join(ROOT, wing))).flatMap((wing) =>
    readdirSync(join(ROOT, wing), { recursive: true, encoding: 'utf8' })
      .filter((name) => /\.tsx?$/.test(name))
      .map((name) => ({ path: `${wing}/${name}`, text: readFileSync(join(ROOT, wing, name), 'utf8') })),
  );
}

test('imports fall, in no circle, libraries stay in their place, files are short, named and free of banned words', () => {
  const files = readAll();
  // proof that the files are found at all
  expect(files.filter((file) => file.path.startsWith('src/')).length).toBeGreaterThan(20);
  expect(checkSources(files)).toEqual([]);
});
