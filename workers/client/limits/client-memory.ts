/** What one client may have of the memory that its endpoint and the node have for clients. */

import { ProtocolError } from '../../../src/mqtt/errors.ts';
import { REASON } from '../../../src/mqtt/reason-codes.ts';
import type { MemoryBudget } from '../../../src/thread/memory-budget.ts';
import type { EndpointContext } from '../context.ts';

/** Why a client is refused that wants more remembered than there is memory for. */
export const NO_MEMORY = 'The server has no memory left for this';

export class ClientMemory {
  readonly #endpoint: EndpointContext;
  readonly #budget: MemoryBudget;

  constructor(endpoint: EndpointContext, budget: MemoryBudget) {
    this.#endpoint = endpoint;
    this.#budget = budget;
  }

  /** Takes memory for what the client wants remembered; false, and counted: there is none. @param part of the budget that may be taken by then */
  reserve(bytes: number, part = 1): boolean {
    if (!this.#endpoint.isOverShare && this.#budget.reserve(bytes, part)) return true;
    this.#endpoint.count('quotaMemory');
    return false;
  }

  /** As reserve(), where no packet answers. @throws ProtocolError quotaExceeded */
  demand(bytes: number): void {
    if (!this.reserve(bytes)) throw new ProtocolError(REASON.quotaExceeded, NO_MEMORY);
  }

  /** Nobody new is let in, and nothing large is begun. */
  get isShort(): boolean {
    return this.#endpoint.isOverShare || this.#budget.isTight;
  }
}
