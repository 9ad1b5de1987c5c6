/** Differences between the endpoints in the configuration file and those in the store, which wins. Pure. */

import { diffEndpoints } from '../../endpoint/effects.ts';
import type { Endpoint } from '../../endpoint/endpoint.ts';

export interface Drift {
  /** a text for each endpoint that differs, or that only the file has */
  ignored: string[];
  /** ids of endpoints that only the store has: they were added while the node ran */
  added: string[];
}

/** Most keys named for one endpoint. */
const KEYS_MAX = 6;

export function driftOf(file: readonly Endpoint[], stored: readonly Endpoint[]): Drift {
  const byId = new Map(stored.map((endpoint) => [endpoint.id, endpoint]));
  const ignored = file.flatMap((wanted) => {
    const current = byId.get(wanted.id);
    if (current === undefined) return [`${wanted.id} (port ${wanted.port}) is not in the store`];
    const paths = diffEndpoints(current, wanted).map(({ path }) => path);
    if (paths.length === 0) return [];
    const more = paths.length > KEYS_MAX ? ` and ${paths.length - KEYS_MAX} more keys` : '';
    return [`${wanted.id} differs in ${paths.slice(0, KEYS_MAX).join(', ')}${more}`];
  });
  const named = new Set(file.map(({ id }) => id));
  return { ignored, added: stored.filter(({ id }) => !named.has(id)).map(({ id }) => id) };
}
