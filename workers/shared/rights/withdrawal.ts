/** Withdraws subscriptions that access rules no longer allow, and the messages that wait for them (issue 10). */

import type { Steps } from '../../../src/kernel/turns/steps.ts';
import { fromLatin1 } from '../../../src/mqtt/topic.ts';
import type { Router } from '../routing/router.ts';
import type { GroupHome, Subscription } from '../routing/subscriber.ts';
import { SubscriptionTree } from '../routing/subscription-tree.ts';
import type { Delivery } from '../session/flight/delivery.ts';
import { type Session, subscriptionKey } from '../session/session.ts';
import type { Subscriptions } from '../session/subscriptions.ts';

/** Subscriptions that one step judges. */
const FILTERS_AT_ONCE = 100;
/** Filters that a log line names. */
const NAMED_MAX = 10;

/** The part of a client's rules that a withdrawal needs. */
export interface SubscribeRules {
  /** true when no subscription can be refused */
  readonly allowsAll: boolean;
  /** @param filter text form, without `$share` prefix */
  maySubscribe(filter: string, qos: number): boolean;
  /** @param topic text form */
  mayReceive(topic: string): boolean;
}

export interface Withdrawn {
  /** text form, with `$share` prefix */
  readonly filters: string[];
  messages: number;
}

/**
 * Removes each subscription that the rules refuse, in steps. Then removes each waiting message whose topic the rules refuse, or that only a
 * removed subscription matched. Messages of shared subscriptions go to other members. Between two steps the session may get and lose
 * subscriptions. The caller stops the steps when the session has ended or moved.
 * @param withdrawn extended by everything that is removed
 * @param onRemoved called for each group of removed subscriptions, with their number
 */
export function* withdrawing(
  session: Session,
  rules: SubscribeRules,
  subscriptions: Subscriptions,
  router: Router,
  withdrawn: Withdrawn,
  onRemoved: (count: number) => void = () => {},
): Steps<void> {
  if (rules.allowsAll) return;
  const gone = new GoneFilters();
  let refused: Subscription[] = [];
  const remove = (): void => {
    if (refused.length === 0) return;
    const keys = refused.map(subscriptionKey);
    for (const { filter, group } of refused) session.noteUnsubscribed(filter, group);
    subscriptions.removeMany(session, keys);
    for (const each of refused) gone.add(each);
    for (const key of keys) withdrawn.filters.push(fromLatin1(key));
    onRemoved(refused.length);
    refused = [];
  };
  let looked = 0;
  for (const [key, subscription] of [...session.subscriptions]) {
    if (++looked % FILTERS_AT_ONCE === 0) {
      remove();
      yield;
    }
    // The subscription was replaced or removed in the last step.
    if (session.subscriptions.get(key) !== subscription) continue;
    if (!rules.maySubscribe(fromLatin1(subscription.filter), subscription.qos)) refused.push(subscription);
  }
  remove();
  if (session.queue.length + session.inflight.size === 0) return;
  const withheld = session.withhold(judgeOf(session, rules, gone));
  withdrawn.messages += withheld.length;
  for (const { group, message, isReleased } of withheld) {
    // A QoS 2 message that an earlier connection got is released, and goes to no other member [MQTT-4.8.2-5].
    if (group !== null && !isReleased) router.rerouteShared(session.namespace, group, message, null);
  }
}

/** Fields for the log. */
export function withdrawnFields(clientId: string, username: string | null, { filters, messages }: Withdrawn) {
  return { clientId, username, filters: filters.slice(0, NAMED_MAX), subscriptions: filters.length, messages };
}

/** The subscriptions that a session has lost. */
class GoneFilters {
  readonly #ordinary = new SubscriptionTree<true>();
  readonly #groups = new Set<string>();

  add(subscription: Subscription): void {
    if (subscription.group === null) this.#ordinary.set(subscription.filter, true);
    else this.#groups.add(subscriptionKey(subscription));
  }

  hasGroup({ filter, name }: Pick<GroupHome, 'filter' | 'name'>): boolean {
    return this.#groups.has(subscriptionKey({ filter, group: name }));
  }

  match(topic: string): boolean {
    const found: true[] = [];
    this.#ordinary.match(topic, found);
    return found.length > 0;
  }
}

/** Decides whether a waiting message may still be delivered; the decision is cached per topic. */
function judgeOf(session: Session, rules: SubscribeRules, gone: GoneFilters): (delivery: Delivery) => boolean {
  const decisions = new Map<string, boolean>();
  const isSubscribed = (topic: string): boolean => session.namespace.entry(topic).targets.some(({ subscriber }) => subscriber === session);
  const mayDeliver = (topic: string): boolean => rules.mayReceive(fromLatin1(topic)) && (!gone.match(topic) || isSubscribed(topic));
  return ({ message: { topic }, group }) => {
    if (group !== null) return !gone.hasGroup(group) && rules.mayReceive(fromLatin1(topic));
    let decision = decisions.get(topic);
    if (decision === undefined) {
      decision = mayDeliver(topic);
      decisions.set(topic, decision);
    }
    return decision;
  };
}
