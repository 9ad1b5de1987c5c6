/** A subscription as plain data. */

import type { Subscription } from '../routing/subscriber.ts';
import type { WireSubscription } from '../wire/controls.ts';

export function toWireSubscription(subscription: Subscription): WireSubscription {
  const { filter, group, qos, noLocal, retainAsPublished, retainHandling, identifier } = subscription;
  return { filter, group, qos, noLocal, retainAsPublished, retainHandling, identifier };
}
