/** A durable session that a new session worker is told of, piece by piece. */

import type { Delivery } from './flight/delivery.ts';

export interface Telling {
  /** deliveries that have not been told and are not settled, in order */
  readonly untold: Set<Delivery>;
  readonly done: Promise<void>;
}
