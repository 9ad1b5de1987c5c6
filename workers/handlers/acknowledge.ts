/** PUBACK, PUBREC, PUBREL and PUBCOMP from the client (MQTT 5 sections 3.4 to 3.7, 4.3). */

import { encodeAck } from '../../src/mqtt/encode.ts';
import type { AckPacket } from '../../src/mqtt/packet.ts';
import { REASON } from '../../src/mqtt/reason-codes.ts';
import type { Client } from '../client/client.ts';

export function handleAcknowledge(client: Client, packet: AckPacket): void {
  const session = client.session!;
  const { packetId } = packet;
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
      const answer = () => client.write(encodeAck('pubrel', client.version, packetId, reasonCode));
      if (known instanceof Promise) void known.then(answer);
      else answer();
      return;
    }
    case 'pubrel': {
      const known = session.complete(packetId);
      client.write(encodeAck('pubcomp', client.version, packetId, known || client.version !== 5 ? 0 : REASON.packetIdentifierNotFound));
      return;
    }
    case 'pubcomp':
      session.acknowledge(packetId, 2);
      return;
  }
}
