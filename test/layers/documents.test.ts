/** The documents of the project: links lead somewhere, named files exist, and README.md and ARCHITECTURE.md stay short. */

import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { expect, test } from 'vitest';

const ROOT = join(import.meta.dirname, '..', '..');
const README_WORDS_MAX = 900;
/** Three pages: details belong into docs/internals/. */
const ARCHITECTURE_WORDS_MAX = 1650;

const DOCUMENTS = [
  ...readdirSync(ROOT).filter((name) => name.endsWith('.md')),
  ...readdirSync(join(ROOT, 'docs'), { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.md'))
    .map((name) => `docs/${name}`),
  'deploy/README.md',
];

const textOf = (path: string): string => readFileSync(join(ROOT, path), 'utf8');

/** Headings as anchors, the way that hosting platforms make them. */
function anchorsOf(path: string): string[] {
  const headings = [...textOf(path).matchAll(/^#+ (.+)$/gm)].map(([, heading = '']) => heading);
  return headings.map((heading) =>
    heading
      .toLowerCase()
      .replaceAll(/[^\p{L}\p{N} _-]/gu, '')
      .replaceAll(' ', '-'),
  );
}

/** Links within the project that lead nowhere, as `file: link`. */
function brokenLinks(path: string): string[] {
  const prose = textOf(path).replaceAll(/```[\s\S]*?```/g, '');
  return [...prose.matchAll(/\]\(([^)\s]+)\)/g)].flatMap(([, link = '']) => {
    if (/^[a-z]+:/.test(link)) return [];
    const [file = '', anchor = ''] = link.split('#');
    const target = file === '' ? path : relative(ROOT, join(ROOT, dirname(path), file));
    const leads = existsSync(join(ROOT, target)) && (anchor === '' || anchorsOf(target).includes(anchor));
    return leads ? [] : [`${path}: ${link}`];
  });
}

test('each link of the documents leads to a file and a heading that exist', () => {
  expect(DOCUMENTS.length).toBeGreaterThan(15);
  expect(DOCUMENTS.flatMap(brokenLinks)).toEqual([]);
});

/** Source files that a document names by the end of their path, such as `kernel/clock.ts`, and that do not exist. */
function unknownFiles(path: string, files: readonly string[]): string[] {
  const prose = textOf(path).replaceAll(/```[\s\S]*?```/g, '');
  return [...prose.matchAll(/`([\w./-]+\.(?:ts|c))`/g)].flatMap(([, name = '']) =>
    files.some((file) => file === name || file.endsWith(`/${name}`)) ? [] : [`${path}: ${name}`],
  );
}

test('each source file that a document names exists', () => {
  const files = ['src', 'workers', 'native', 'scripts', 'test', 'bench'].flatMap((folder) =>
    readdirSync(join(ROOT, folder), { recursive: true, encoding: 'utf8' }).map((name) => `${folder}/${name}`),
  );
  // proof that names are looked up at all
  expect(unknownFiles('ARCHITECTURE.md', [])).toContain('ARCHITECTURE.md: thread/commands.ts');
  expect(DOCUMENTS.flatMap((path) => unknownFiles(path, files))).toEqual([]);
});

test.each([
  ['README.md', README_WORDS_MAX],
  ['ARCHITECTURE.md', ARCHITECTURE_WORDS_MAX],
])('%s has at most %i words', (path, most) => {
  const words = textOf(path).split(/\s+/);
  expect(words.filter((word) => word !== '').length).toBeLessThanOrEqual(most);
});
