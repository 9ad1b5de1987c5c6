/** CONNECT: limits, authentication, the claim of the client identifier, CONNACK, and the messages of the session (MQTT 5 section 3.1). */

import { randomBytes } from 'node:crypto';
import { KEEP_ALIVE_MAX } from '../../src/endpoint/endpoint.ts';
import { steadyNow, wallNow } from '../../src/kernel/clock.ts';
import { observe, RESPONSE_BUCKETS, responseBase, SLOT } from '../../src/metrics/counters.ts';
import { type ConnackProperties, encodeConnack } from '../../src/mqtt/encode.ts';
import { ProtocolError } from '../../src/mqtt/errors.ts';
import type { ConnectPacket, Will } from '../../src/mqtt/packet.ts';
import { REASON } from '../../src/mqtt/reason-codes.ts';
import { toLatin1 } from '../../src/mqtt/topic.ts';
import { LASTING_PART } from '../../src/thread/memory-budget.ts';
import type { Client } from '../client/client.ts';
import { isSystemTopic } from '../client/decisions.ts';
import { NO_MEMORY } from '../client/limits/client-memory.ts';
import { HOLD } from '../client/packet-reader.ts';
import type { ClaimAnswer } from '../identifiers/directory.ts';
import { EMPTY, Message } from '../routing/message.ts';
import { toWireHead, toWireSession } from '../session/move/wire-session.ts';
import { type Session, sessionKey } from '../session/session.ts';
import type { PendingWill } from '../session/will/pending-will.ts';
import { leaveSession, Opening } from './opening.ts';
import { resumeRetained } from './retained.ts';

/** The server's limit on the client's Topic Alias Maximum; the server must remember a topic name per alias. */
const ALIASES_OUT_MAX = 256;

/** A CONNECT whose names and will exceed this size may not use the last part of the memory, which is reserved for small ones. */
const LARGE_BYTES = 4096;
const RESPONSE_CONNECT = responseBase('connect');

/** @throws ProtocolError; later errors end in client.fail() */
export function handleConnect(client: Client, packet: ConnectPacket): void {
  if (client.state !== 'new') throw new ProtocolError(REASON.protocolError, 'CONNECT was sent twice');
  client.connectAt = steadyNow();
  client.state = 'connecting';
  client.version = packet.protocolVersion;
  client.requestProblemInformation = packet.requestProblemInformation;
  client.sender.maximumPacketSize = packet.maximumPacketSize;
  if (refuseEarly(client, packet)) return;
  // Later packets of the client wait until CONNACK is out.
  client.hold(HOLD.connect);
  client.username = packet.username;
  // Without authentication nothing is awaited: each promise costs time in a storm of connections.
  if (client.endpoint.config.endpoint.enableAuth) {
    authenticate(client, packet)
      .then((isKnown) => isKnown && claimIdentifier(client, packet))
      .catch((error: unknown) => client.fail(error));
  } else claimIdentifier(client, packet);
}

function claimIdentifier(client: Client, packet: ConnectPacket): void {
  const assigned = packet.clientId === '' ? `fluxmq-${randomBytes(12).toString('hex')}` : null;
  client.clientId = assigned ?? packet.clientId;
  client.keepAlive = allowedKeepAlive(client, packet.keepAlive);
  if (!takesConnack(client, packet, assigned) || !prepareWill(client, packet)) return;
  const { endpoint } = client.endpoint.config;
  const { directory } = client.context;
  const isDurable = endpoint.sessionPersistence && packet.sessionExpiryInterval > 0;
  // The clean start would end the existing session in favour of a new one that cannot be stored.
  if (isDurable && packet.cleanStart && client.context.store.isFailing) {
    refuseSession(client);
    return;
  }
  const claim = {
    connection: directory.nextConnection(),
    namespace: endpoint.namespace,
    clientId: client.clientId,
    user: client.login,
    cleanStart: packet.cleanStart,
    expirySeconds: packet.sessionExpiryInterval,
    endpoint: endpoint.id,
    isDurable,
    maxSessions: endpoint.maxSessionSize,
  };
  directory.claim(claim, (answer) => {
    try {
      onClaimed(client, packet, answer, assigned);
    } catch (error) {
      client.fail(error);
    }
  });
}

