/** The secrets of an endpoint by the table of its keys: answers, diffs, the store and exports obey them. */

import type { Endpoint } from '../endpoint.ts';
import { allKeys } from '../keys/table.ts';
import { isObject } from '../problems.ts';

/** The mask of a secret in answers. Sent back, it means the old secret. */
export const MASK = '******';

/** Dotted paths; `*` means each element of a list. */
const SECRETS: readonly string[] = allKeys().flatMap(({ path, entry: { secret } }) => {
  if (secret === undefined) return [];
  return [typeof secret === 'object' ? `${path}.${secret.below}` : path];
});
/** Keys that may also be a path or a certificate: secret only with a private key inside, or when sealed. */
const SOMETIMES = new Set(allKeys().flatMap(({ path, entry }) => (entry.secret === 'private-key' ? [path] : [])));

const PATHS = SECRETS.map((path) => path.split('.'));

/**
 * The endpoint with each secret replaced by `replace`. Parts without a replaced secret are those of the original. An absent or empty value is
 * no secret.
 * @param path dotted, for messages
 */
export function mapSecrets(endpoint: Endpoint, replace: (secret: string, path: string) => string): Endpoint {
  return PATHS.reduce<unknown>((value, segments) => mapAt(value, segments, '', replace), endpoint) as Endpoint;
}

/** The endpoint as answers show it. */
export function maskSecrets(endpoint: Endpoint): Endpoint {
  return mapSecrets(endpoint, () => MASK);
}

/** Dotted paths of the secrets that the endpoint has. */
export function secretPathsOf(endpoint: Endpoint): string[] {
  const paths: string[] = [];
  mapSecrets(endpoint, (secret, path) => {
    paths.push(path);
    return secret;
  });
  return paths;
}

function isSecret(value: unknown, path: string): value is string {
  if (typeof value !== 'string' || value === '') return false;
  return !SOMETIMES.has(path) || /-----BEGIN [A-Z ]*PRIVATE KEY-----|^sealed:/.test(value);
}

function mapAt(value: unknown, segments: string[], path: string, replace: (secret: string, path: string) => string): unknown {
  const [key, ...rest] = segments;
  if (key === undefined) return isSecret(value, path) ? replace(value, path) : value;
  if (key === '*') {
    if (!Array.isArray(value)) return value;
    const mapped = value.map((element, index) => mapAt(element, rest, `${path}[${index}]`, replace));
    return mapped.every((element, index) => element === value[index]) ? value : mapped;
  }
  if (!isObject(value) || !Object.hasOwn(value, key)) return value;
  const mapped = mapAt(value[key], rest, path === '' ? key : `${path}.${key}`, replace);
  return mapped === value[key] ? value : { ...value, [key]: mapped };
}
