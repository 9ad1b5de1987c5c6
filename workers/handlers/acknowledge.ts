/** PUBACK, PUBREC, PUBREL and PUBCOMP from the client (MQTT 5 sections 3.4 to 3.7, 4.3). */

import { ACK } from '../../src/mqtt/encode-publish.ts';
import { ProtocolError } from '../../src/mqtt/errors.ts';
import type { AckPacket } from '../../src/mqtt/packet.ts';
import { REASON } from '../../src/mqtt/reason-codes.ts';
import type { Client } from '../client/client.ts';
import type { Delivery } from '../session/flight/delivery.ts';

/** Whether the acknowledgement is one that the delivery can have now; of an unknown identifier any may come late. */
function isInOrder(type: 'puback' | 'pubrec' | 'pubcomp', delivery: Delivery | undefined): boolean {
  if (delivery === undefined) return true;
  if (type === 'puback') return delivery.qos === 1;
  return delivery.qos === 2 && (type === 'pubrec' || delivery.isReleased);
}

/** @throws ProtocolError when the message in flight with that identifier asks for another acknowledgement */
export function handleAcknowledge(client: Client, packet: AckPacket): void {
  const session = client.session!;
  const { packetId } = packet;
  if (packet.type !== 'pubrel' && !isInOrder(packet.type, session.inflight.get(packetId))) {
    throw new ProtocolError(REASON.protocolError, `${packet.type} is not what is due for packet identifier ${packetId}`);
  }
  switch (packet.type) {
    case 'puback':
      // An identifier that is not in flight is one that was settled before a reconnect: nothing to do.
      session.acknowledge(packetId, 1);
      return;
    case 'pubrec': {
      if (packet.reasonCode >= 0x80) {
        session.acknowledge(packetId, 2);
        return;
      }
      const known = session.release(packetId);
      const reasonCode = known !== false || client.version !== 5 ? 0 : REASON.packetIdentifierNotFound;
      const answer = () => client.ack(ACK.pubrel, packetId, reasonCode);
      if (known instanceof Promise) void known.then(answer);
      else answer();
      return;
    }
    case 'pubrel': {
      const reasonCode = session.complete(packetId) ? 0 : REASON.packetIdentifierNotFound;
      const answer = () => {
        // Known or not: PUBCOMP gives the client a place back (MQTT 5 section 4.9).
        client.queued.completed();
        client.ack(ACK.pubcomp, packetId, reasonCode);
      };
      // Also when it is not known: it may be a repeat of one that is not on disk yet.
      if (session.isDurable) void session.whenCompleted(packetId).then(answer);
      else answer();
      return;
    }
    case 'pubcomp':
      session.acknowledge(packetId, 2);
      return;
  }
}
