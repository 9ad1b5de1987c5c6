/** The interest of other nodes, and the part that the workers of this node know. */

import type { InterestPiece } from '../shared/mesh/snapshot.ts';
import { Namespace } from '../shared/routing/namespace.ts';
import { type MemberCount, NO_MEMBERS, type ShareGroup } from '../shared/routing/share-group.ts';
import type { InterestNews } from '../shared/wire/controls.ts';
import { InterestSum } from './interest/interest-sum.ts';
import type { RemoteNode } from './remote-node.ts';

/** namespace → filters, and groups as filter + NUL + name */
type Seen = Map<string, Set<string>>;

export class RemoteInterest {
  readonly #namespaces = new Map<string, Namespace>();
  readonly #sum = new InterestSum(false);
  readonly #announce: (news: InterestNews) => Promise<void>;
  /** filters and groups of each node */
  readonly #of = new Map<RemoteNode, Seen>();
  /** the part of its whole interest that a node has named so far */
  readonly #fresh = new Map<RemoteNode, Seen>();
  /** nodes that are down → their groups' members as the node announced them; they count as offline members, which come last */
  readonly #away = new Map<RemoteNode, Map<ShareGroup, MemberCount>>();
  #last: Promise<void> = Promise.resolve();

  /** @param announce tells the workers; resolves when they know */
  constructor(announce: (news: InterestNews) => Promise<void>) {
    this.#announce = announce;
  }

  /** Filters and groups that other nodes want. */
  get size(): number {
    return this.#sum.size;
  }

  /** Filters and groups of a node. */
  sizeOf(node: RemoteNode): number {
    let size = 0;
    for (const each of this.#of.get(node)?.values() ?? []) size += each.size;
    return size;
  }

  namespace(name: string): Namespace {
    let namespace = this.#namespaces.get(name);
    if (namespace === undefined) {
      namespace = new Namespace(name);
      this.#namespaces.set(name, namespace);
    }
    return namespace;
  }

  /** The interest that a joining worker gets. */
  pieces(): IterableIterator<InterestPiece> {
    return this.#sum.pieces();
  }

  /** The whole interest of the node follows. */
  begin(node: RemoteNode): void {
    this.#fresh.set(node, new Map());
  }

  /** @returns resolves when the workers know */
  apply(node: RemoteNode, news: readonly InterestNews[]): Promise<void> {
    for (const each of news) this.#applyTo(node, this.namespace(each.namespace), each);
    return this.#last;
  }

  #applyTo(node: RemoteNode, namespace: Namespace, { filters, flags, shares }: InterestNews): void {
    const own = seenOf(this.#of, node, namespace.name);
    const fresh = this.#fresh.has(node) ? seenOf(this.#fresh, node, namespace.name) : null;
    const touched: string[] = [...filters];
    for (let i = 0; i < filters.length; i++) {
      const filter = filters[i]!;
      namespace.setInterest(node, filter, flags[i]!);
      note(own, fresh, filter, flags[i]! !== 0);
    }
    for (const [filter, name, connected, away, durable] of shares) {
      const group = namespace.group(filter, name);
      this.#setMembers(node, group, { connected, away, durable });
      note(own, fresh, group.id, group.remote.has(node));
      namespace.dropGroupIfEmpty(group);
      touched.push(filter);
    }
    this.#tell(namespace, touched);
  }

  #setMembers(node: RemoteNode, group: ShareGroup, count: MemberCount): void {
    const announced = this.#away.get(node);
    if (announced === undefined) group.setRemote(node, count);
    else {
      announced.set(group, count);
      group.setRemote(node, offline(count));
    }
  }

  /** The node is down, or up again with its whole interest known. While it is down, members of shared groups elsewhere come before its own. */
  setAway(node: RemoteNode, isAway: boolean): void {
    if (this.#away.has(node) === isAway) return;
    const announced = this.#away.get(node) ?? new Map<ShareGroup, MemberCount>();
    if (isAway) this.#away.set(node, announced);
    else this.#away.delete(node);
    for (const [name, keys] of this.#of.get(node) ?? []) {
      const namespace = this.namespace(name);
      const touched: string[] = [];
      for (const key of keys) {
        const [filter = key, id] = key.split('\0', 2);
        const group = id === undefined ? undefined : namespace.findGroup(filter, id);
        const count = group?.remote.get(node);
        if (group === undefined || count === undefined) continue;
        touched.push(filter);
        if (isAway) this.#setMembers(node, group, count);
        else group.setRemote(node, announced.get(group) ?? count);
      }
      this.#tell(namespace, touched);
    }
  }

  #tell(namespace: Namespace, filters: Iterable<string>): void {
    const changes = this.#sum.changes(namespace, filters);
    if (changes !== null) this.#last = Promise.all([this.#last, this.#announce(changes)]).then(() => undefined);
  }

  /** The node has named its whole interest. @returns as apply() */
  end(node: RemoteNode): Promise<void> {
    const fresh = this.#fresh.get(node);
    this.#fresh.delete(node);
    if (fresh !== undefined) this.#retract(node, fresh);
    return this.#last;
  }

  /** The node wants nothing any more. */
  forget(node: RemoteNode): void {
    this.#fresh.delete(node);
    this.#retract(node, new Map());
    this.#of.delete(node);
    this.#away.delete(node);
  }

  #retract(node: RemoteNode, kept: Seen): void {
    for (const [name, keys] of this.#of.get(node) ?? []) {
      const stays = kept.get(name);
      const namespace = this.namespace(name);
      const touched: string[] = [];
      for (const key of keys) {
        if (stays?.has(key)) continue;
        keys.delete(key);
        const [filter = key, group] = key.split('\0', 2);
        touched.push(filter);
        if (group === undefined) namespace.setInterest(node, filter, 0);
        else {
          const known = namespace.findGroup(filter, group);
          if (known === undefined) continue;
          this.#setMembers(node, known, NO_MEMBERS);
          namespace.dropGroupIfEmpty(known);
        }
      }
      this.#tell(namespace, touched);
    }
  }
}

function offline({ connected, away, durable }: MemberCount): MemberCount {
  return { connected: 0, away: connected + away, durable };
}

function seenOf(all: Map<RemoteNode, Seen>, node: RemoteNode, namespace: string): Set<string> {
  let seen = all.get(node);
  if (seen === undefined) {
    seen = new Map();
    all.set(node, seen);
  }
  let keys = seen.get(namespace);
  if (keys === undefined) {
    keys = new Set();
    seen.set(namespace, keys);
  }
  return keys;
}

function note(own: Set<string>, fresh: Set<string> | null, key: string, isWanted: boolean): void {
  if (isWanted) {
    own.add(key);
    fresh?.add(key);
  } else {
    own.delete(key);
    fresh?.delete(key);
  }
}
