/** Changes that the store tests commit. */

import { parseEndpoint } from '../../src/endpoint/schema.ts';
import type { ChangeMeta, StoreChange } from '../../src/storage/contract.ts';

export const META: ChangeMeta = { action: 'add', actor: 'ann', source: 'http', node: 'n1', requestId: 'r-1', reason: 'because' };

/** Puts a default endpoint with some keys of its own. */
export function put(port: number, more: Record<string, unknown> = {}): StoreChange & { kind: 'put' } {
  return { kind: 'put', endpoint: parseEndpoint({ port, ...more }).endpoint };
}

export function remove(id: string): StoreChange {
  return { kind: 'remove', id };
}
