/** Subscribes and unsubscribes sessions: the tree of this worker, the interest told to the peers, and the barrier before SUBACK. */

import type { InterestNews, ShareItem } from '../mesh/controls.ts';
import { type Mesh, noNews } from '../mesh/mesh.ts';
import type { Namespace } from '../routing/namespace.ts';
import type { Subscription } from '../routing/subscriber.ts';
import { filterTurns } from './filter-turns.ts';
import { type Session, type SourceGate, subscriptionKey } from './session.ts';

/** Of a session that is no more, or elsewhere: its filters may stand here for a while. */
const CLOSED: SourceGate = { accepts: () => false };

export class Subscriptions {
  readonly #mesh: Mesh;
  /** filters whose announcement is on its way */
  readonly #pending = new Map<Namespace, Map<string, Promise<void>>>();

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
      session.subscriptions.set(subscriptionKey(subscription), subscription);
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

  #addInterest(news: InterestNews, namespace: Namespace, filter: string): void {
    news.filters.push(filter);
    news.flags.push(this.#mesh.interestFlags(namespace, filter));
  }

  #announce(namespace: Namespace, news: InterestNews): Promise<void> {
    const pending = this.#pending.get(namespace) ?? new Map<string, Promise<void>>();
    this.#pending.set(namespace, pending);
    const { filters } = news;
    const done = this.#mesh.announce(news).finally(() => {
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

  #remove(session: Session, key: string, { filter, group }: Subscription, news: InterestNews): void {
    session.subscriptions.delete(key);
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

  /** Of a session that has ended, or has moved away: it gets nothing more at once, and its filters go in turns. */
  removeAll(session: Session): void {
    session.gate = CLOSED;
    const news = noNews(session.namespace.name);
    const ordinary: [string, Subscription][] = [];
    for (const [key, subscription] of session.subscriptions) {
      // A group would go on to choose a member that has left.
      if (subscription.group !== null) this.#remove(session, key, subscription, news);
      else ordinary.push([key, subscription]);
    }
    this.#mesh.tell(news);
    void this.#removeInTurns(session, ordinary);
  }

  async #removeInTurns(session: Session, entries: readonly [string, Subscription][]): Promise<void> {
    const { atOnce } = filterTurns;
    for (let at = 0; at < entries.length; at += atOnce) {
      const slice = entries.slice(at, at + atOnce);
      const later = filterTurns.take(slice.length);
      if (later !== null) await later;
      const news = noNews(session.namespace.name);
      for (const [key, subscription] of slice) this.#remove(session, key, subscription, news);
      this.#mesh.tell(news);
    }
  }

  /** The client of the session came or went: members that are connected come first in shared groups. */
  presenceChanged(session: Session): void {
    const shares: ShareItem[] = [];
    for (const { filter, group } of session.subscriptions.values()) {
      if (group !== null) shares.push(shareItem(session.namespace, filter, group));
    }
    if (shares.length > 0) this.#mesh.tell({ ...noNews(session.namespace.name), shares });
  }

  /** Installs the subscriptions of a session that moves here from `from`, and tells the peers with the move. */
  install(session: Session, subscriptions: readonly Subscription[], move: { id: number; from: number }): Promise<void> {
    const { namespace } = session;
    const news = noNews(namespace.name);
    for (const subscription of subscriptions) {
      session.subscriptions.set(subscriptionKey(subscription), subscription);
      if (subscription.group === null) {
        namespace.subscribe(session, subscription);
        this.#addInterest(news, namespace, subscription.filter);
      } else {
        namespace.group(subscription.filter, subscription.group).join(session, subscription);
        news.shares.push(shareItem(namespace, subscription.filter, subscription.group));
      }
    }
    return this.#mesh.announceMove(news, move);
  }
}

function shareItem(namespace: Namespace, filter: string, name: string): ShareItem {
  const count = namespace.findGroup(filter, name)?.localCount() ?? { connected: 0, away: 0 };
  return [filter, name, count.connected, count.away];
}
