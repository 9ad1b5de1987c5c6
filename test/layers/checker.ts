/** Reads a set of files and tells every breach of the rules: wrong arrows, circles, stray libraries, overlong files, banned words. */

import { posix } from 'node:path';
import {
  CLOCK,
  FILE_LINES_MAX,
  FLOORS,
  FOLDER_FILES_MAX,
  LIBRARIES,
  NODE_INTERNALS,
  SOCKET_MODULES,
  SRC_ARROWS,
  WALL_CLOCK_READERS,
  WORKERS_USE,
} from './rules.ts';
import { importsOf, type Scanned, scan } from './scanner.ts';

/** `path` from the root of the project, with `/`. */
export interface SourceFile {
  path: string;
  text: string;
}

interface Edge {
  from: string;
  /** path of ours, or the name of a library */
  to: string;
  line: number;
  clause: string;
  isOurs: boolean;
}

/** Every breach as `path:line: what`, sorted. */
export function checkSources(files: readonly SourceFile[]): string[] {
  const scanned = files.map((file) => ({ file, ...scan(file.text) }));
  const edges = scanned.flatMap(({ file, ...texts }) => edgesOf(file.path, texts));
  return [
    ...edges.flatMap(checkArrow),
    ...edges.flatMap(checkFloors),
    ...edges.flatMap(checkLibrary),
    ...checkSingleFiles(edges),
    ...findCircles(edges),
    ...scanned.flatMap(({ file, codeOnly }) => [
      ...checkShape(file),
      ...checkWords(file, codeOnly),
      ...checkClocks(file, codeOnly),
      ...checkInternals(file, codeOnly),
    ]),
    ...checkFolders(files),
  ].sort();
}

function edgesOf(from: string, texts: Scanned): Edge[] {
  return importsOf(texts).map(({ name, line, clause }) => {
    const isOurs = name.startsWith('.');
    return { from, to: isOurs ? posix.join(posix.dirname(from), name) : name, line, clause, isOurs };
  });
}

/** `src/admin/http/x.ts` → wing `src`, room `admin`; a file directly in a wing is the room `main`. */
function placeOf(path: string): { wing: string; room: string } {
  const [wing = '', room = '', more] = path.split('/');
  return { wing, room: more === undefined ? 'main' : room };
}

function breach(edge: Edge, why: string): string[] {
  return [`${edge.from}:${edge.line}: imports ${edge.to}: ${why}`];
}

function checkArrow(edge: Edge): string[] {
  if (!edge.isOurs) return [];
  const from = placeOf(edge.from);
  const to = placeOf(edge.to);
  if (from.wing === 'src') {
    if (to.wing !== 'src') return breach(edge, `src may not import ${to.wing}`);
    if (from.room === to.room || from.room === 'main') return [];
    const allowed = SRC_ARROWS[from.room];
    if (allowed === undefined) return breach(edge, `the room ${from.room} has no place in the rules`);
    return allowed.includes(to.room) ? [] : breach(edge, `${from.room} may not import ${to.room}`);
  }
  if (from.wing !== 'workers') return [];
  if (to.wing === 'src') return WORKERS_USE.includes(to.room) ? [] : breach(edge, `workers may not import ${to.room}`);
  if (to.wing !== 'workers') return breach(edge, `workers may not import ${to.wing}`);
  return [];
}

/** The inner floor of `path` in `folder`; null: a file directly in the folder; undefined: a file elsewhere. */
function floorOf(path: string, folder: string): string | null | undefined {
  if (!path.startsWith(`${folder}/`)) return undefined;
  const [room = '', more] = path.slice(folder.length + 1).split('/');
  return more === undefined ? null : room;
}

function checkFloors(edge: Edge): string[] {
  if (!edge.isOurs) return [];
  return Object.entries(FLOORS).flatMap(([folder, arrows]) => {
    const from = floorOf(edge.from, folder);
    const to = floorOf(edge.to, folder);
    if (from === undefined || from === null || to === undefined || from === to) return [];
    if (to === null) return breach(edge, `a floor of ${folder} may not import what puts the floors together`);
    const allowed = arrows[from];
    if (allowed === undefined) return breach(edge, `the floor ${from} of ${folder} has no place in the rules`);
    return allowed.includes(to) ? [] : breach(edge, `in ${folder}, ${from} may not import ${to}`);
  });
}

/** `@scope/name/deep` → `@scope/name`, `name/deep` → `name`. */
function libraryOf(name: string): string {
  return name
    .split('/')
    .slice(0, name.startsWith('@') ? 2 : 1)
    .join('/');
}

function isProduct(path: string): boolean {
  return path.startsWith('src/') || path.startsWith('workers/');
}

function checkLibrary(edge: Edge): string[] {
  if (edge.isOurs || !isProduct(edge.from)) return [];
  if (edge.to.startsWith('node:')) {
    const isSocketModule = edge.from.startsWith('workers/') && SOCKET_MODULES.includes(edge.to);
    const isStray = isSocketModule && !edge.from.startsWith('workers/endpoint/listener/') && !isHarmless(edge.clause);
    return isStray ? breach(edge, 'sockets are opened in workers/endpoint/listener/ alone') : [];
  }
  const library = libraryOf(edge.to);
  const rule = LIBRARIES[library];
  if (rule === undefined) return breach(edge, `${library} has no place in the rules`);
  return rule.places.some((place) => edge.from.startsWith(place)) ? [] : breach(edge, `${library} belongs into ${rule.places.join(', ')}`);
}

/** `type { Socket } from`, `{ isIP, type Socket } from` */
function isHarmless(clause: string): boolean {
  if (/^type\b/.test(clause)) return true;
  const names = /^\{([^}]*)\}\s*from$/.exec(clause)?.[1]?.split(',') ?? [''];
  const given = names.map((name) => name.trim()).filter((name) => name !== '');
  return given.length > 0 && given.every((name) => name.startsWith('type '));
}

