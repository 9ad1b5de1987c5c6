/** Subscribes and unsubscribes sessions: the tree of this worker, the interest told to the peers, and the barrier before SUBACK. */

import { Fifo } from '../../src/kernel/fifo.ts';
import { Pace } from '../../src/kernel/pace.ts';
import type { InterestNews, ShareItem } from '../mesh/controls.ts';
import { type Mesh, noNews } from '../mesh/mesh.ts';
import type { Namespace } from '../routing/namespace.ts';
import type { Subscription } from '../routing/subscriber.ts';
import type { SourceGate } from './outlet.ts';
import { type Session, subscriptionKey } from './session.ts';

/** Of a session that is no more, or elsewhere: its filters may stand here for a while. */
const CLOSED_GATE: SourceGate = { accepts: () => false };
/** Filters of a session that are removed at once. */
const FILTERS_AT_ONCE = 50;
/** Milliseconds for the removal of others in one loop iteration. */
const SLICE_MS = 5;
/** Part of what waits for it that goes in any case: more never comes for long than goes. */
const SLICE_PART = 1 / 8;
/** Filters that may wait for it; with more, those of a session go at once. */
const LEAVING_MAX = 100_000;

export class Subscriptions {
  readonly #mesh: Mesh;
  /** filters whose announcement is on its way */
  readonly #pending = new Map<Namespace, Map<string, Promise<void>>>();
  /** sessions that are no more, and have filters left here */
  readonly #leaving = new Fifo<Session>();
  #leavingFilters = 0;

  constructor(mesh: Mesh) {
    this.#mesh = mesh;
  }

  /**
   * Adds or replaces subscriptions of one SUBSCRIBE. Local messages are delivered at once.
   * @returns when every peer knows them (empty: already): only then may SUBACK be sent
   */
  add(session: Session, subscriptions: readonly Subscription[]): Promise<void>[] {
    const { namespace } = session;
    const news = noNews(namespace.name);
    const waits = new Set<Promise<void>>();
    for (const subscription of subscriptions) {
      const { filter, group } = subscription;
      session.putSubscription(subscriptionKey(subscription), subscription);
      if (group !== null) {
        namespace.group(filter, group).join(session, subscription);
        news.shares.push(shareItem(namespace, filter, group));
      } else if (namespace.subscribe(session, subscription)) this.#addInterest(news, namespace, filter);
      else {
        // Somebody else's announcement of this filter may still be on its way.
        const wait = this.#pending.get(namespace)?.get(filter);
        if (wait !== undefined) waits.add(wait);
      }
    }
    if (news.filters.length > 0 || news.shares.length > 0) waits.add(this.#announce(namespace, news));
    return [...waits];
  }

  /** Adds to `news` that the filter is wanted here. */
  #addInterest(news: InterestNews, namespace: Namespace, filter: string): void {
    news.filters.push(filter);
    news.flags.push(this.#mesh.interestFlags(namespace, filter));
  }

  #announce(namespace: Namespace, news: InterestNews): Promise<void> {
    return this.#untilKnown(namespace, news.filters, this.#mesh.announce(news));
  }

