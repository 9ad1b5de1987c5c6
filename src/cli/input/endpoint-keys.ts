/** The endpoint keys that KEY=VALUE accepts, and the kind of value of each. */

import { defaultEndpoint } from '../../endpoint/defaults.ts';

export type KeyKind = 'boolean' | 'number' | 'string' | 'json';

export interface KeyInfo {
  path: string;
  kind: KeyKind;
  /** possible words of the value, for completion */
  values: readonly string[];
}

/** Keys with another name in an endpoint's complete form, and words that differ from the kind of the default. */
const OTHERS: readonly KeyInfo[] = [
  { path: 'authType', kind: 'string', values: ['fixed'] },
  { path: 'aclType', kind: 'string', values: ['config'] },
];
const WORDS: Readonly<Record<string, readonly string[]>> = {
  'serverOptions.workerGroupSize': ['auto', '1', '2', '4'],
  'sslConfig.clientAuth': ['none', 'optional', 'required'],
};

/** Numbers whose default follows from another key. */
const DERIVED: ReadonlySet<string> = new Set(['maxConnectionPerAddress', 'maxConnectionPerAddressPerSecond']);

/** Unset options of this object are texts: paths, PEM, passwords. */
const TEXTS = 'sslConfig.';

function describe(path: string, value: unknown): KeyInfo[] {
  const words = WORDS[path] ?? [];
  if (typeof value === 'boolean') return [{ path, kind: 'boolean', values: ['true', 'false'] }];
  if (typeof value === 'number' || DERIVED.has(path)) return [{ path, kind: 'number', values: words }];
  if (typeof value === 'string' || (value === null && path.startsWith(TEXTS))) return [{ path, kind: 'string', values: words }];
  const entries = typeof value === 'object' && value !== null && !Array.isArray(value) ? Object.entries(value) : [];
  return entries.length === 0
    ? [{ path, kind: 'json', values: words }]
    : entries.flatMap(([key, part]) => describe(`${path}.${key}`, part));
}

/** Every key, in the order of the table in docs/endpoints.md. */
export const KEYS: readonly KeyInfo[] = [
  ...Object.entries(defaultEndpoint(1883)).flatMap(([key, value]) => describe(key, value)),
  ...OTHERS,
];

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
