/** A subscription as plain data. */

import type { WireSubscription } from '../../mesh/controls.ts';
import type { Subscription } from '../../routing/subscriber.ts';

export function toWireSubscription(subscription: Subscription): WireSubscription {
  const { filter, group, qos, noLocal, retainAsPublished, retainHandling, identifier } = subscription;
  return { filter, group, qos, noLocal, retainAsPublished, retainHandling, identifier };
}