function checkSingleFiles(edges: readonly Edge[]): string[] {
  return Object.entries(LIBRARIES).flatMap(([library, rule]) => {
    if (rule.oneFile !== true) return [];
    const users = new Set(
      edges.filter((edge) => !edge.isOurs && isProduct(edge.from) && libraryOf(edge.to) === library).map((edge) => edge.from),
    );
    return users.size > 1 ? [`${library} is imported in ${users.size} files, one is allowed: ${[...users].join(', ')}`] : [];
  });
}

/** Circles among files, type imports included: each strongly connected group of more than one file, and files that import themselves. */
function findCircles(edges: readonly Edge[]): string[] {
  const graph = new Map<string, string[]>();
  for (const edge of edges) if (edge.isOurs && isProduct(edge.from)) graph.set(edge.from, [...(graph.get(edge.from) ?? []), edge.to]);
  const done = new Set<string>();
  const circles: string[] = [];
  const walk = (path: string, trail: string[]) => {
    const start = trail.indexOf(path);
    if (start >= 0) circles.push(`circle: ${[...trail.slice(start), path].join(' → ')}`);
    if (start >= 0 || done.has(path)) return;
    for (const next of graph.get(path) ?? []) walk(next, [...trail, path]);
    done.add(path);
  };
  for (const path of graph.keys()) walk(path, []);
  return circles;
}

function checkShape(file: SourceFile): string[] {
  const found: string[] = [];
  const lines = file.text.split('\n').length - (file.text.endsWith('\n') ? 1 : 0);
  if (lines > FILE_LINES_MAX) found.push(`${file.path}:${FILE_LINES_MAX + 1}: has ${lines} lines, ${FILE_LINES_MAX} are allowed`);
  if (!/^(#![^\n]*\n)?\/\*\* ?\S?/.test(file.text)) found.push(`${file.path}:1: does not open with a doc comment that says what it is for`);
  if (!/^[a-z0-9]+(-[a-z0-9]+)*((\.long)?\.test|\.config|\.d)?\.tsx?$/.test(posix.basename(file.path)))
    found.push(`${file.path}:1: its name is not kebab-case`);
  return found;
}

// in parts, so that this file may be checked, too
const LEFTOVERS = new RegExp(`\\b(${['TO', 'DO'].join('')}|${['FIX', 'ME'].join('')}|${['XX', 'X'].join('')}|${['HA', 'CK'].join('')})\\b`);

const BANNED_CODE: readonly { pattern: RegExp; why: string }[] = [
  { pattern: /(?<![.\w$])any(?![\w$]|\s*\??[:(])/, why: 'any' },
  { pattern: /(?<![.\w$])console\s*\./, why: 'console' },
  { pattern: /\.(skip|only|todo|skipIf|runIf)\s*\(|\.(skip|only)\.each\b/, why: 'a test that is left out' },
  { pattern: /\bexport\s+default\s*\{/, why: 'default export of a bag' },
  { pattern: /(?<![.\w$])it(?:\(|\.each\b)/, why: 'it: write test, the word of all other tests' },
];

function checkWords(file: SourceFile, codeOnly: string): string[] {
  const found: string[] = [];
  const isTest = file.path.startsWith('test/');
  for (const [index, line] of codeOnly.split('\n').entries()) {
    for (const { pattern, why } of BANNED_CODE) {
      // a method named skip is no left-out test outside of tests
      if (why === 'a test that is left out' && !isTest) continue;
      if (pattern.test(line)) found.push(`${file.path}:${index + 1}: ${why}`);
    }
  }
  for (const [index, line] of file.text.split('\n').entries()) {
    const leftover = LEFTOVERS.exec(line);
    if (leftover !== null) found.push(`${file.path}:${index + 1}: leftover ${leftover[0]}`);
  }
  return found;
}

const RAW_CLOCK =
  /\bDate\s*\.\s*now\b|\bnew\s+Date\b(?!\s*\(\s*[^\s)])|(?<!new )\bDate\s*\(|\btimeOrigin\b|\bperformance\s*\.\s*now\b|\bhrtime\b/;

function checkClocks(file: SourceFile, codeOnly: string): string[] {
  if (!isProduct(file.path) || file.path === CLOCK) return [];
  const mayReadWall = WALL_CLOCK_READERS.includes(file.path);
  return codeOnly.split('\n').flatMap((line, index) => {
    const at = `${file.path}:${index + 1}`;
    if (RAW_CLOCK.test(line)) return [`${at}: reads a clock by itself: ${CLOCK} has steadyNow() for spans and wallNow()`];
    if (!mayReadWall && /\bwallNow\b/.test(line)) return [`${at}: may not read the wall clock: spans are measured by steadyNow()`];
    return [];
  });
}

function checkInternals(file: SourceFile, codeOnly: string): string[] {
  if (!isProduct(file.path) || file.path.startsWith(NODE_INTERNALS.room)) return [];
  return codeOnly
    .split('\n')
    .flatMap((line, index) =>
      NODE_INTERNALS.words.test(line)
        ? [`${file.path}:${index + 1}: uses what Node does not document: that belongs into ${NODE_INTERNALS.room}`]
        : [],
    );
}

function checkFolders(files: readonly SourceFile[]): string[] {
  const counts = new Map<string, number>();
  for (const { path } of files) if (isProduct(path)) counts.set(posix.dirname(path), (counts.get(posix.dirname(path)) ?? 0) + 1);
  return [...counts]
    .filter(([, count]) => count > FOLDER_FILES_MAX)
    .map(([folder, count]) => `${folder}: has ${count} files, ${FOLDER_FILES_MAX} are allowed`);
}
