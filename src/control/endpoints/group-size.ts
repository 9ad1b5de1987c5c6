/** How many worker threads an endpoint accepts in. */

import { availableParallelism } from 'node:os';
import type { Endpoint } from '../../endpoint/endpoint.ts';

/** 1..64; `auto` leaves one processor for the rest and is at least 1. */
export function workerGroupSize(endpoint: Endpoint): number {
  const size = endpoint.serverOptions.workerGroupSize;
  return size === 'auto' ? Math.min(64, Math.max(1, availableParallelism() - 1)) : size;
}
