/** Changes that the store tests commit. */

import { parseEndpoint } from '../../src/endpoint/schema.ts';
import type { ChangeMeta, HistoryRow, Past, StoreChange } from '../../src/storage/endpoint-store.ts';

export const META: ChangeMeta = { action: 'add', actor: 'ann', source: 'http', node: 'n1', requestId: 'r-1', reason: 'because' };

/** Puts a default endpoint with the given keys. */
export function put(port: number, more: Record<string, unknown> = {}): StoreChange & { kind: 'put' } {
  return { kind: 'put', endpoint: parseEndpoint({ port, ...more }).endpoint };
}

export function remove(id: string): StoreChange {
  return { kind: 'remove', id };
}

/** A whole history in the form of a backup, in pieces of two rows. */
export function pastOf(rows: HistoryRow[], floor = 0): Past {
  return {
    revision: rows.at(-1)?.revision ?? 0,
    floor,
    pieces: async function* () {
      for (let from = 0; from < rows.length; from += 2) yield rows.slice(from, from + 2);
    },
  };
}
