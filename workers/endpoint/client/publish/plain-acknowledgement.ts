/** Acknowledgements without a reason code, which are most of them: handled without a packet object. */

import { ACK, type Acknowledgement } from '../../../../src/mqtt/encode-publish.ts';
import type { Session } from '../../../shared/session/session.ts';

/** The part of a client that an acknowledgement concerns. */
export interface Acknowledger {
  readonly queued: { completed(): void };
  ack(first: Acknowledgement, packetId: number, reasonCode: number): void;
}

/** @returns false when the slow path must handle it: it is unexpected, or a durable session must write to the store first */
export function acknowledgePlain(client: Acknowledger, session: Session, first: number, packetId: number): boolean {
  switch (first) {
    case ACK.puback:
      return session.acknowledge(packetId, 1);
    case ACK.pubcomp:
      return session.inflight.get(packetId)?.isReleased === true && session.acknowledge(packetId, 2);
    case ACK.pubrec:
      if (session.isDurable || session.release(packetId) !== true) return false;
      client.ack(ACK.pubrel, packetId, 0);
      return true;
    default:
      if (session.isDurable || !session.complete(packetId)) return false;
      client.queued.completed();
      client.ack(ACK.pubcomp, packetId, 0);
      return true;
  }
}
