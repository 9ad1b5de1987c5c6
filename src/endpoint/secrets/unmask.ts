/** Restores old secrets where an answer or an export with masks is read again. */

import type { Endpoint } from '../endpoint.ts';
import { isObject } from '../problems.ts';
import { toDocument } from '../public-form.ts';
import { MASK } from './secrets.ts';

/**
 * A copy of raw input with each mask replaced by the secret of `old` in the same place; users are matched by name. A mask without an old
 * secret stays, and so does one beside another `encrypt`.
 */
export function unmask(input: Record<string, unknown>, old: Endpoint): Record<string, unknown> {
  return replace(input, toDocument(old)) as Record<string, unknown>;
}

function replace(value: unknown, old: unknown): unknown {
  if (value === MASK) return typeof old === 'string' && old !== '' ? old : value;
  if (Array.isArray(value)) {
    const list = Array.isArray(old) ? old : [old];
    return value.map((element, index) => replace(element, partnerOf(element, list) ?? list[index]));
  }
  if (!isObject(value)) return value;
  const other = Array.isArray(old) && old.length === 1 ? old[0] : old;
  if (!isObject(other) || (value['encrypt'] !== undefined && value['encrypt'] !== other['encrypt'])) return value;
  return Object.fromEntries(Object.entries(value).map(([key, part]) => [key, replace(part, other[key])]));
}

/** The old element of the same user; null for an unknown user, undefined for an element that is no user. */
function partnerOf(element: unknown, list: unknown[]): unknown {
  if (!isObject(element) || typeof element['username'] !== 'string') return undefined;
  return list.find((candidate) => isObject(candidate) && candidate['username'] === element['username']) ?? {};
}
