/** Keys of an endpoint that a newer version wrote and this one does not know: every change keeps them, no answer shows them. */

import { defaultEndpoint } from '../defaults.ts';
import { AUTH_TYPES, type AuthConfig, type Endpoint } from '../endpoint.ts';

const KNOWN = defaultEndpoint(1);
const GROUPS = ['sslConfig', 'serverOptions', 'childOptions'] as const;
const TYPES: readonly string[] = AUTH_TYPES;

/** True for a key of this version. @param group the option object that holds the key; null: the endpoint itself */
export function isKnownKey(group: (typeof GROUPS)[number] | null, key: string): boolean {
  return Object.hasOwn(group === null ? KNOWN : KNOWN[group], key);
}

/** Dotted paths of the keys that this version does not know. */
export function foreignKeysOf(endpoint: Endpoint): string[] {
  const own = Object.keys(endpoint).filter((key) => !isKnownKey(null, key));
  const inGroups = GROUPS.flatMap((group) =>
    Object.keys(endpoint[group])
      .filter((key) => !isKnownKey(group, key))
      .map((key) => `${group}.${key}`),
  );
  return [...own, ...inGroups];
}

/** A copy for answers and files without unknown keys: they may be secret, and a request with them would be refused. */
export function withoutForeign(endpoint: Endpoint): Endpoint {
  const shown = pick(endpoint, null);
  for (const group of GROUPS) Object.assign(shown, { [group]: pick(endpoint[group], group) });
  const authConfig = shown.authConfig?.map((entry) =>
    TYPES.includes(entry.authType) ? entry : ({ authType: entry.authType, filter: {}, users: [] } as AuthConfig),
  );
  return authConfig === undefined ? shown : { ...shown, authConfig };
}

/** The reason why this version cannot run the endpoint; null when it can run without the unknown keys. */
export function foreignProblem({ authConfig }: Endpoint): string | null {
  // A version that does not know how to check the clients must let none in.
  const unknown = authConfig?.find((entry) => !TYPES.includes(entry.authType));
  return unknown === undefined ? null : `authType ${unknown.authType} is not known to this version: it was written by a newer one`;
}

function pick<T extends object>(value: T, group: (typeof GROUPS)[number] | null): T {
  return Object.fromEntries(Object.entries(value).filter(([key]) => isKnownKey(group, key))) as T;
}
