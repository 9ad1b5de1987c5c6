/** CONNECT: limits, login, identifier, will, the claim of the session, CONNACK (MQTT 5 section 3.1). The steps stand in their order. */

import { steadyNow } from '../../../../src/kernel/clock.ts';
import { observe, RESPONSE_BUCKETS, responseBase } from '../../../../src/metrics/counters.ts';
import type { ConnectPacket } from '../../../../src/mqtt/packet.ts';
import { REASON } from '../../../../src/mqtt/reason-codes.ts';
import { toWireWill } from '../../../shared/session/pending-will.ts';
import type { HeldWill } from '../../../shared/wire/controls.ts';
import type { Client } from '../../client/client.ts';
import { HOLD } from '../../client/input/packet-reader.ts';
import type { ClaimAnswer } from '../../identifiers/directory.ts';
import { isAllowed, isBanned, isFlapping, isWithinLimits, maySendWill } from './admission.ts';
import type { Connect } from './connack.ts';
import { connectOf, takesConnack } from './connack.ts';
import { authenticateByExchange } from './enhanced.ts';
import { authenticate } from './login.ts';
import { canBeStored, openSession, refuseUnstored } from './session.ts';

const RESPONSE_CONNECT = responseBase('connect');

/** @throws ProtocolError; later errors end in client.fail() */
export function handleConnect(client: Client, packet: ConnectPacket): void {
  client.beginConnect(packet);
  if (!isWithinLimits(client, packet) || !isAllowed(client, packet) || isBanned(client, packet.clientId)) return;
  // Later packets of the client wait until CONNACK is out.
  client.hold(HOLD.connect);
  if (packet.authenticationMethod !== null) {
    authenticateByExchange(client, packet, () => nameAndClaim(client, packet));
    return;
  }
  // Without authentication nothing is awaited: each promise costs time in a storm of connections.
  if (!client.endpoint.config.endpoint.enableAuth) nameAndClaim(client, packet);
  else {
    authenticate(client, packet)
      .then((isKnown) => isKnown && nameAndClaim(client, packet))
      .catch((error: unknown) => client.fail(error));
  }
}

/** The steps after the login. A step that returns false has refused the client. */
function nameAndClaim(client: Client, packet: ConnectPacket): void {
  const connect = connectOf(client, packet);
  client.name(connect.clientId, connect.keepAlive);
  // The login may have changed the names, and a ban may be new.
  if (isBanned(client, connect.clientId)) return;
  if (isFlapping(client, connect) || !takesConnack(client, connect) || !maySendWill(client, packet)) return;
  // The clean start would end the existing session in favour of a new one that cannot be stored.
  if (packet.cleanStart && !canBeStored(client, packet)) refuseUnstored(client);
  else claimIdentifier(client, connect);
}

function claimIdentifier(client: Client, connect: Connect): void {
  const { endpoint } = client.endpoint.config;
  const { directory } = client.context;
  const { cleanStart, sessionExpiryInterval } = connect.packet;
  const claim = {
    connection: directory.nextConnection(),
    namespace: endpoint.namespace,
    clientId: connect.clientId,
    user: client.identity.login,
    cleanStart,
    expirySeconds: sessionExpiryInterval,
    endpoint: endpoint.id,
    isDurable: endpoint.sessionPersistence && sessionExpiryInterval > 0,
    maxSessions: endpoint.maxSessionSize,
    ...heldOf(client),
  };
  directory.claim(claim, (answer) => {
    try {
      onClaimed(client, connect, answer);
    } catch (error) {
      client.fail(error);
    }
  });
}

/** The will, for the node that keeps it in a cluster. */
function heldOf({ will, identity, connection, context }: Client): { held?: HeldWill } {
  if (will === null || !context.directory.tellsWills) return {};
  const { login: user, username } = identity;
  return { held: { will: toWireWill(will), holder: { user, username, address: connection.address } } };
}

function onClaimed(client: Client, connect: Connect, answer: ClaimAnswer): void {
  if (!answer.ok) refuseClaim(client, answer.reason);
  else if (!answer.isPresent && !canBeStored(client, connect.packet)) {
    const { session } = answer;
    session.expirySeconds = 0;
    client.context.table.end(session);
    client.context.directory.ended(session);
    refuseUnstored(client);
  } else openSession(client, connect, answer.session, answer.isPresent);
  observe(client.endpoint.slots, RESPONSE_CONNECT, RESPONSE_BUCKETS, (steadyNow() - client.identity.connectAt) / 1000);
}

function refuseClaim(client: Client, reason: Extract<ClaimAnswer, { ok: false }>['reason']): void {
  if (reason === 'quota') {
    client.endpoint.limits.noteRefusal('session_limit');
    client.refuse(REASON.quotaExceeded, 'Session limit reached', 'refusedSessionLimit');
  } else if (reason === 'foreign') refuseForeign(client);
  else client.refuse(REASON.serverBusy, 'Too many connections claim this client identifier', 'refusedBadConnect');
}

/** Refuses a client that asks for another user's session; the owner is not disturbed. */
function refuseForeign(client: Client): void {
  const { clientId, username, connection, endpoint, context } = client;
  const { port } = endpoint.config.endpoint;
  context.logger.warn(`Endpoint ${port}: a client asked for another user's session`, { clientId, username, address: connection.address });
  client.refuse(REASON.notAuthorized, 'The session of this client identifier belongs to another user', 'refusedForeignSession');
}
