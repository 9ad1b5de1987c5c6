/** Paths into a configuration: `endpoints[0].port` for people, `['endpoints', '0', 'port']` for code. */

import { allKeys } from '../endpoint/keys/table.ts';

/** Accepts `a.0.b` and `a[0].b`. '' is the whole input. */
export function toSegments(path: string): string[] {
  return path.split(/[.[\]]/).filter((part) => part !== '');
}

/** Numbers become `[0]`; dots join the rest. */
export function toPath(segments: readonly string[]): string {
  return segments.reduce((left, part) => {
    if (/^\d+$/.test(part)) return `${left}[${part}]`;
    return left === '' ? part : `${left}.${part}`;
  }, '');
}

/** Keys whose values are always text: `password: 0123` means the four digits. */
const TEXT_KEYS = new Set([
  ...allKeys().flatMap(({ path, entry }) => (entry.value.kind === 'text' ? [path.slice(path.lastIndexOf('.') + 1)] : [])),
  'username',
  'password',
  'salt',
  'name',
  'topic',
  'value',
  'Client',
  'User',
  'url',
  'driver',
  'secretKey',
  'secretKeyFile',
]);

/** True when the last key of a path holds text. */
export function isTextKey(segments: readonly string[]): boolean {
  const [parent, last] = [segments.at(-2) ?? '', segments.at(-1) ?? ''];
  return TEXT_KEYS.has(last) || (parent === 'secretKeysOld' && /^\d+$/.test(last));
}

/** A word of the environment as YAML would have read it: true, false, null, a number, or text. */
export function toTyped(word: string): unknown {
  if (word === 'true') return true;
  if (word === 'false') return false;
  if (word === 'null') return null;
  return /^-?\d+(\.\d+)?$/.test(word) ? Number(word) : word;
}