function onClaimed(client: Client, packet: ConnectPacket, answer: ClaimAnswer, assigned: string | null): void {
  if (answer.ok && !answer.isPresent && !mayKeep(client, packet)) {
    const { session } = answer;
    session.expirySeconds = 0;
    client.context.table.end(session);
    client.context.directory.ended(session);
    refuseSession(client);
  } else if (answer.ok) open(client, packet, answer.session, answer.isPresent, assigned);
  else if (answer.reason === 'quota') {
    client.endpoint.limits.noteRefusal('session_limit');
    client.refuse(REASON.quotaExceeded, 'Session limit reached', 'refusedSessionLimit');
  } else if (answer.reason === 'foreign') refuseForeign(client);
  else client.refuse(REASON.serverBusy, 'Too many connections claim this client identifier', 'refusedBadConnect');
  observe(client.endpoint.slots, RESPONSE_CONNECT, RESPONSE_BUCKETS, (steadyNow() - client.connectAt) / 1000);
}

/** Refuses a client that asks for another user's session; the owner is not disturbed. */
function refuseForeign(client: Client): void {
  const { clientId, username, connection, endpoint, context } = client;
  const { port } = endpoint.config.endpoint;
  context.logger.warn(`Endpoint ${port}: a client asked for another user's session`, { clientId, username, address: connection.address });
  client.refuse(REASON.notAuthorized, 'The session of this client identifier belongs to another user', 'refusedForeignSession');
}

/** False when a new session must be stored and the store cannot be written. */
function mayKeep(client: Client, packet: ConnectPacket): boolean {
  const { sessionPersistence } = client.endpoint.config.endpoint;
  return !sessionPersistence || packet.sessionExpiryInterval === 0 || !client.context.store.isFailing;
}

function refuseSession(client: Client): void {
  client.context.store.countRefused();
  client.refuse(REASON.quotaExceeded, 'The session cannot be stored now', 'refusedSessionLimit');
}

/** Refuses connections over a limit at the time they came, and a CONNECT that the standard forbids. */
function refuseEarly(client: Client, packet: ConnectPacket): boolean {
  if (client.admission.refusal === 'connection_limit') client.refuse(REASON.quotaExceeded, 'Connection limit reached');
  else if (client.admission.refusal === 'connection_rate') client.refuse(REASON.connectionRateExceeded, 'Connection rate exceeded');
  else if (client.admission.refusal === 'address_limit') client.refuse(REASON.quotaExceeded, 'Too many connections from this address');
  else if (client.admission.refusal === 'address_rate')
    client.refuse(REASON.connectionRateExceeded, 'Too many connections a second from this address');
  else if (client.memory.isShort) client.refuse(REASON.quotaExceeded, NO_MEMORY, 'quotaMemory');
  else if (!client.memory.reserve(bytesOf(packet), bytesOf(packet) > LARGE_BYTES ? LASTING_PART : 1))
    client.refuse(REASON.quotaExceeded, NO_MEMORY);
  else if (packet.authenticationMethod !== null) {
    client.refuse(REASON.badAuthenticationMethod, 'Enhanced authentication is not supported', 'refusedBadConnect');
  } else if (packet.clientId === '' && packet.protocolVersion !== 5 && (packet.protocolVersion === 3 || !packet.cleanStart)) {
    // [MQTT-3.1.3-8]: an empty identifier needs a clean session. MQTT 3.1 allows no empty identifier.
    client.refuse(REASON.clientIdentifierNotValid, undefined, 'refusedBadConnect');
  } else return false;
  return true;
}

