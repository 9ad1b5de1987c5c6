/** Subscribes and unsubscribes sessions: the filter tree of this worker, the interest that peers know, and the barrier before SUBACK. */

import { type Mesh, noNews } from '../mesh/mesh.ts';
import type { Namespace } from '../routing/namespace.ts';
import { NO_MEMBERS, type ShareItem } from '../routing/share-group.ts';
import type { Subscription } from '../routing/subscriber.ts';
import type { InterestNews, MoveNews } from '../wire/controls.ts';
import { PIECE_LENGTH } from '../wire/piece.ts';
import type { SourceGate } from './outlet.ts';
import { Removal } from './removal.ts';
import { type Session, subscriptionKey } from './session.ts';

/** Gate of a session that has ended or moved, while some of its filters are still in the tree. */
const CLOSED_GATE: SourceGate = { isArriving: false, isLeaving: false, accepts: () => false };
export class Subscriptions {
  readonly #mesh: Mesh;
  /** filters whose announcement is under way */
  readonly #pending = new Map<Namespace, Map<string, Promise<void>>>();
  readonly #removal = new Removal();

  constructor(mesh: Mesh) {
    this.#mesh = mesh;
  }

  /**
   * Adds or replaces the subscriptions of one SUBSCRIBE. Messages of this worker are delivered at once.
   * @returns promises that every peer knows them; empty when all do. SUBACK may only be sent afterwards
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
        // Another session's announcement of this filter may still be under way.
        const wait = this.#pending.get(namespace)?.get(filter);
        if (wait !== undefined) waits.add(wait);
      }
    }
    if (news.filters.length > 0 || news.shares.length > 0) waits.add(this.#announce(namespace, news));
    return [...waits];
  }

  /** Adds this worker's interest in a filter to `news`. */
  #addInterest(news: InterestNews, namespace: Namespace, filter: string): void {
    news.filters.push(filter);
    news.flags.push(this.#mesh.interestFlags(namespace, filter));
  }

  #announce(namespace: Namespace, news: InterestNews): Promise<void> {
    return this.#untilKnown(namespace, news.filters, this.#mesh.announce(news));
  }

  /** Lets further subscribers of the filters wait for the same announcement. */
  #untilKnown(namespace: Namespace, filters: readonly string[], known: Promise<void>): Promise<void> {
    const pending = this.#pending.get(namespace) ?? new Map<string, Promise<void>>();
    this.#pending.set(namespace, pending);
    const done = known.finally(() => {
      for (const filter of filters) if (pending.get(filter) === done) pending.delete(filter);
    });
    for (const filter of filters) pending.set(filter, done);
    return done;
  }

  /** Removes a subscription by its key. False when there is none. */
  remove(session: Session, key: string): boolean {
    const subscription = session.subscriptions.get(key);
    if (subscription === undefined) return false;
    const news = noNews(session.namespace.name);
    this.#remove(session, key, subscription, news);
    this.#mesh.tell(news);
    return true;
  }

  /** Like remove(), for several subscriptions. */
  removeMany(session: Session, keys: readonly string[]): void {
    const news = noNews(session.namespace.name);
    for (const key of keys) {
      const subscription = session.subscriptions.get(key);
      if (subscription !== undefined) this.#remove(session, key, subscription, news);
    }
    this.#mesh.tell(news);
  }

  /** Removes one subscription and adds the change to `news`. */
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

  /** Removes the filters of a session that has ended or moved. Its gate closes at once; many filters are removed in slices. */
  removeAll(session: Session): void {
    if (session.gate === CLOSED_GATE) return;
    session.gate = CLOSED_GATE;
    const isAtOnce = this.#removal.isAtOnce(session.subscriptions.size, session.filterLength);
    const news = noNews(session.namespace.name);
    for (const [key, subscription] of session.subscriptions) {
      // Groups come first: a group would continue to choose the member that has left.
      if (isAtOnce || subscription.group !== null) this.#remove(session, key, subscription, news);
    }
    this.#mesh.tell(news);
    if (session.subscriptions.size === 0) return;
    this.#removal.add({
      get left() {
        return session.subscriptions.size;
      },
      remove: (count) => this.#removeSome(session, count),
    });
  }

  #removeSome(session: Session, count: number): number {
    const news = noNews(session.namespace.name);
    let left = count;
    let length = 0;
    for (const [key, subscription] of session.subscriptions) {
      if (left-- === 0 || length >= PIECE_LENGTH) break;
      length += key.length;
      this.#remove(session, key, subscription, news);
    }
    this.#mesh.tell(news);
    return length;
  }

  /** Announces that the session's client came or left: shared groups prefer online members. */
  presenceChanged(session: Session): void {
    this.#mesh.tell(groupNews(session));
  }

  /** Announces that the session has become durable. Resolves when every peer waits for the disk before it acknowledges its shared messages. */
  becameDurable(session: Session): Promise<void> {
    return this.#mesh.announce(groupNews(session));
  }

  /**
   * Installs subscriptions of a session that moves here, and announces them.
   * @param move announced with the last piece; null: another piece follows
   */
  install(session: Session, subscriptions: readonly Subscription[], move: MoveNews | null): Promise<void> {
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
    return move === null ? this.#announce(namespace, news) : this.#untilKnown(namespace, news.filters, this.#mesh.announceMove(news, move));
  }
}

/** The member counts of the session's groups. */
function groupNews(session: Session): InterestNews {
  const news = noNews(session.namespace.name);
  for (const { filter, group } of session.subscriptions.values()) {
    if (group !== null) news.shares.push(shareItem(session.namespace, filter, group));
  }
  return news;
}

function shareItem(namespace: Namespace, filter: string, name: string): ShareItem {
  const count = namespace.findGroup(filter, name)?.localCount() ?? NO_MEMBERS;
  return [filter, name, count.connected, count.away, count.durable];
}