  /** Others who subscribe one of the filters meanwhile wait for the same announcement. */
  #untilKnown(namespace: Namespace, filters: readonly string[], known: Promise<void>): Promise<void> {
    const pending = this.#pending.get(namespace) ?? new Map<string, Promise<void>>();
    this.#pending.set(namespace, pending);
    const done = known.finally(() => {
      for (const filter of filters) if (pending.get(filter) === done) pending.delete(filter);
    });
    for (const filter of filters) pending.set(filter, done);
    return done;
  }

  /** Removes a subscription by its key. False: there was none. */
  remove(session: Session, key: string): boolean {
    const subscription = session.subscriptions.get(key);
    if (subscription === undefined) return false;
    const news = noNews(session.namespace.name);
    this.#remove(session, key, subscription, news);
    this.#mesh.tell(news);
    return true;
  }

  /** As remove(), of several at once. */
  removeMany(session: Session, keys: readonly string[]): void {
    const news = noNews(session.namespace.name);
    for (const key of keys) {
      const subscription = session.subscriptions.get(key);
      if (subscription !== undefined) this.#remove(session, key, subscription, news);
    }
    this.#mesh.tell(news);
  }

  /** Removes one, and adds to `news` what peers have to hear of it. */
  #remove(session: Session, key: string, { filter, group }: Subscription, news: InterestNews): void {
    session.dropSubscription(key);
    const { namespace } = session;
    if (group !== null) {
      const known = namespace.findGroup(filter, group);
      known?.leave(session);
      news.shares.push(shareItem(namespace, filter, group));
      if (known !== undefined) namespace.dropGroupIfEmpty(known);
    } else if (namespace.unsubscribe(session, filter)) {
      news.filters.push(filter);
      news.flags.push(0);
    }
  }

  /** Of a session that has ended, or has moved away: it gets nothing more at once, and its filters, if they are many, go in slices. */
  removeAll(session: Session): void {
    if (session.gate === CLOSED_GATE) return;
    session.gate = CLOSED_GATE;
    const isLarge = session.subscriptions.size > FILTERS_AT_ONCE && this.#leavingFilters < LEAVING_MAX;
    const news = noNews(session.namespace.name);
    for (const [key, subscription] of session.subscriptions) {
      // A group would go on to choose a member that has left.
      if (!isLarge || subscription.group !== null) this.#remove(session, key, subscription, news);
    }
    this.#mesh.tell(news);
    if (session.subscriptions.size === 0) return;
    this.#leavingFilters += session.subscriptions.size;
    this.#leaving.push(session);
    if (this.#leaving.length === 1) setImmediate(this.#removeSlice);
  }

  /** As many as there is time for, the session that left first. */
  readonly #removeSlice = (): void => {
    const pace = new Pace(SLICE_MS);
    const mayWait = this.#leavingFilters * (1 - SLICE_PART);
    for (let session = this.#leaving.peek(); session !== undefined; session = this.#leaving.peek()) {
      const news = noNews(session.namespace.name);
      let count = 0;
      for (const [key, subscription] of session.subscriptions) {
        this.#remove(session, key, subscription, news);
        if (++count === FILTERS_AT_ONCE) break;
      }
      this.#leavingFilters -= count;
      this.#mesh.tell(news);
      if (session.subscriptions.size === 0) this.#leaving.shift();
      if (pace.isOver && this.#leavingFilters <= mayWait) break;
    }
    if (this.#leaving.length > 0) setImmediate(this.#removeSlice);
  };

  /** The client of the session came or went: members that are connected come first in shared groups. */
  presenceChanged(session: Session): void {
    const news = noNews(session.namespace.name);
    for (const { filter, group } of session.subscriptions.values()) {
      if (group !== null) news.shares.push(shareItem(session.namespace, filter, group));
    }
    this.#mesh.tell(news);
  }

  /** Installs the subscriptions of a session that moves here from `from`, and tells the peers with the move. */
  install(session: Session, subscriptions: readonly Subscription[], move: { id: number; from: number }): Promise<void> {
    const { namespace } = session;
    const news = noNews(namespace.name);
    for (const subscription of subscriptions) {
      session.putSubscription(subscriptionKey(subscription), subscription);
      if (subscription.group === null) {
        namespace.subscribe(session, subscription);
        this.#addInterest(news, namespace, subscription.filter);
      } else {
        namespace.group(subscription.filter, subscription.group).join(session, subscription);
        news.shares.push(shareItem(namespace, subscription.filter, subscription.group));
      }
    }
    return this.#untilKnown(namespace, news.filters, this.#mesh.announceMove(news, move));
  }
}

function shareItem(namespace: Namespace, filter: string, name: string): ShareItem {
  const count = namespace.findGroup(filter, name)?.localCount() ?? { connected: 0, away: 0 };
  return [filter, name, count.connected, count.away];
}
