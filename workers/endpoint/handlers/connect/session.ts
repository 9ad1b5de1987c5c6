/**
 * The last steps of CONNECT: the session gets the terms of the new connection, is stored when it is durable, and the client goes online.
 */

import type { ConnectPacket } from '../../../../src/mqtt/packet.ts';
import { REASON } from '../../../../src/mqtt/reason-codes.ts';
import type { Session } from '../../../shared/session/session.ts';
import type { Holder } from '../../../shared/wire/holder.ts';
import type { Client } from '../../client/client.ts';
import { HOLD } from '../../client/input/packet-reader.ts';
import { leaveSession } from '../../client/online/leave-session.ts';
import { withdrawRights } from '../../client/online/withdraw-rights.ts';
import { resumeRetained } from '../subscribe/retained.ts';
import { type Connect, connackOf } from './connack.ts';
import { Opening } from './opening.ts';

/** Subscriptions of a returning session whose rights are checked at once. */
const CHECKED_AT_ONCE = 250;

/** False when the session must be stored and the store cannot be written. */
export function canBeStored(client: Client, packet: ConnectPacket): boolean {
  return !isToBeStored(client, packet) || !client.context.store.isFailing;
}

function isToBeStored(client: Client, packet: ConnectPacket): boolean {
  return client.endpoint.config.endpoint.sessionPersistence && packet.sessionExpiryInterval > 0;
}

export function refuseUnstored(client: Client): void {
  client.context.store.countRefused();
  client.refuse(REASON.quotaExceeded, 'The session cannot be stored now', 'refusedSessionLimit');
}

/**
 * Opens the session for the connection that holds the identifier: stores the session when it is durable, then lets the client in.
 * @param isPresent whether it is the session of an earlier connection
 */
export function openSession(client: Client, connect: Connect, session: Session, isPresent: boolean): void {
  session.holder = holderOf(client);
  if (!isPresent || client.isClosed) {
    enter(client, connect, session, isPresent);
    return;
  }
  // The rules may differ from those at the time of the SUBSCRIBE: another endpoint, another address, or changed rules.
  if (session.subscriptions.size <= CHECKED_AT_ONCE) {
    void withdrawRights(client, session);
    enter(client, connect, session, isPresent);
    return;
  }
  const opening = new Opening(client, session);
  withdrawRights(client, session)
    .then(() => {
      if (!opening.isOver) enter(client, connect, session, isPresent);
    })
    .catch((error: unknown) => client.fail(error));
}

function holderOf(client: Client): Holder {
  const { login, username, rights } = client.identity;
  const { certCommonName } = client;
  const holder = { user: login, username, address: client.connection.address, rights };
  return certCommonName === null ? holder : { ...holder, certCommonName };
}

/** Lets the client in. The session must have no rights that the client lacks. */
function enter(client: Client, connect: Connect, session: Session, isPresent: boolean): void {
  const wasDurable = isPresent && session.isDurable;
  takeTerms(client, connect.packet, session);
  const kept = keep(client, session, isPresent, wasDurable);
  // The client left while its identifier was claimed: the session is left as after a short connection.
  if (client.isClosed) leaveSession(client.context, session);
  else if (kept === null) welcome(client, connect, session, isPresent);
  else welcomeWhenKept(client, connect, session, isPresent, kept);
}

/** Gives the session the terms of the new connection: endpoint, expiry, limits and will. */
function takeTerms(client: Client, packet: ConnectPacket, session: Session): void {
  const { endpoint } = client.endpoint.config;
  session.endpoint = endpoint.id;
  session.expirySeconds = packet.sessionExpiryInterval;
  session.maxQueued = endpoint.maxQueuedMessages;
  session.isDurable = isToBeStored(client, packet);
  // A delayed will that is still waiting must not be published now [MQTT-3.1.3-9].
  if (!client.isClosed) session.will = client.will;
}

/** Reports the session, or its end, to the disk. @returns fulfilled when that is on disk; null: nothing to wait for */
function keep(client: Client, session: Session, isPresent: boolean, wasDurable: boolean): Promise<void> | null {
  const { barrier, store, table } = client.context;
  if (session.isDurable && !client.isClosed) {
    let kept = wasDurable ? barrier.resume(session) : barrier.begin(session);
    // From now on publishers of all workers must wait until a shared message of the session is on disk.
    if (isPresent && !wasDurable) kept = Promise.all([kept, table.subscriptions.becameDurable(session)]).then(() => undefined);
    // While the store cannot be written, only sessions that are already on disk come here.
    return store.isFailing ? null : kept;
  }
  return wasDurable && !session.isDurable ? barrier.request(session, { op: 'end', due: null }) : null;
}

/** After CONNACK, even kill -9 must not lose the session, or bring an ended one back. */
function welcomeWhenKept(client: Client, connect: Connect, session: Session, isPresent: boolean, kept: Promise<void>): void {
  const opening = new Opening(client, session);
  void kept.then(() => {
    if (opening.isOver) return;
    if (!client.isClosed) {
      welcome(client, connect, session, isPresent);
      return;
    }
    // No CONNACK went out, so the connection's will does not apply.
    session.will = null;
    leaveSession(client.context, session);
  });
}

/** Sends CONNACK, then the waiting messages of the session, and reads on. */
function welcome(client: Client, connect: Connect, session: Session, isPresent: boolean): void {
  client.write(connackOf(client, connect, isPresent));
  client.goOnline(session, connect.packet);
  resumeRetained(client, session);
  client.release(HOLD.connect);
}
