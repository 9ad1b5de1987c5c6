/** A session as plain data, for another thread or the disk. */

import { toWireDelivery } from '../session/flight/delivery.ts';
import { toWireWill } from '../session/pending-will.ts';
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
    nextPacketId: session.nextPacketId,
    will: session.will === null ? null : toWireWill(session.will),
    ...(session.retainedDue === null ? {} : { retainedDue: [...session.retainedDue] }),
  };
}
