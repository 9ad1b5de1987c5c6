/** The endpoint keys that KEY=VALUE accepts, and the kind of value of each. */

import { allKeys } from '../../endpoint/keys/table.ts';
import type { Shape } from '../../endpoint/keys/value.ts';

export type KeyKind = 'boolean' | 'number' | 'string' | 'json';

export interface KeyInfo {
  path: string;
  kind: KeyKind;
  /** possible words of the value, for completion */
  values: readonly string[];
}

const KINDS: Readonly<Record<Shape['kind'], KeyKind>> = {
  boolean: 'boolean',
  integer: 'number',
  choice: 'string',
  text: 'string',
  list: 'json',
  structure: 'json',
};

function wordsOf(shape: Shape): readonly string[] {
  if (shape.kind === 'boolean') return ['true', 'false'];
  return shape.kind === 'choice' ? shape.words : [];
}

/** Every key, in the order of the table in docs/endpoints.md. */
export const KEYS: readonly KeyInfo[] = allKeys().map(({ path, entry: { value, proposals } }) => ({
  path,
  kind: KINDS[value.kind],
  values: proposals ?? wordsOf(value),
}));

export const KEY_PATHS: readonly string[] = KEYS.map(({ path }) => path);

const BY_PATH = new Map(KEYS.map((info) => [info.path, info]));

/** Whether the value of a key is a secret. */
export function isSecretKey(path: string): boolean {
  return /pass(word|phrase)$/i.test(path);
}

/** The known facts about a key; undefined for a key that only the broker can judge. */
export function keyInfo(path: string): KeyInfo | undefined {
  return BY_PATH.get(path);
}
