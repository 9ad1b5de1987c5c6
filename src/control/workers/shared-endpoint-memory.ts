/** The memory that all listeners of one endpoint share. The first listener allocates it: most of 2,000 endpoints may be disabled. */

import { createAddressTable } from '../../metrics/address-table.ts';
import { createSharedLimits, SharedLimits } from '../../metrics/shared-limits.ts';

export class SharedEndpointMemory {
  #blocks: { limits: SharedArrayBuffer; addresses: SharedArrayBuffer; view: SharedLimits } | null = null;

  get #made() {
    if (this.#blocks !== null) return this.#blocks;
    const limits = createSharedLimits();
    this.#blocks = { limits, addresses: createAddressTable(), view: new SharedLimits(limits) };
    return this.#blocks;
  }

  /** See createSharedLimits(). */
  get limits(): SharedArrayBuffer {
    return this.#made.limits;
  }

  /** See createAddressTable(). */
  get addresses(): SharedArrayBuffer {
    return this.#made.addresses;
  }

  /** Most connections at once, over all workers. */
  get peak(): number {
    return this.#blocks?.view.peak ?? 0;
  }

  /** Gives back what the clients of a dead worker had. */
  release(connections: number, heldBytes: number): void {
    this.#blocks?.view.release(connections, heldBytes);
  }
}
