/** Hands each packet that is not on the fast path to its handler. */

import { ProtocolError } from '../../../src/mqtt/errors.ts';
import type { Packet } from '../../../src/mqtt/packet.ts';
import { PINGRESP } from '../../../src/mqtt/rare/encode.ts';
import { REASON } from '../../../src/mqtt/reason-codes.ts';
import type { Client } from '../client/client.ts';
import { handleConnect } from './connect/connect.ts';
import { handleDisconnect } from './connect/disconnect.ts';
import { handleAuth } from './connect/enhanced.ts';
import { handleAcknowledge } from './publish/acknowledge.ts';
import { handlePublish } from './publish/publish.ts';
import { handleSubscribe } from './subscribe/subscribe.ts';
import { handleUnsubscribe } from './subscribe/unsubscribe.ts';

/** @throws ProtocolError when the packet is not allowed now; PacketReader.read() catches it and calls client.fail() */
export function dispatch(client: Client, packet: Packet): void {
  if (client.state === 'connecting') {
    handleBeforeConnack(client, packet);
    return;
  }
  switch (packet.type) {
    case 'connect':
      handleConnect(client, packet);
      return;
    case 'publish':
      handlePublish(client, packet);
      return;
    case 'puback':
    case 'pubrec':
    case 'pubrel':
    case 'pubcomp':
      handleAcknowledge(client, packet);
      return;
    case 'subscribe':
      handleSubscribe(client, packet).catch((error: unknown) => client.fail(error));
      return;
    case 'unsubscribe':
      handleUnsubscribe(client, packet).catch((error: unknown) => client.fail(error));
      return;
    case 'pingreq':
      client.write(PINGRESP);
      return;
    case 'disconnect':
      handleDisconnect(client, packet);
      return;
    case 'auth':
      handleAuth(client, packet);
      return;
  }
}

/** Packets of an authentication under way [MQTT-3.1.2-30]. All other input waits for CONNACK. */
function handleBeforeConnack(client: Client, packet: Packet): void {
  if (packet.type === 'auth') handleAuth(client, packet);
  else if (packet.type === 'disconnect') client.endNormally(null);
  else throw new ProtocolError(REASON.protocolError, 'Only AUTH and DISCONNECT may come before CONNACK');
}