/** Bytes that the CONNECT makes the server keep, here and in the session worker. */
function bytesOf({ clientId, username, will }: ConnectPacket): number {
  const ofWill = will === null ? 0 : will.topic.length + will.payload.length + (will.properties?.forward.length ?? 0);
  return clientId.length * 4 + (username?.length ?? 0) + ofWill;
}

async function authenticate(client: Client, packet: ConnectPacket): Promise<boolean> {
  const { endpoint, auth } = client.endpoint.config;
  const { clientId, username, password } = packet;
  if (username === null && password === null && clientId.startsWith(client.context.probePrefix)) {
    // A health check of this node brings no login. It must not count as a guess, nor slow down other clients of its address. A client
    // with a login is checked and counted, whatever its identifier.
    client.refuse(REASON.notAuthorized);
    return false;
  }
  const who = { clientId, username, password, address: client.connection.address, endpoint: endpoint.id };
  const result = await client.context.authenticator.check(auth, who, () => client.isClosed);
  if (client.isClosed) return false;
  if (result.ok) {
    client.username = result.username;
    client.login = result.username;
    return true;
  }
  client.context.logger.warn(`Auth failed on Endpoint ${endpoint.port}`, { clientId, username, address: client.connection.address });
  if (result.reason === 'serverUnavailable') client.refuse(REASON.serverUnavailable, undefined, 'errorAuthFailed');
  else client.refuse(username === null ? REASON.notAuthorized : REASON.badUserNameOrPassword, undefined, 'errorAuthFailed');
  return false;
}

/** Refuses a client whose Maximum Packet Size is below its CONNACK, with a shorter packet if the client takes one [MQTT-3.1.2-24]. */
function takesConnack(client: Client, packet: ConnectPacket, assigned: string | null): boolean {
  if (packet.maximumPacketSize === 0) return true;
  const connack = { sessionPresent: false, reasonCode: REASON.success, properties: connackProperties(client, packet, assigned) };
  if (encodeConnack(client.version, connack).length <= packet.maximumPacketSize) return true;
  client.refuse(REASON.packetTooLarge, 'CONNACK is larger than the Maximum Packet Size', 'refusedBadConnect');
  return false;
}

/** Prepares the will; refuses a client that may not publish it. */
function prepareWill(client: Client, packet: ConnectPacket): boolean {
  if (packet.will === null) return true;
  if (isSystemTopic(packet.will.topic)) {
    // The will is dropped like a PUBLISH to such a topic, and the client stays: mosquitto's bridges have such a will.
    client.endpoint.count('droppedAcl');
    return true;
  }
  const key = sessionKey(client.endpoint.namespace.name, client.clientId);
  client.will = toPendingWill(packet.will, key);
  if (client.decisions.mayPublish(client.will.message.topic)) return true;
  client.will = null;
  client.refuse(REASON.notAuthorized, 'The will topic is not authorised', 'errorAclDenied');
  return false;
}

function toPendingWill(will: Will, from: string): PendingWill {
  const { properties } = will;
  const forward = properties?.forward ?? EMPTY;
  const message = new Message(toLatin1(will.topic), will.payload, will.qos, will.retain, forward, 0, from).detach();
  return { message, delayMs: will.willDelayInterval * 1000, expirySeconds: properties?.messageExpiryInterval ?? -1 };
}

