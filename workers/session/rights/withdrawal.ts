/** Withdraws from a session what access rules no longer allow: subscriptions and the messages that wait for them (issue 10). */

import { fromLatin1 } from '../../../src/mqtt/topic.ts';
import { filterMatches, toLevels } from '../../access/topic-filters.ts';
import type { Router } from '../../routing/router.ts';
import type { Subscription } from '../../routing/subscriber.ts';
import type { Delivery } from '../flight/delivery.ts';
import { type Session, subscriptionKey } from '../session.ts';
import type { Subscriptions } from '../subscriptions.ts';

/** Filters that a log line names. */
const NAMED_MAX = 10;

/** The rules of a client, as a withdrawal asks them. */
export interface SubscribeRules {
  /** true when no subscription can be refused */
  readonly allowsAll: boolean;
  /** @param filter text form, without `$share` prefix */
  maySubscribe(filter: string): boolean;
  /** @param topic text form */
  mayReceive(topic: string): boolean;
}

export interface Withdrawn {
  /** text form, with `$share` prefix */
  filters: string[];
  messages: number;
}

/**
 * Removes each subscription that the rules refuse. Removes each waiting message whose topic the rules refuse, or which only a removed
 * subscription can have brought. Messages of shared subscriptions go to other members.
 * @returns null when nothing was removed
 */
export function withdraw(session: Session, rules: SubscribeRules, subscriptions: Subscriptions, router: Router): Withdrawn | null {
  if (rules.allowsAll) return null;
  const refused = [...session.subscriptions.values()].filter(({ filter }) => !rules.maySubscribe(fromLatin1(filter)));
  for (const { filter, group } of refused) session.noteUnsubscribed(filter, group);
  if (refused.length > 0) subscriptions.removeMany(session, refused.map(subscriptionKey));
  const withheld = session.queue.length + session.inflight.size > 0 ? session.withhold(judgeOf(session, rules, refused)) : [];
  if (refused.length === 0 && withheld.length === 0) return null;
  for (const { group, message } of withheld) if (group !== null) router.rerouteShared(session.namespace, group, message, null);
  return { filters: refused.map((each) => fromLatin1(subscriptionKey(each))), messages: withheld.length };
}

/** Fields for the log. */
export function withdrawnFields(clientId: string, username: string | null, { filters, messages }: Withdrawn) {
  return { clientId, username, filters: filters.slice(0, NAMED_MAX), subscriptions: filters.length, messages };
}

/** Decides whether a waiting message may still be delivered; the decision is cached per topic. */
function judgeOf(session: Session, rules: SubscribeRules, refused: readonly Subscription[]): (delivery: Delivery) => boolean {
  const levelsOf = (each: { filter: string; group: string | null }) => (each.group === null ? [toLevels(each.filter)] : []);
  const gone = refused.flatMap(levelsOf);
  const left = gone.length === 0 ? [] : [...session.subscriptions.values()].flatMap(levelsOf);
  const goneGroups = new Set(refused.filter(({ group }) => group !== null).map(subscriptionKey));
  const decisions = new Map<string, boolean>();
  const mayDeliver = (topic: string): boolean => {
    if (!rules.mayReceive(fromLatin1(topic))) return false;
    const levels = topic.split('/');
    return !gone.some((filter) => filterMatches(filter, levels)) || left.some((filter) => filterMatches(filter, levels));
  };
  return ({ message: { topic }, group }) => {
    if (group !== null)
      return !goneGroups.has(subscriptionKey({ filter: group.filter, group: group.name })) && rules.mayReceive(fromLatin1(topic));
    let decision = decisions.get(topic);
    if (decision === undefined) {
      decision = mayDeliver(topic);
      decisions.set(topic, decision);
    }
    return decision;
  };
}
