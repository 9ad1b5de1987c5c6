/** How a change reaches the other nodes. */

import type { NodeOutcome } from '../contract.ts';
import type { DrainRequest } from '../endpoints/drain.ts';

export interface Spreader {
  /**
   * First half of a change that every node must be able to make.
   * @throws FluxError `unprocessable`, `unavailable`: at least one cannot
   */
  prepareAll(changes: unknown, timeoutMs: number): Promise<void>;
  /**
   * Tells the others of a stored revision.
   * @param ids the endpoints that it changed; none: something beside them has changed
   * @param drain for the clients of what stops
   * @returns what each known node made of it within `waitMs`; never fails
   */
  spread(revision: number, ids: readonly string[], drain: DrainRequest, waitMs: number): Promise<NodeOutcome[]>;
}

/** A node on its own has nobody to tell. */
export const ALONE: Spreader = {
  prepareAll: async () => {},
  spread: async () => [],
};
