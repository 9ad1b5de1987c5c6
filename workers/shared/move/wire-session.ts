/** A session as plain data, for another thread or the disk, and back. */

import type { Deliveries } from '../session/flight/deliveries.ts';
import { toWireDelivery } from '../session/flight/delivery.ts';
import { fromWireWill, toWireWill } from '../session/pending-will.ts';
import type { Session } from '../session/session.ts';
import { toWireSubscription } from '../session/wire-subscription.ts';
import type { WireSession } from '../wire/controls.ts';

/** The whole session. */
export function toWireSession(session: Session): WireSession {
  const deliveries = [...session.inflight.inOrder(), ...session.queue].map(toWireDelivery);
  return { ...toWireHead(session), subscriptions: [...session.subscriptions.values()].map(toWireSubscription), deliveries };
}

/** The session without its subscriptions and deliveries, which may be many. */
export function toWireHead(session: Session): WireSession {
  return {
    namespace: session.namespace.name,
    clientId: session.clientId,
    holder: session.holder,
    endpoint: session.endpoint,
    expirySeconds: session.expirySeconds,
    disconnectedAt: session.disconnectedAt,
    isDurable: session.isDurable,
    maxQueued: session.maxQueued,
    subscriptions: [],
    deliveries: [],
    received: session.received === null ? [] : [...session.received.keys()],
    nextPacketId: session.inflight.nextId,
    will: session.will === null ? null : toWireWill(session.will),
    ...(session.stamp === 0 ? {} : { stamp: session.stamp }),
    ...(session.retainedDue === null ? {} : { retainedDue: [...session.retainedDue] }),
  };
}

/**
 * Gives a session the state that it had in another place, ahead of messages that have arrived here. The caller installs the subscriptions.
 * @param deliveries the deliveries of the state; they belong to the session from now on
 */
export function takeState(session: Session, wire: WireSession, deliveries: Deliveries): void {
  session.holder = wire.holder;
  session.stamp = wire.stamp ?? 0;
  session.endpoint = wire.endpoint;
  session.expirySeconds = wire.expirySeconds;
  session.disconnectedAt = wire.disconnectedAt;
  session.isDurable = wire.isDurable;
  session.maxQueued = wire.maxQueued;
  if (wire.retainedDue !== undefined) session.retainedDue = new Set(wire.retainedDue);
  if (wire.received.length > 0) session.received = new Map(wire.received.map((packetId) => [packetId, 0]));
  session.will = wire.will === null ? null : fromWireWill(wire.will);
  session.putAhead(deliveries, wire.nextPacketId);
}
