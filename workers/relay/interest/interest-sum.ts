/** The summed interest of several peers, as one side of the relay announces it to the other: workers to nodes, and the reverse. */

import { noNews } from '../../shared/mesh/mesh.ts';
import type { InterestPiece } from '../../shared/mesh/snapshot.ts';
import type { Namespace } from '../../shared/routing/namespace.ts';
import { INTEREST } from '../../shared/routing/peer.ts';
import type { ShareItem } from '../../shared/routing/share-group.ts';
import type { InterestNews } from '../../shared/wire/controls.ts';
import { PIECE_LENGTH } from '../../shared/wire/piece.ts';

const PIECE_ITEMS = 500;

interface Told {
  /** filter → INTEREST flags */
  readonly flags: Map<string, number>;
  /** filter → group → members */
  readonly shares: Map<string, Map<string, ShareItem>>;
}

/** True for the topics of a node's own statistics, which concern that node alone. */
export function isOfNode(filter: string): boolean {
  return filter.startsWith('$SYS/') || filter === '$SYS';
}

export class InterestSum {
  readonly #told = new Map<string, Told>();
  readonly #isForNodes: boolean;

  /**
   * @param isForNodes true when the sum goes to other nodes. This node's workers need no flag for durable sessions elsewhere: the relay waits
   */
  constructor(isForNodes: boolean) {
    this.#isForNodes = isForNodes;
  }

  /** Filters without groups, and groups, that the other side knows. */
  get size(): number {
    let size = 0;
    for (const { flags, shares } of this.#told.values()) {
      size += flags.size;
      for (const groups of shares.values()) size += groups.size;
    }
    return size;
  }

  /** The changes of these filters since the last announcement; they count as announced. Null: no change */
  changes(namespace: Namespace, filters: Iterable<string>): InterestNews | null {
    const news = noNews(namespace.name);
    for (const filter of new Set(filters)) if (!isOfNode(filter)) this.#compare(news, namespace, filter);
    return news.filters.length + news.shares.length > 0 ? news : null;
  }

  #compare(news: InterestNews, namespace: Namespace, filter: string): void {
    const told = this.#toldOf(namespace.name);
    const { flags: all, shares } = namespace.interestOf(filter);
    const flags = this.#isForNodes ? all : withoutStore(all);
    if ((told.flags.get(filter) ?? 0) !== flags) {
      news.filters.push(filter);
      news.flags.push(flags);
      if (flags === 0) told.flags.delete(filter);
      else told.flags.set(filter, flags);
    }
    const known = told.shares.get(filter);
    if (shares.length === 0 && known === undefined) return;
    const now = new Map<string, ShareItem>();
    for (const [, group, connected, away, durable] of shares) {
      const item: ShareItem = [filter, group, connected, away, this.#isForNodes ? durable : 0];
      if (connected + away > 0) now.set(group, item);
    }
    for (const [group, item] of now) if (String(known?.get(group)) !== String(item)) news.shares.push(item);
    for (const group of known?.keys() ?? []) if (!now.has(group)) news.shares.push([filter, group, 0, 0, 0]);
    if (now.size === 0) told.shares.delete(filter);
    else told.shares.set(filter, now);
  }

  #toldOf(name: string): Told {
    let told = this.#told.get(name);
    if (told === undefined) {
      told = { flags: new Map(), shares: new Map() };
      this.#told.set(name, told);
    }
    return told;
  }

  /** Everything announced so far, for a peer that joins. */
  *pieces(): IterableIterator<InterestPiece> {
    for (const [name, { flags, shares }] of this.#told) {
      let news = noNews(name);
      let length = 0;
      for (const [filter, each] of flags) {
        news.filters.push(filter);
        news.flags.push(each);
        length += filter.length;
        if (length < PIECE_LENGTH && news.filters.length < PIECE_ITEMS) continue;
        yield { news, isLong: length >= PIECE_LENGTH };
        news = noNews(name);
        length = 0;
      }
      for (const groups of shares.values()) {
        news.shares.push(...groups.values());
        if (news.shares.length < PIECE_ITEMS) continue;
        yield { news, isLong: false };
        news = noNews(name);
      }
      if (news.filters.length + news.shares.length > 0) yield { news, isLong: false };
    }
  }
}

function withoutStore(flags: number): number {
  const queued = flags & INTEREST.durable ? INTEREST.queued : 0;
  return (flags & ~INTEREST.durable) | queued;
}
