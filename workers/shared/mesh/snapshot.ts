/** What a peer that joins must know of this worker's interest, in pieces of bounded size. */

import type { Namespace } from '../routing/namespace.ts';
import type { InterestNews } from '../wire/controls.ts';

/** Filters and groups of one piece: the peer takes it in within milliseconds. */
const PIECE_ITEMS = 500;

/** News of which nothing is known yet. */
export function noNews(namespace: string): InterestNews {
  return { namespace, filters: [], flags: [], shares: [] };
}

/**
 * Goes over the filters as they are when their piece is made. What changes between two pieces has to reach the peer in between: a filter
 * that is new may be missing here, and one that is gone may have been in an earlier piece.
 */
export function* interestPieces(
  namespaces: Iterable<Namespace>,
  flagsOf: (namespace: Namespace, filter: string) => number,
): IterableIterator<InterestNews> {
  for (const namespace of namespaces) {
    let news = noNews(namespace.name);
    for (const { filter, hasSubscribers, groups } of namespace.localFilters()) {
      if (hasSubscribers) {
        news.filters.push(filter);
        news.flags.push(flagsOf(namespace, filter));
      }
      for (const group of groups) {
        const { connected, away, durable } = group.localCount();
        news.shares.push([filter, group.name, connected, away, durable]);
      }
      if (news.filters.length + news.shares.length < PIECE_ITEMS) continue;
      yield news;
      news = noNews(namespace.name);
    }
    if (news.filters.length + news.shares.length > 0) yield news;
  }
}
