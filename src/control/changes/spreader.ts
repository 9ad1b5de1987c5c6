/** The way of a change to the other nodes. */

import type { NodeOutcome } from '../contract/answers.ts';
import type { DrainRequest } from '../contract/request-parts.ts';

export interface Spreader {
  /**
   * First half of a change that every node must be able to make.
   * @throws FluxError `unprocessable`, `unavailable` when at least one node cannot make it
   */
  prepareAll(changes: unknown, timeoutMs: number): Promise<void>;
  /**
   * Announces a stored revision to the other nodes.
   * @param ids the changed endpoints; empty: something else has changed
   * @param drain for the clients of listeners that stop
   * @returns the outcome of each known node within `waitMs`; never fails
   */
  spread(revision: number, ids: readonly string[], drain: DrainRequest, waitMs: number): Promise<NodeOutcome[]>;
}

/** A single node has no other node to inform. */
export const ALONE: Spreader = {
  prepareAll: async () => {},
  spread: async () => [],
};
