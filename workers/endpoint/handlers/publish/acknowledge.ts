/** PUBACK, PUBREC, PUBREL and PUBCOMP from the client (MQTT 5 sections 3.4 to 3.7, 4.3). */

import { ACK } from '../../../../src/mqtt/encode-publish.ts';
import { ProtocolError } from '../../../../src/mqtt/errors.ts';
import type { AckPacket } from '../../../../src/mqtt/packet.ts';
import { REASON } from '../../../../src/mqtt/reason-codes.ts';
import type { Delivery } from '../../../shared/session/flight/delivery.ts';
import type { Client } from '../../client/client.ts';

/** Whether the delivery expects this acknowledgement now. An unknown identifier may get any acknowledgement late. */
function isInOrder(type: 'puback' | 'pubrec' | 'pubcomp', delivery: Delivery | undefined): boolean {
  if (delivery === undefined) return true;
  if (type === 'puback') return delivery.qos === 1;
  return delivery.qos === 2 && (type === 'pubrec' || delivery.isReleased);
}

/** @throws ProtocolError when the message in flight with that identifier expects another acknowledgement */
export function handleAcknowledge(client: Client, packet: AckPacket): void {
  const session = client.session!;
  const { packetId } = packet;
  if (packet.type !== 'pubrel' && !isInOrder(packet.type, session.inflight.get(packetId))) {
    throw new ProtocolError(REASON.protocolError, `${packet.type} does not match the message in flight with packet identifier ${packetId}`);
  }
  switch (packet.type) {
    case 'puback':
      // The message of an identifier that is not in flight was settled before a reconnect.
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
        // Also for an unknown identifier: PUBCOMP returns a send quota to the client (MQTT 5 section 4.9).
        client.queued.completed();
        client.ack(ACK.pubcomp, packetId, reasonCode);
      };
      // An unknown identifier also waits, because the packet may repeat a PUBREL that is not on disk yet.
      if (session.isDurable) void session.whenCompleted(packetId).then(answer);
      else answer();
      return;
    }
    case 'pubcomp':
      session.acknowledge(packetId, 2);
      return;
  }
}
