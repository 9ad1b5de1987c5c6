/** One namespace in one worker: its subscriptions, the interest of the peers, and the cache of topic entries. */

import { SmallMap } from '../../../src/kernel/small-map.ts';
import { INTEREST, type Peer } from './peer.ts';
import { NO_MEMBERS, ShareGroup, type ShareItem } from './share-group.ts';
import type { Subscriber, Subscription } from './subscriber.ts';
import { isWildcard, SubscriptionTree } from './subscription-tree.ts';
import { makeTarget, type Target, TopicEntry } from './topic-entry.ts';

/** Entries in the cache. A full cache is dropped whole: an LRU list costs more than the rare refill. */
const ENTRIES_MAX = 100_000;
/** Characters of all topics in the cache. A client may make a topic 65,535 long. */
const ENTRY_CHARACTERS_MAX = 16 * 1024 * 1024;

/** Entries that are checked at once when a wildcard filter loses a subscriber. */
const FORGOTTEN_AT_ONCE = 8;

/** Everything subscribed on one filter. Most filters have one subscriber or one peer, and nothing else. */
class FilterNode {
  subscribers: SmallMap<Subscriber, Subscription> | null = null;
  /** peer → INTEREST flags */
  peers: SmallMap<Peer, number> | null = null;
  groups: SmallMap<string, ShareGroup> | null = null;

  get isEmpty(): boolean {
    return sizeOf(this.subscribers) + sizeOf(this.peers) + sizeOf(this.groups) === 0;
  }
}

function sizeOf(map: { readonly size: number } | null): number {
  return map === null ? 0 : map.size;
}

/** Up to this number of subscribers a list is searched faster than a map. */
const LISTED_MAX = 16;

/** The subscribers of a topic, each with its matching subscriptions. */
class Matches {
  readonly #subscribers: Subscriber[] = [];
  readonly #subscriptions: Subscription[][] = [];
  /** subscriber → place; null while there are few */
  #places: Map<Subscriber, number> | null = null;

  readonly add = (subscription: Subscription, subscriber: Subscriber): void => {
    const place = this.#placeOf(subscriber);
    if (place >= 0) {
      this.#subscriptions[place]!.push(subscription);
      return;
    }
    const next = this.#subscribers.push(subscriber) - 1;
    this.#subscriptions.push([subscription]);
    if (this.#places !== null) this.#places.set(subscriber, next);
    else if (next === LISTED_MAX) this.#places = new Map(this.#subscribers.map((each, at) => [each, at]));
  };

  #placeOf(subscriber: Subscriber): number {
    return this.#places === null ? this.#subscribers.indexOf(subscriber) : (this.#places.get(subscriber) ?? -1);
  }

  targets(): Target[] {
    return this.#subscribers.map((subscriber, at) => makeTarget(subscriber, this.#subscriptions[at]!));
  }
}

export class Namespace {
  readonly name: string;
  readonly #tree = new SubscriptionTree<FilterNode>();
  readonly #entries = new Map<string, TopicEntry>();
  #entryCharacters = 0;
  /** the entries that #forgetSome() checks next; null: it begins anew */
  #hand: Iterator<TopicEntry, undefined> | null = null;
  /** incremented when a wildcard filter changes; an exact filter marks its own entry stale only */
  #version = 0;

  constructor(name: string) {
    this.name = name;
  }

  /** The current entry of a topic name. On the first use of `topic` the caller has checked that it is a valid topic name. */
  entry(topic: string): TopicEntry {
    let entry = this.#entries.get(topic);
    if (entry === undefined) {
      this.#entryCharacters += topic.length;
      if (this.#entries.size >= ENTRIES_MAX || this.#entryCharacters > ENTRY_CHARACTERS_MAX) {
        this.#entries.clear();
        this.#entryCharacters = topic.length;
        // An exact filter no longer finds entries that callers still hold: mark all of them stale now.
        this.#version++;
      }
      entry = new TopicEntry(topic);
      this.#entries.set(topic, entry);
    }
    if (entry.version !== this.#version) this.#compute(entry);
    return entry;
  }

  /** The current entry of a topic seen before. On undefined check the topic name, then call entry(). */
  known(topic: string): TopicEntry | undefined {
    const entry = this.#entries.get(topic);
    if (entry !== undefined && entry.version !== this.#version) this.#compute(entry);
    return entry;
  }

  /** False when a subscription that may match the topic has changed: the caller must get the entry anew. */
  isCurrent(entry: TopicEntry): boolean {
    return entry.version === this.#version;
  }

  #compute(entry: TopicEntry): void {
    const nodes: FilterNode[] = [];
    this.#tree.match(entry.topic, nodes);
    const matches = new Matches();
    const peers: { peer: Peer; flags: number }[] = [];
    const groups: ShareGroup[] = [];
    for (let i = 0; i < nodes.length; i++) {
      const node = nodes[i]!;
      node.subscribers?.forEach(matches.add);
      node.peers?.forEach((flags, peer) => {
        if (!peer.isKnown) return;
        const known = peers.find((each) => each.peer === peer);
        if (known === undefined) peers.push({ peer, flags });
        else known.flags |= flags;
      });
      node.groups?.forEach((group) => {
        groups.push(group);
      });
    }
    entry.targets = matches.targets();
    entry.groups = groups;
    entry.peers = peers;
    entry.wantsStore = peers.some(({ flags }) => (flags & INTEREST.durable) !== 0);
    entry.version = this.#version;
  }

  #changed(filter: string): void {
    if (isWildcard(filter)) {
      this.#version++;
      return;
    }
    const entry = this.#entries.get(filter);
    if (entry !== undefined) entry.version = -1;
  }

