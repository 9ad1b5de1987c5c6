/** The changes between two forms of an endpoint, down to single values, for people; without secrets. */

import { isDeepStrictEqual } from 'node:util';
import type { Endpoint } from '../endpoint.ts';
import { isObject } from '../problems.ts';
import { withoutForeign } from './foreign.ts';
import { maskSecrets } from './secrets.ts';

/** One changed value; null: absent on that side. */
export interface DiffEntry {
  /** `maxConnectionSize`, `authConfig[0].users[alice].password`, `aclConfig.rules[2]` */
  path: string;
  from: unknown;
  to: unknown;
  /** true when a secret changed: both sides are masks */
  secret?: true;
}

/** A value with its secrets and without. */
interface Both {
  real: unknown;
  shown: unknown;
}

/**
 * Every difference. Users of a list are matched by name. In any other list the differing stretch is one entry, with the index of its
 * beginning and both stretches as lists.
 */
export function readableDiff(before: Endpoint, after: Endpoint): DiffEntry[] {
  const entries: DiffEntry[] = [];
  const bothOf = (endpoint: Endpoint): Both => {
    const real = withoutForeign(endpoint);
    return { real, shown: maskSecrets(real) };
  };
  compare('', bothOf(before), bothOf(after), entries);
  return entries;
}

function compare(path: string, from: Both, to: Both, entries: DiffEntry[]): void {
  if (isDeepStrictEqual(from.real, to.real)) return;
  if (isObject(from.real) && isObject(to.real)) compareKeys(path, from, to, entries);
  else if (Array.isArray(from.real) && Array.isArray(to.real)) compareLists(path, from, to, entries);
  else entries.push(entryOf(path, from.shown, to.shown));
}

/** Two forms that look the same differ in a secret. */
function entryOf(path: string, from: unknown, to: unknown): DiffEntry {
  const entry = { path, from: from ?? null, to: to ?? null };
  return isDeepStrictEqual(from, to) ? { ...entry, secret: true } : entry;
}

function compareKeys(path: string, from: Both, to: Both, entries: DiffEntry[]): void {
  const keys = new Set([...Object.keys(from.real as object), ...Object.keys(to.real as object)]);
  for (const key of keys) compare(path === '' ? key : `${path}.${key}`, at(from, key), at(to, key), entries);
}

function compareLists(path: string, from: Both, to: Both, entries: DiffEntry[]): void {
  const [before, after] = [from.real as unknown[], to.real as unknown[]];
  const [oldNames, newNames] = [namesOf(before), namesOf(after)];
  if (oldNames !== null && newNames !== null) {
    const count = entries.length;
    for (const name of new Set([...oldNames, ...newNames])) {
      compare(`${path}[${name}]`, at(from, oldNames.indexOf(name)), at(to, newNames.indexOf(name)), entries);
    }
    if (entries.length === count) entries.push({ path, from: oldNames, to: newNames });
    return;
  }
  if (before.length === after.length && [...before, ...after].every((element) => isObject(element) && 'authType' in element)) {
    for (const index of before.keys()) compare(`${path}[${index}]`, at(from, index), at(to, index), entries);
    return;
  }
  let start = 0;
  while (start < before.length && start < after.length && isDeepStrictEqual(before[start], after[start])) start++;
  let end = 0;
  const shorter = Math.min(before.length, after.length) - start;
  while (end < shorter && isDeepStrictEqual(before.at(-1 - end), after.at(-1 - end))) end++;
  const stretch = ({ shown }: Both, length: number) => (shown as unknown[]).slice(start, length - end);
  entries.push(entryOf(`${path}[${start}]`, stretch(from, before.length), stretch(to, after.length)));
}

/** The user names of a list of users, each once; null for any other list. */
function namesOf(list: unknown[]): string[] | null {
  const names = list.map((element) => (isObject(element) && typeof element['username'] === 'string' ? element['username'] : null));
  if (names.includes(null) || new Set(names).size !== names.length) return null;
  return names as string[];
}

function at({ real, shown }: Both, key: string | number): Both {
  const part = (whole: unknown) => (whole as Record<string | number, unknown>)[key];
  return { real: part(real), shown: part(shown) };
}