/** Opens the session for the connection that holds the identifier: stores the session when it is durable, then sends CONNACK. */
function open(client: Client, packet: ConnectPacket, session: Session, isPresent: boolean, assigned: string | null): void {
  const { barrier } = client.context;
  const { endpoint } = client.endpoint.config;
  const wasDurable = isPresent && session.isDurable;
  session.holder = { user: client.login, username: client.username, address: client.connection.address };
  // On this endpoint, from this address and at this time other rules may apply than when the session subscribed.
  if (isPresent && !client.isClosed) client.withdraw(session);
  session.endpoint = endpoint.id;
  session.expirySeconds = packet.sessionExpiryInterval;
  session.maxQueued = endpoint.maxQueuedMessages;
  session.isDurable = endpoint.sessionPersistence && packet.sessionExpiryInterval > 0;
  // A will that waits for its delay is not published any more [MQTT-3.1.3-9].
  if (!client.isClosed) session.will = client.will;
  let kept: Promise<void> | null = null;
  if (session.isDurable && !client.isClosed) {
    const wire = wasDurable ? toWireHead(session) : toWireSession(session);
    kept = barrier.request(session, { op: wasDurable ? 'resume' : 'begin', session: { ...wire, disconnectedAt: 0 } });
    // From now on publishers of all workers must wait until a shared message of the session is on disk.
    if (isPresent && !wasDurable)
      kept = Promise.all([kept, client.context.table.subscriptions.becameDurable(session)]).then(() => undefined);
    // While the store cannot be written, only sessions that are already on disk come here.
    if (client.context.store.isFailing) kept = null;
  } else if (wasDurable && !session.isDurable) kept = barrier.request(session, { op: 'end', due: null });
  if (client.isClosed) {
    // The client left while its identifier was claimed: the session is left as after a short connection.
    leaveSession(client, session);
  } else if (kept === null) welcome(client, packet, session, isPresent, assigned);
  else {
    // A client that has read CONNACK must find the session, or its end, after kill -9 too.
    const opening = new Opening(client, session);
    void kept.then(() => {
      if (opening.isOver) return;
      // No CONNACK went out, so the connection's will does not apply.
      if (client.isClosed) session.will = null;
      if (client.isClosed) leaveSession(client, session);
      else welcome(client, packet, session, isPresent, assigned);
    });
  }
}

/** Sends CONNACK, then the waiting messages of the session. */
function welcome(client: Client, packet: ConnectPacket, session: Session, isPresent: boolean, assigned: string | null): void {
  const { context, endpoint: runtime } = client;
  const { endpoint } = runtime.config;
  client.cleanStart = packet.cleanStart;
  client.connectedAt = wallNow();
  client.sendWindow = Math.min(endpoint.maxSendWindowSize, packet.receiveMaximum);
  client.receiveWindow = endpoint.maxReceiveWindowSize;
  client.aliases.maximum = endpoint.maxTopicAlias;
  client.sender.topicAliasMaximum = Math.min(packet.topicAliasMaximum, ALIASES_OUT_MAX);
  client.session = session;
  client.state = 'online';
  client.openInput();
  client.write(
    encodeConnack(client.version, {
      sessionPresent: isPresent,
      reasonCode: REASON.success,
      properties: client.version === 5 ? connackProperties(client, packet, assigned) : {},
    }),
  );
  runtime.slots[SLOT.sessionsCurrent]!++;
  runtime.slots[SLOT.subscriptionsCurrent]! += session.subscriptions.size;
  session.attach(client);
  context.table.subscriptions.presenceChanged(session);
  resumeRetained(client, session);
  client.release(HOLD.connect);
}

/** The client's Keep Alive within the endpoint's maximum. Only MQTT 5 can announce another value [MQTT-3.2.2-21]; others keep their own. */
function allowedKeepAlive(client: Client, asked: number): number {
  const { maxKeepAlive } = client.endpoint.config.endpoint;
  if (client.version < 5 || maxKeepAlive === KEEP_ALIVE_MAX) return asked;
  return asked === 0 ? maxKeepAlive : Math.min(asked, maxKeepAlive);
}

function connackProperties(client: Client, packet: ConnectPacket, assigned: string | null): ConnackProperties {
  const { endpoint } = client.endpoint.config;
  const properties: ConnackProperties = {
    receiveMaximum: endpoint.maxReceiveWindowSize,
    maximumPacketSize: endpoint.messageMaxSize,
  };
  if (endpoint.maxTopicAlias > 0) properties.topicAliasMaximum = endpoint.maxTopicAlias;
  if (client.keepAlive !== packet.keepAlive) properties.serverKeepAlive = client.keepAlive;
  if (assigned !== null) properties.assignedClientIdentifier = assigned;
  return properties;
}
