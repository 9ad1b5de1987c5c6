/** The walls of the house: every file of the project keeps the rules. */

import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join, posix } from 'node:path';
import { expect, test } from 'vitest';
import { checkSources, type SourceFile } from './checker.ts';
import { CLOCK, FLOORS, LIBRARIES, SRC_ARROWS, WALL_CLOCK_READERS } from './rules.ts';
import { importsOf, scan } from './scanner.ts';

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

test('no two floors may import each other', () => {
  const mutual = Object.entries(FLOORS).flatMap(([folder, arrows]) =>
    Object.entries(arrows).flatMap(([floor, below]) =>
      below.filter((to) => arrows[to]?.includes(floor) ?? true).map((to) => `${folder}: ${floor} ↔ ${to}`),
    ),
  );
  expect(mutual).toEqual([]);
});

test('each rule is about something that exists', () => {
  const product = readAll().filter(({ path }) => /^(src|workers)\//.test(path));
  const codeOf = new Map(product.map(({ path, text }) => [path, scan(text)]));
  const isRoom = (folder: string) => product.some(({ path }) => path.startsWith(folder));
  const isImported = (library: string, place: string) =>
    [...codeOf].some(([path, code]) => path.startsWith(place) && importsOf(code).some(({ name }) => `${name}/`.startsWith(`${library}/`)));
  const joins = (from: string, to: string) =>
    [...codeOf].some(
      ([path, code]) => path.startsWith(from) && importsOf(code).some(({ name }) => posix.join(posix.dirname(path), name).startsWith(to)),
    );
  const names = (path: string, word: string) => new RegExp(`\\b${word}\\b`).test(codeOf.get(path)?.codeOnly ?? '');
  const idle = [
    ...Object.keys(SRC_ARROWS).filter((room) => !isRoom(`src/${room}/`)),
    ...Object.entries(FLOORS).flatMap(([folder, arrows]) =>
      Object.entries(arrows).flatMap(([floor, below]) => [
        ...(isRoom(`${folder}/${floor}/`) ? [] : [`${folder}/${floor}`]),
        ...below.filter((to) => !joins(`${folder}/${floor}/`, `${folder}/${to}/`)).map((to) => `${folder}: ${floor} → ${to}`),
      ]),
    ),
    ...Object.entries(LIBRARIES).flatMap(([library, { places }]) =>
      places.filter((place) => !isImported(library, place)).map((place) => `${library} in ${place}`),
    ),
    ...[...WALL_CLOCK_READERS, CLOCK].filter((path) => !names(path, 'wallNow')),
  ];
  expect(idle).toEqual([]);
});
