/** Limits of a history: the rows that the store keeps, and the rows of one answer. Pure. */

import type { HistoryLimits, HistoryRow } from './endpoint-store.ts';

/** Rows after which a page takes no further revision. */
export const HISTORY_ROWS_MAX = 2_000;

/** The leading revisions that make up one page. @param revisions newest first, with their numbers of rows */
export function pageOf(revisions: readonly { revision: number; count: number }[]): number[] {
  const page: number[] = [];
  let rows = 0;
  for (const { revision, count } of revisions) {
    rows += count;
    if (page.length > 0 && rows > HISTORY_ROWS_MAX) break;
    page.push(revision);
  }
  return page;
}

/**
 * The floor: up to this revision only the newest row of each endpoint stays. The floor is the revision of the oldest of the newest `keep`
 * rows, and lower when rows up to there are too young or wait for a confirmation. @param rows oldest first, the whole history
 */
export function floorOf(rows: readonly Pick<HistoryRow, 'revision' | 'at'>[], { keep, since, waiting }: HistoryLimits): number {
  const oldestKept = keep === 0 ? undefined : rows[rows.length - keep];
  const newest = rows.at(-1)?.revision ?? 0;
  const byCount = keep === 0 ? newest : (oldestKept?.revision ?? 0);
  const young = rows.find(({ at }) => at >= since);
  return Math.min(byCount, young === undefined ? newest : young.revision - 1, waiting - 1);
}

/**
 * The rows after a compaction: all above the floor, and the newest one of each endpoint up to it. A removal stays only at the floor itself.
 */
export function keptRows(rows: readonly HistoryRow[], floor: number): HistoryRow[] {
  const newest = new Map<string, HistoryRow>();
  for (const row of rows) if (row.revision <= floor) newest.set(row.id, row);
  return rows.filter((row) => row.revision > floor || (newest.get(row.id) === row && (row.after !== null || row.revision === floor)));
}

/** Rows grouped by revision; both keep their order. */
export function byRevision(rows: readonly HistoryRow[]): Map<number, HistoryRow[]> {
  const groups = new Map<number, HistoryRow[]>();
  for (const row of rows) {
    const group = groups.get(row.revision);
    if (group === undefined) groups.set(row.revision, [row]);
    else group.push(row);
  }
  return groups;
}
