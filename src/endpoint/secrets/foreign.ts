/** What a newer version has written into an endpoint and this one does not know: kept by every change, left out of what is shown. */

import { defaultEndpoint } from '../defaults.ts';
import type { Endpoint } from '../endpoint.ts';

const KNOWN = defaultEndpoint(1);
const GROUPS = ['sslConfig', 'serverOptions', 'childOptions'] as const;
const AUTH_TYPE = 'fixed';

/** True for a key of this version. @param group of the options that it belongs to; null: of the endpoint itself */
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

/** A copy for answers and files: nobody here can tell what in those keys is secret, and a request with them would be refused. */
export function withoutForeign(endpoint: Endpoint): Endpoint {
  const shown = pick(endpoint, null);
  for (const group of GROUPS) Object.assign(shown, { [group]: pick(endpoint[group], group) });
  const authConfig = shown.authConfig?.map((entry) =>
    entry.authType === AUTH_TYPE ? entry : { authType: entry.authType, filter: {}, users: [] },
  );
  return authConfig === undefined ? shown : { ...shown, authConfig };
}

/** Why this version cannot run the endpoint; null: it can, without what it does not know. */
export function foreignProblem({ authConfig }: Endpoint): string | null {
  // Whoever does not know how clients are to be checked lets nobody in.
  const unknown = authConfig?.find((entry) => entry.authType !== AUTH_TYPE);
  return unknown === undefined ? null : `authType ${unknown.authType} is not known to this version: it was written by a newer one`;
}

function pick<T extends object>(value: T, group: (typeof GROUPS)[number] | null): T {
  return Object.fromEntries(Object.entries(value).filter(([key]) => isKnownKey(group, key))) as T;
}
