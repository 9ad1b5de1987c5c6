/** The filter of a history query, for stores that keep history rows as objects. */

import type { HistoryQuery, HistoryRow } from './endpoint-store.ts';

/** True when the row matches the query; ignores `limit`. */
export function matches(row: HistoryRow, query: HistoryQuery): boolean {
  const { port, id, actor, since = -Infinity, until = Infinity, before = Infinity } = query;
  if (row.revision >= before || row.at < since || row.at >= until) return false;
  if (id !== undefined && row.id !== id) return false;
  if (actor !== undefined && row.actor !== actor) return false;
  return port === undefined || row.port === port || row.before?.port === port;
}
