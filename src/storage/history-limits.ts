/** How much of a history is kept, and how much of it one answer has. Pure. */

import type { HistoryLimits, HistoryRow } from './contract.ts';

/** Rows after which a page takes no further revision. */
export const HISTORY_ROWS_MAX = 2_000;

/** The first of these revisions that make a page. @param revisions newest first, with their numbers of rows */
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
 * The revision up to which only the newest row of each endpoint is kept: that of the oldest row within `keep`, which so stays, unless rows up
 * to there are too young. @param rows oldest first, all that there are
 */
export function floorOf(rows: readonly Pick<HistoryRow, 'revision' | 'at'>[], { keep, since, waiting }: HistoryLimits): number {
  const oldestKept = keep === 0 ? undefined : rows[rows.length - keep];
  const newest = rows.at(-1)?.revision ?? 0;
  const byCount = keep === 0 ? newest : (oldestKept?.revision ?? 0);
  const young = rows.find(({ at }) => at >= since);
  return Math.min(byCount, young === undefined ? newest : young.revision - 1, waiting - 1);
}

/** Rows without those up to the floor that a newer one up to there has replaced, and without the traces of endpoints that are gone. */
export function keptRows(rows: readonly HistoryRow[], floor: number): HistoryRow[] {
  const newest = new Map<string, HistoryRow>();
  for (const row of rows) if (row.revision <= floor) newest.set(row.id, row);
  return rows.filter((row) => row.revision > floor || (newest.get(row.id) === row && (row.after !== null || row.revision === floor)));
}

/** Rows of each revision, in their order. */
export function byRevision(rows: readonly HistoryRow[]): Map<number, HistoryRow[]> {
  const groups = new Map<number, HistoryRow[]>();
  for (const row of rows) {
    const group = groups.get(row.revision);
    if (group === undefined) groups.set(row.revision, [row]);
    else group.push(row);
  }
  return groups;
}