  /** Like #changed(), when a subscriber has left: no entry may keep a reference to the subscriber. */
  #lost(filter: string): void {
    if (isWildcard(filter)) {
      this.#version++;
      this.#forgetSome();
    } else this.#entries.get(filter)?.forget();
  }

  /** Any entry may hold the subscriber that a wildcard filter has lost. Each loss checks some entries, so that unused entries are found in turn. */
  #forgetSome(): void {
    this.#hand ??= this.#entries.values();
    for (let count = 0; count < FORGOTTEN_AT_ONCE; count++) {
      const { done, value } = this.#hand.next();
      if (done === true) {
        this.#hand = null;
        return;
      }
      if (value.version !== this.#version) value.forget();
    }
  }

  #node(filter: string): FilterNode {
    let node = this.#tree.get(filter);
    if (node === undefined) {
      node = new FilterNode();
      this.#tree.set(filter, node);
    }
    return node;
  }

  #dropIfEmpty(filter: string, node: FilterNode): void {
    if (node.isEmpty) this.#tree.delete(filter);
  }

  /** Adds or replaces an ordinary subscription. @returns true when it is this worker's first on the filter */
  subscribe(subscriber: Subscriber, subscription: Subscription): boolean {
    const node = this.#node(subscription.filter);
    node.subscribers ??= new SmallMap();
    const isFirst = node.subscribers.size === 0;
    node.subscribers.set(subscriber, subscription);
    this.#changed(subscription.filter);
    return isFirst;
  }

  /** @returns true when it was this worker's last on the filter */
  unsubscribe(subscriber: Subscriber, filter: string): boolean {
    const node = this.#tree.get(filter);
    if (!node?.subscribers?.delete(subscriber)) return false;
    this.#lost(filter);
    this.#dropIfEmpty(filter, node);
    return node.subscribers.size === 0;
  }

  hasSubscribers(filter: string): boolean {
    return (this.#tree.get(filter)?.subscribers?.size ?? 0) > 0;
  }

  /** Sets the interest of a peer in a filter; 0 retracts it. */
  setInterest(peer: Peer, filter: string, flags: number): void {
    const node = flags === 0 ? this.#tree.get(filter) : this.#node(filter);
    if (node === undefined) return;
    if (flags === 0) {
      node.peers?.delete(peer);
      this.#lost(filter);
      this.#dropIfEmpty(filter, node);
      return;
    }
    node.peers ??= new SmallMap();
    node.peers.set(peer, flags);
    this.#changed(filter);
  }

  /** The group of a filter; made on first use. */
  group(filter: string, name: string): ShareGroup {
    const node = this.#node(filter);
    node.groups ??= new SmallMap();
    let group = node.groups.get(name);
    if (group === undefined) {
      group = new ShareGroup(this.name, filter, name);
      node.groups.set(name, group);
      this.#changed(filter);
    }
    return group;
  }

  findGroup(filter: string, name: string): ShareGroup | undefined {
    return this.#tree.get(filter)?.groups?.get(name);
  }

  /** Removes a group without members. */
  dropGroupIfEmpty(group: ShareGroup): void {
    if (!group.isEmpty) return;
    const node = this.#tree.get(group.filter);
    if (node === undefined) return;
    node.groups?.delete(group.name);
    this.#lost(group.filter);
    this.#dropIfEmpty(group.filter, node);
  }

  /** A peer has become known, or is no longer known: every topic is looked up anew. */
  peersChanged(): void {
    this.#version++;
  }

  /** Forgets the interest of a peer that is no longer known, filter by filter. Nothing is routed to the peer between two filters. */
  *forget(peer: Peer): IterableIterator<string> {
    for (const [filter, node] of this.#tree.entries()) {
      node.peers?.delete(peer);
      for (const name of node.groups?.keys() ?? []) {
        const group = node.groups!.get(name)!;
        if (!group.remote.has(peer)) continue;
        group.setRemote(peer, NO_MEMBERS);
        this.dropGroupIfEmpty(group);
      }
      this.#dropIfEmpty(filter, node);
      yield filter;
    }
  }

  /** The interest of all peers in a filter: INTEREST flags, and their members of its groups. */
  interestOf(filter: string): { flags: number; shares: ShareItem[] } {
    const node = this.#tree.get(filter);
    let flags = 0;
    node?.peers?.forEach((each) => {
      flags |= each;
    });
    const shares: ShareItem[] = [];
    node?.groups?.forEach((group) => {
      const { connected, away, durable } = group.remoteCount();
      shares.push([filter, group.name, connected, away, durable]);
    });
    return { flags, shares };
  }

  /** Filters with subscribers here, and groups with members here: the interest that a new peer gets. */
  *localFilters(): IterableIterator<{ filter: string; hasSubscribers: boolean; groups: ShareGroup[] }> {
    for (const [filter, node] of this.#tree.entries()) {
      const groups: ShareGroup[] = [];
      node.groups?.forEach((group) => {
        if (group.localSize > 0) groups.push(group);
      });
      const hasSubscribers = sizeOf(node.subscribers) > 0;
      if (hasSubscribers || groups.length > 0) yield { filter, hasSubscribers, groups };
    }
  }

  /** Subscribers on exactly this filter. */
  subscribersOf(filter: string): readonly Subscriber[] {
    return this.#tree.get(filter)?.subscribers?.keys() ?? [];
  }
}
