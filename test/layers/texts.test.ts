/** The texts of the project: what a reader cannot follow stays out. */

import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { checkTexts } from './texts.ts';

const ROOT = join(import.meta.dirname, '..', '..');
const FOLDERS = ['src', 'workers', 'test', 'bench', 'scripts', 'docs', 'deploy'];

function readAll() {
  const below = FOLDERS.flatMap((folder) =>
    readdirSync(join(ROOT, folder), { recursive: true, encoding: 'utf8' }).map((name) => `${folder}/${name}`),
  );
  const names = [...readdirSync(ROOT), ...below].filter((name) => /\.(tsx?|md|ya?ml)$/.test(name));
  return names.map((path) => ({ path, text: readFileSync(join(ROOT, path), 'utf8') }));
}

test('no text of the project has what is kept out', () => {
  const files = readAll();
  // proof that the files are found at all
  expect(files.length).toBeGreaterThan(500);
  expect(checkTexts(files)).toEqual([]);
});

test.each([
  ['/** Fixed (SPEC', '.md section 9). */'],
  ['// the barrier of DESIGN', '.md'],
  ['see SPEC', ' section 3'],
  ['see DESIGN', ' §4'],
])('an absent document is found: %s%s', (...parts) => {
  const found = checkTexts([{ path: 'src/kernel/a.ts', text: `first\n${parts.join('')}` }]);
  expect(found).toEqual([expect.stringMatching(/^src\/kernel\/a\.ts:2: cites a document that a clone does not have/)]);
});

test.each([
  ['src/kernel/a.ts', ['// what comes mean', 'while waits']],
  ['test/unit/a.test.ts', ["test('Mean", "while nobody waits', () => {});"]],
  ['docs/limits.md', ['A peer that nobody has heard', ' of is dropped.']],
  ['src/kernel/a.ts', ['the error is none', ' of the disk']],
  ['workers/a.ts', ['it is no matter', ' of waiting']],
  ['README.md', ['Bridges do not work as', ' yet.']],
  ['src/kernel/a.ts', ['the old listener goes', ' on']],
  ['test/unit/a.test.ts', ['peers were tol', 'd of it']],
])('an idiom is found in %s: %s', (path, parts) => {
  expect(checkTexts([{ path, text: parts.join('') }])).toEqual([expect.stringContaining(`${path}:1: an idiom`)]);
});

test('the style sheet may quote an idiom in its table of advice, and nowhere else', () => {
  const text = ['| "What is not heard', ' of" | "What is ignored" |'].join('');
  expect(checkTexts([{ path: 'CONTRIBUTING.md', text }])).toEqual([]);
  expect(checkTexts([{ path: 'CONTRIBUTING.md', text: text.slice(2) }])).toHaveLength(1);
  expect(checkTexts([{ path: 'docs/cli.md', text }])).toHaveLength(1);
});

test.each([
  'ER_SPECIFIC_ACCESS_DENIED_ERROR',
  'const SPECIAL = new Set();',
  'the specification of MQTT 5, section 3.3',
  'none of the peers has yet answered',
  'no matter how',
  'the client goes online',
  'messages are told apart by their ids',
])('%s is fine', (text) => {
  expect(checkTexts([{ path: 'src/kernel/a.ts', text }])).toEqual([]);
});
