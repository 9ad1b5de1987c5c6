/** The secrets of an endpoint by the table of its keys: answers, diffs, the store and exports obey them. */

import { isPlaceholder } from '../access/placeholders.ts';
import type { Endpoint } from '../endpoint.ts';
import { allKeys } from '../keys/table.ts';
import { isObject } from '../problems.ts';
import { MASK } from './mask.ts';

export { MASK } from './mask.ts';

/** A place of secrets. */
interface Place {
  /** `*` means each element of a list, or each value of an object */
  readonly segments: readonly string[];
  /** a text that is one placeholder is no secret */
  readonly isTemplate: boolean;
}

const PLACES: readonly Place[] = allKeys().flatMap(({ path, entry: { secret } }): Place[] => {
  if (secret === undefined) return [];
  if (typeof secret !== 'object') return [{ segments: path.split('.'), isTemplate: false }];
  const below = (more: string, isTemplate: boolean) => ({ segments: `${path}.${more}`.split('.'), isTemplate });
  return [...secret.below.map((more) => below(more, false)), ...(secret.templates ?? []).map((more) => below(more, true))];
});
/** Keys that may also be a path or a certificate: secret only with a private key inside, or when sealed. */
const SOMETIMES = new Set(allKeys().flatMap(({ path, entry }) => (entry.secret === 'private-key' ? [path] : [])));

/**
 * The endpoint with each secret replaced by `replace`. Parts without a replaced secret are those of the original. An absent or empty value is
 * no secret.
 * @param path dotted, for messages
 */
export function mapSecrets(endpoint: Endpoint, replace: (secret: string, path: string) => string): Endpoint {
  return PLACES.reduce<unknown>((value, place) => {
    const read = (text: unknown, path: string) => (isSecret(text, path, place) ? replace(text, path) : text);
    return mapAt(value, place.segments, '', read);
  }, endpoint) as Endpoint;
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

function isSecret(value: unknown, path: string, { isTemplate }: Place): value is string {
  if (typeof value !== 'string' || value === '' || (isTemplate && isPlaceholder(value))) return false;
  return !SOMETIMES.has(path) || /-----BEGIN [A-Z ]*PRIVATE KEY-----|^sealed:/.test(value);
}

function mapAt(value: unknown, segments: readonly string[], path: string, read: (value: unknown, path: string) => unknown): unknown {
  const [key, ...rest] = segments;
  if (key === undefined) return read(value, path);
  if (key === '*' && Array.isArray(value)) {
    const mapped = value.map((element, index) => mapAt(element, rest, `${path}[${index}]`, read));
    return mapped.every((element, index) => element === value[index]) ? value : mapped;
  }
  if (!isObject(value)) return value;
  const names = key === '*' ? Object.keys(value) : [key];
  let result = value;
  for (const name of names) {
    if (!Object.hasOwn(value, name)) continue;
    const mapped = mapAt(value[name], rest, path === '' ? name : `${path}.${name}`, read);
    if (mapped !== value[name]) result = { ...result, [name]: mapped };
  }
  return result;
}
