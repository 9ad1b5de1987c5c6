/** The conditions under which a client gets a session: limits, the rules of the standard, the right to publish its will. */

import type { ConnectPacket, Will } from '../../../../src/mqtt/packet.ts';
import { REASON } from '../../../../src/mqtt/reason-codes.ts';
import { isSystemTopic, toLatin1 } from '../../../../src/mqtt/topic.ts';
import { LASTING_PART } from '../../../../src/thread/memory-budget.ts';
import { EMPTY, Message } from '../../../shared/messages/message.ts';
import type { PendingWill } from '../../../shared/session/pending-will.ts';
import { sessionKey } from '../../../shared/session/session.ts';
import type { Client } from '../../client/client.ts';
import { banOf, noteBan } from '../../client/limits/bans.ts';
import { NO_MEMORY } from '../../client/limits/client-memory.ts';
import type { Refusal } from '../../connection/connection.ts';
import type { Connect } from './connack.ts';

/** A CONNECT whose names and will exceed this size may not use the last part of the memory, which is reserved for small ones. */
const LARGE_BYTES = 4096;

const OVER_LIMIT: Record<Refusal, readonly [reasonCode: number, reasonString: string]> = {
  connection_limit: [REASON.quotaExceeded, 'Connection limit reached'],
  connection_rate: [REASON.connectionRateExceeded, 'Connection rate exceeded'],
  address_limit: [REASON.quotaExceeded, 'Too many connections from this address'],
  address_rate: [REASON.connectionRateExceeded, 'Too many connections a second from this address'],
  banned: [REASON.banned, 'Banned'],
};

/** Refuses a connection that was over a limit when it came, and a CONNECT without room in the memory. */
export function isWithinLimits(client: Client, packet: ConnectPacket): boolean {
  const { refusal } = client.admission;
  if (refusal !== null) client.refuse(...OVER_LIMIT[refusal]);
  else if (client.memory.isShort) client.refuse(REASON.quotaExceeded, NO_MEMORY, 'quotaMemory');
  else if (!client.memory.reserve(bytesOf(packet), bytesOf(packet) > LARGE_BYTES ? LASTING_PART : 1))
    client.refuse(REASON.quotaExceeded, NO_MEMORY);
  else return true;
  return false;
}

/** Refuses a banned client. @param clientId as far as it is known: the server or the login may give another one */
export function isBanned(client: Client, clientId: string): boolean {
  const ban = banOf(client, clientId);
  if (ban === null) return false;
  noteBan(client, clientId, ban);
  client.refuse(REASON.banned, 'Banned', 'refusedBanned');
  return true;
}

/** Refuses a client that has connected too often. Its login was right, or none is needed: a stranger cannot make somebody else be banned. */
export function isFlapping(client: Client, { packet, clientId }: Connect): boolean {
  const { namespace } = client.endpoint;
  // An identifier that the server has made comes once.
  const isMade = packet.clientId === '' && client.identity.loginClientId === null;
  if (isMade || !client.context.flapping.isOver(namespace.name, clientId)) return false;
  client.endpoint.banned.note('flapping', `client ${clientId} from ${client.address}`);
  client.refuse(REASON.banned, 'Banned', 'refusedBanned');
  return true;
}

/** Bytes that the CONNECT makes the server keep, here and in the session worker. */
function bytesOf({ clientId, username, will }: ConnectPacket): number {
  const ofWill = will === null ? 0 : will.topic.length + will.payload.length + (will.properties?.forward.length ?? 0);
  return clientId.length * 4 + (username?.length ?? 0) + ofWill;
}

/** Refuses a CONNECT that the standard forbids, or that needs what the server does not have. */
export function isAllowed(client: Client, packet: ConnectPacket): boolean {
  // [MQTT-3.1.3-8]: an empty identifier needs a clean session. MQTT 3.1 allows no empty identifier.
  const mayBeEmpty = packet.protocolVersion === 5 || (packet.protocolVersion === 4 && packet.cleanStart);
  if (packet.clientId !== '' || mayBeEmpty) return true;
  client.refuse(REASON.clientIdentifierNotValid, undefined, 'refusedBadConnect');
  return false;
}

/** Gives the client its will; refuses a client that may not publish it. */
export function maySendWill(client: Client, packet: ConnectPacket): boolean {
  if (packet.will === null) return true;
  if (isSystemTopic(packet.will.topic)) {
    // The will is dropped like a PUBLISH to such a topic, and the client stays: mosquitto's bridges have such a will.
    client.endpoint.count('droppedAcl');
    return true;
  }
  const will = toPendingWill(packet.will, sessionKey(client.endpoint.namespace.name, client.clientId));
  const { topic, qos, retain } = will.message;
  if (client.decisions.mayPublish(topic, qos, retain)) {
    client.setWill(will);
    return true;
  }
  client.refuse(REASON.notAuthorized, 'The will topic is not authorised', 'errorAclDenied');
  return false;
}

function toPendingWill(will: Will, from: string): PendingWill {
  const { properties } = will;
  const forward = properties?.forward ?? EMPTY;
  const message = new Message(toLatin1(will.topic), will.payload, will.qos, will.retain, forward, 0, from).detach();
  return { message, delayMs: will.willDelayInterval * 1000, expirySeconds: properties?.messageExpiryInterval ?? -1 };
}
