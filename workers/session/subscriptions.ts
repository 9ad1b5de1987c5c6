/** Subscribes and unsubscribes sessions: the tree of this worker, the interest told to the peers, and the barrier before SUBACK. */

import type { InterestItem, ShareItem } from '../mesh/controls.ts';
import type { Mesh } from '../mesh/mesh.ts';
import type { Namespace } from '../routing/namespace.ts';
import type { Subscription } from '../routing/subscriber.ts';
import { type Session, subscriptionKey } from './session.ts';

export class Subscriptions {
  readonly #mesh: Mesh;
  /** filters whose announcement is on its way: namespace + NUL + filter → done */
  readonly #pending = new Map<string, Promise<void>>();

  constructor(mesh: Mesh) {
    this.#mesh = mesh;
  }

  /**
   * Adds or replaces a subscription. Local messages are delivered at once.
   * @returns when every peer knows it (null: already): only then may SUBACK be sent
   */
  add(session: Session, subscription: Subscription): Promise<void> | null {
    const { namespace } = session;
    session.subscriptions.set(subscriptionKey(subscription), subscription);
    if (subscription.group !== null) {
      const group = namespace.group(subscription.filter, subscription.group);
      group.local.set(session, subscription);
      return this.#mesh.announce(namespace.name, [], [shareItem(namespace, subscription.filter, subscription.group)]);
    }
    const isFirst = namespace.subscribe(session, subscription);
    return isFirst ? this.#announce(namespace, subscription.filter) : this.barrier(namespace, subscription.filter);
  }

  /** The announcement of a filter that is still on its way. */
  barrier(namespace: Namespace, filter: string): Promise<void> | null {
    return this.#pending.get(`${namespace.name}\0${filter}`) ?? null;
  }

  #announce(namespace: Namespace, filter: string): Promise<void> {
    const key = `${namespace.name}\0${filter}`;
    const items: InterestItem[] = [[filter, this.#mesh.interestFlags(namespace, filter)]];
    const done = this.#mesh.announce(namespace.name, items, []).finally(() => {
      if (this.#pending.get(key) === done) this.#pending.delete(key);
    });
    this.#pending.set(key, done);
    return done;
  }

  /** Removes a subscription by its key. False: there was none. */
  remove(session: Session, key: string): boolean {
    const subscription = session.subscriptions.get(key);
    if (subscription === undefined) return false;
    session.subscriptions.delete(key);
    const { namespace } = session;
    const { filter, group } = subscription;
    if (group !== null) {
      const known = namespace.findGroup(filter, group);
      known?.local.delete(session);
      this.#mesh.tell(namespace.name, [], [shareItem(namespace, filter, group)]);
      if (known !== undefined) namespace.dropGroupIfEmpty(known);
    } else if (namespace.unsubscribe(session, filter)) {
      this.#mesh.tell(namespace.name, [[filter, 0]], []);
    }
    return true;
  }

  removeAll(session: Session): void {
    for (const key of [...session.subscriptions.keys()]) this.remove(session, key);
  }

  /** The client of the session came or went: members that are connected come first in shared groups. */
  presenceChanged(session: Session): void {
    const shares: ShareItem[] = [];
    for (const { filter, group } of session.subscriptions.values()) {
      if (group !== null) shares.push(shareItem(session.namespace, filter, group));
    }
    if (shares.length > 0) this.#mesh.tell(session.namespace.name, [], shares);
  }

  /** Installs the subscriptions of a session that moves here from `from`, and tells the peers with the move. */
  install(session: Session, subscriptions: readonly Subscription[], move: { id: number; from: number }): Promise<void> {
    const { namespace } = session;
    const items: InterestItem[] = [];
    const shares: ShareItem[] = [];
    for (const subscription of subscriptions) {
      session.subscriptions.set(subscriptionKey(subscription), subscription);
      if (subscription.group === null) {
        namespace.subscribe(session, subscription);
        items.push([subscription.filter, this.#mesh.interestFlags(namespace, subscription.filter)]);
      } else {
        namespace.group(subscription.filter, subscription.group).local.set(session, subscription);
        shares.push(shareItem(namespace, subscription.filter, subscription.group));
      }
    }
    return this.#mesh.announce(namespace.name, items, shares, move);
  }
}

function shareItem(namespace: Namespace, filter: string, name: string): ShareItem {
  const count = namespace.findGroup(filter, name)?.localCount() ?? { connected: 0, away: 0 };
  return [filter, name, count.connected, count.away];
}
