/** The share of one client in the memory of its endpoint and of the node. */

import { ProtocolError } from '../../../../src/mqtt/errors.ts';
import { REASON } from '../../../../src/mqtt/reason-codes.ts';
import type { MemoryBudget } from '../../../../src/thread/memory-budget.ts';
import type { EndpointContext } from '../context/context.ts';

/** Reason string for a client whose request needs more memory than is left. */
export const NO_MEMORY = 'The server has no memory left for this';

export class ClientMemory {
  readonly #endpoint: EndpointContext;
  readonly #budget: MemoryBudget;

  constructor(endpoint: EndpointContext, budget: MemoryBudget) {
    this.#endpoint = endpoint;
    this.#budget = budget;
  }

  /**
   * Reserves memory for data of the client; false, and counted, when there is none.
   * @param part fraction of the budget that may be in use afterwards
   */
  reserve(bytes: number, part = 1): boolean {
    if (!this.#endpoint.isOverShare && this.#budget.reserve(bytes, part)) return true;
    this.#endpoint.count('quotaMemory');
    return false;
  }

  /** Like reserve(), for packets without an answer. @throws ProtocolError quotaExceeded */
  demand(bytes: number): void {
    if (!this.reserve(bytes)) throw new ProtocolError(REASON.quotaExceeded, NO_MEMORY);
  }

  /** True when no new client is let in and nothing large may begin. */
  get isShort(): boolean {
    return this.#endpoint.isOverShare || this.#budget.isTight;
  }
}
