/** Subscribes and unsubscribes sessions: the tree of this worker, the interest told to the peers, and the barrier before SUBACK. */

import type { InterestItem, ShareItem } from '../mesh/controls.ts';
import type { Mesh } from '../mesh/mesh.ts';
import type { Namespace } from '../routing/namespace.ts';
import type { Subscription } from '../routing/subscriber.ts';
import { type Session, subscriptionKey } from './session.ts';

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
    const items: InterestItem[] = [];
    const shares: ShareItem[] = [];
    const waits = new Set<Promise<void>>();
    for (const subscription of subscriptions) {
      const { filter, group } = subscription;
      session.subscriptions.set(subscriptionKey(subscription), subscription);
      if (group !== null) {
        namespace.group(filter, group).join(session, subscription);
        shares.push(shareItem(namespace, filter, group));
      } else if (namespace.subscribe(session, subscription)) items.push([filter, this.#mesh.interestFlags(namespace, filter)]);
      else {
        // Somebody else's announcement of this filter may still be on its way.
        const wait = this.#pending.get(namespace)?.get(filter);
        if (wait !== undefined) waits.add(wait);
      }
    }
    if (items.length > 0 || shares.length > 0) waits.add(this.#announce(namespace, items, shares));
    return [...waits];
  }

  #announce(namespace: Namespace, items: InterestItem[], shares: ShareItem[]): Promise<void> {
    const pending = this.#pending.get(namespace) ?? new Map<string, Promise<void>>();
    this.#pending.set(namespace, pending);
    const done = this.#mesh.announce(namespace.name, items, shares).finally(() => {
      for (const [filter] of items) if (pending.get(filter) === done) pending.delete(filter);
    });
    for (const [filter] of items) pending.set(filter, done);
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
      known?.leave(session);
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
        namespace.group(subscription.filter, subscription.group).join(session, subscription);
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
