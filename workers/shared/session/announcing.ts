/** A durable session that is announced to a new session worker, piece by piece. */

import type { Delivery } from './flight/delivery.ts';

export interface Announcing {
  /** deliveries that have not been announced and are not settled, in order */
  readonly unannounced: Set<Delivery>;
  readonly done: Promise<void>;
}
