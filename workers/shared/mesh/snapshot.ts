/** This worker's interest for a peer that joins, in pieces of bounded size. */

import type { Namespace } from '../routing/namespace.ts';
import type { InterestNews } from '../wire/controls.ts';
import { PIECE_LENGTH } from '../wire/piece.ts';

/** Filters and groups of one piece: the peer applies a piece within milliseconds. */
const PIECE_ITEMS = 500;

export interface InterestPiece {
  news: InterestNews;
  /** true when the filters are so long that the piece is posted alone */
  isLong: boolean;
}

/** News without content, to be filled. */
export function noNews(namespace: string): InterestNews {
  return { namespace, filters: [], flags: [], shares: [] };
}

/**
 * Goes over the filters as they are when their piece is made. The caller must send changes to the peer between two pieces: a new filter may
 * be missing here, and a removed filter may have been in an earlier piece.
 */
export function* interestPieces(
  namespaces: Iterable<Namespace>,
  flagsOf: (namespace: Namespace, filter: string) => number,
): IterableIterator<InterestPiece> {
  for (const namespace of namespaces) {
    let news = noNews(namespace.name);
    let length = 0;
    for (const { filter, hasSubscribers, groups } of namespace.localFilters()) {
      if (hasSubscribers) {
        news.filters.push(filter);
        news.flags.push(flagsOf(namespace, filter));
      }
      for (const group of groups) {
        const { connected, away, durable } = group.localCount();
        news.shares.push([filter, group.name, connected, away, durable]);
      }
      length += filter.length * Math.max(1, groups.length);
      if (length < PIECE_LENGTH && news.filters.length + news.shares.length < PIECE_ITEMS) continue;
      yield { news, isLong: length >= PIECE_LENGTH };
      news = noNews(namespace.name);
      length = 0;
    }
    if (news.filters.length + news.shares.length > 0) yield { news, isLong: false };
  }
}
