/** DISCONNECT from the client (MQTT 5 section 3.14). */

import { ProtocolError } from '../../../../src/mqtt/errors.ts';
import type { DisconnectPacket } from '../../../../src/mqtt/packet.ts';
import { REASON } from '../../../../src/mqtt/reason-codes.ts';
import type { Client } from '../../client/client.ts';

export function handleDisconnect(client: Client, packet: DisconnectPacket): void {
  const session = client.session!;
  const { barrier } = client.context;
  const expiry = packet.sessionExpiryInterval;
  let kept: Promise<void> | null = null;
  if (expiry !== null && expiry !== session.expirySeconds) {
    // [MQTT-3.14.2-2]: a session that ends with its connection cannot be prolonged at the end.
    if (session.expirySeconds === 0) throw new ProtocolError(REASON.protocolError, 'Session Expiry Interval was 0 in CONNECT');
    if (expiry === 0 && session.isDurable) {
      const will = packet.reasonCode === REASON.success ? null : client.will;
      client.setWill(null);
      kept = barrier.request(session, { op: 'end', due: client.context.table.due(session, will) });
      session.isDurable = false;
    } else if (session.isDurable) kept = barrier.request(session, { op: 'expiry', expirySeconds: expiry });
    session.expirySeconds = expiry;
  }
  // [MQTT-3.14.4-3]: only a normal DISCONNECT discards the will.
  if (packet.reasonCode === REASON.success) {
    if (client.will !== null && session.isDurable) kept = barrier.request(session, { op: 'no-will' });
    client.setWill(null);
  }
  client.endNormally(kept);
}
