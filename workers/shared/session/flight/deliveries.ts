/** The QoS 1/2 messages of one session: those in flight, and those that wait. */

import { Backlog } from './backlog.ts';
import type { Delivery } from './delivery.ts';
import { InFlight } from './in-flight.ts';

export class Deliveries {
  readonly inflight = new InFlight();
  readonly queue = new Backlog();

  /** Adds one behind the others of its kind. */
  add(delivery: Delivery): void {
    if (delivery.packetId === 0) this.queue.push(delivery);
    else this.inflight.add(delivery, delivery.packetId);
  }

  clear(): void {
    this.inflight.clear();
    this.queue.clear();
  }
}
