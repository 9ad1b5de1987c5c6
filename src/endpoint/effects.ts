/** The changes between two forms of an endpoint, and how each change takes effect (docs/endpoints.md). */

import { isDeepStrictEqual } from 'node:util';
import type { Effect, Endpoint, KeyChange } from './endpoint.ts';
import { isGroup, type Key, type KeyGroup, type KeyTable } from './keys/key.ts';
import { ENDPOINT_KEYS } from './keys/table.ts';
import { isObject } from './problems.ts';
import { foreignKeysOf } from './secrets/foreign.ts';
import { MASK, maskSecrets } from './secrets/secrets.ts';

/** Mildest first. */
const HARDNESS: Effect[] = ['none', 'live', 'admission', 'handshake', 'rebind', 'fixed'];

/** Every changed key, options one by one (`serverOptions.soBacklog`). Passwords are masked: a changed one shows as two masks. */
export function diffEndpoints(from: Endpoint, to: Endpoint): KeyChange[] {
  const changes: KeyChange[] = [];
  const [shownFrom, shownTo] = [maskSecrets(from), maskSecrets(to)];
  for (const [key, entry] of Object.entries(ENDPOINT_KEYS) as [keyof Endpoint, Key<unknown> | KeyGroup][]) {
    if (from[key] === to[key] || isDeepStrictEqual(from[key], to[key])) continue;
    if (isGroup(entry)) changes.push(...diffGroup(key, entry.keys, [from, to], [shownFrom, shownTo]));
    else changes.push({ path: key, from: shownFrom[key], to: shownTo[key], effect: entry.effect });
  }
  return [...changes, ...diffForeign(from, to)];
}

/** A key of a newer version changes nothing here, but is a change. Its value is not shown: it may be secret. */
function diffForeign(from: Endpoint, to: Endpoint): KeyChange[] {
  const paths = [...new Set([...foreignKeysOf(from), ...foreignKeysOf(to)])];
  return paths.flatMap((path): KeyChange[] => {
    const [before, after] = [valueAt(from, path), valueAt(to, path)];
    if (isDeepStrictEqual(before, after)) return [];
    return [{ path, from: before === undefined ? null : MASK, to: after === undefined ? null : MASK, effect: 'none' }];
  });
}

function valueAt(endpoint: Endpoint, path: string): unknown {
  return path.split('.').reduce<unknown>((value, key) => (isObject(value) ? value[key] : undefined), endpoint);
}

/** The changed options of a group: compared with their secrets, shown without. */
function diffGroup(group: keyof Endpoint, keys: KeyTable, real: readonly Endpoint[], shown: readonly Endpoint[]): KeyChange[] {
  const [from, to] = real.map((endpoint) => endpoint[group] as Record<string, unknown>);
  const [shownFrom, shownTo] = shown.map((endpoint) => endpoint[group] as Record<string, unknown>);
  return Object.entries(keys)
    .filter(([name]) => !isDeepStrictEqual(from?.[name], to?.[name]))
    .map(([name, { effect }]) => ({ path: `${group}.${name}`, from: shownFrom?.[name], to: shownTo?.[name], effect }));
}

/** The hardest effect of a list of changes; `none` for an empty one. */
export function hardestEffect(changes: KeyChange[]): Effect {
  return HARDNESS[Math.max(0, ...changes.map((change) => HARDNESS.indexOf(change.effect)))] ?? 'none';
}
