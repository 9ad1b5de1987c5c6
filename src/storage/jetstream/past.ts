/** A whole history in the bucket: reads it in pages, restores it from a backup, and compacts it. */

import { wallNow } from '../../kernel/clock.ts';
import type { HistoryLimits, HistoryRow, Past, RowPage, RowPlace } from '../endpoint-store.ts';
import { byRevision, floorOf } from '../history-limits.ts';
import { Replay } from '../replay.ts';
import { ConflictError } from './bucket.ts';
import type { Compaction, RevisionLog } from './revision-log.ts';

/** Revisions that are read in one step of a page. */
const REVISIONS_AT_ONCE = 32;
/** Revisions that one step of a compaction drops, each with a request of its own. */
const DROPPED_AT_ONCE = 50;
/** How long a node that drops keys has for its next step before another node may take over; milliseconds. */
const LEASE_MS = 60_000;
/** Revisions that are read at once to learn the age of their rows. */
const AGES_AT_ONCE = 256;

/** See EndpointStore.rows. @throws FluxError `unavailable` */
export async function readRows(journal: RevisionLog, after: RowPlace, limit: number): Promise<RowPage> {
  const { head } = await journal.head();
  const { value } = await journal.compaction();
  if (head === null) return { rows: [], next: null, floor: 0 };
  const places: { row: HistoryRow; seq: number }[] = [];
  const add = (rows: readonly HistoryRow[]): void => {
    for (const [seq, row] of rows.entries())
      if (row.revision > after.revision || (row.revision === after.revision && seq > after.seq)) places.push({ row, seq });
  };
  if (after.revision <= value.floor) {
    const kept = byRevision(await journal.keptRows(head, value));
    for (const rows of kept.values()) add(rows);
  }
  let revision = Math.max(after.revision, value.floor + 1);
  for (; revision <= head.revision && places.length < limit; revision += REVISIONS_AT_ONCE) {
    const length = Math.min(REVISIONS_AT_ONCE, head.revision - revision + 1);
    for (const rows of await journal.rowsOf(
      head,
      Array.from({ length }, (_, index) => revision + index),
    ))
      add(rows);
  }
  const page = places.slice(0, limit);
  const last = page.at(-1);
  const isEnd = last === undefined || (page.length === places.length && revision > head.revision);
  const next = isEnd ? null : { revision: last.row.revision, seq: last.seq };
  return { rows: structuredClone(page.map(({ row }) => row)), next, floor: value.floor };
}

/** Writes everything but the newest revision, which goes into the head. @returns its rows @throws FluxError `invalid`, `unavailable` */
export async function adoptPast(journal: RevisionLog, past: Past): Promise<HistoryRow[]> {
  const replayed = new Replay(past.floor);
  const kept: Record<string, number> = Object.create(null);
  let group: HistoryRow[] = [];
  const flush = async (): Promise<void> => {
    const [first] = group;
    if (first !== undefined && first.revision < past.revision) await journal.adopt(group, replayed.content);
  };
  for await (const rows of past.pieces()) {
    for (const row of rows) {
      if (row.revision !== group[0]?.revision) {
        await flush();
        group = [];
      }
      replayed.add([row]);
      group.push(row);
      if (row.revision <= past.floor) kept[row.id] = row.revision;
    }
  }
  replayed.end(past.revision);
  const isNewest = group[0]?.revision === past.revision;
  if (!isNewest) await flush();
  const { entry } = await journal.compaction();
  const compaction: Compaction = { floor: past.floor, kept, cleared: past.floor, owner: '', until: 0 };
  if (past.floor > 0 || entry !== null) await journal.setCompaction(compaction, entry);
  return isNewest ? group : [];
}

/** See EndpointStore.compact. */
export async function compactSlice(journal: RevisionLog, limits: HistoryLimits, owner: string): Promise<boolean> {
  const { head } = await journal.head();
  const { value, entry } = await journal.compaction();
  if (head === null || head.revision === 0 || (value.owner !== owner && value.until > wallNow())) return false;
  // The newest revision is in the head.
  const floor = Math.min(head.revision - 1, Math.max(value.floor, await nextFloor(journal, value.floor, limits)));
  if (floor <= value.floor && value.cleared >= value.floor) return false;
  const content = await journal.contentAt(head, Math.max(floor, value.floor));
  const kept = Object.fromEntries([...content].map(([id, { revision }]) => [id, revision]));
  const keeps = new Set(Object.values(kept));
  const to = Math.min(floor, value.cleared + DROPPED_AT_ONCE);
  const goes = Array.from({ length: to - value.cleared }, (_, index) => value.cleared + 1 + index).filter((one) => !keeps.has(one));
  const stale = [...new Set(Object.values(value.kept))].filter((one) => one <= value.cleared && !keeps.has(one));
  const isMore = to < floor;
  try {
    // The new floor is stored before the keys are dropped, so that no reader asks for a dropped key.
    const lease = { owner: isMore ? owner : '', until: isMore ? wallNow() + LEASE_MS : 0 };
    await journal.setCompaction({ floor, kept, cleared: to, ...lease }, entry);
  } catch (error) {
    if (error instanceof ConflictError) return false;
    throw error;
  }
  await journal.drop([...stale, ...goes]);
  return isMore;
}

/** The highest revision beyond all limits. A process reads each revision only once, because a revision never changes. */
async function nextFloor(journal: RevisionLog, floor: number, limits: HistoryLimits): Promise<number> {
  const { head } = await journal.head();
  if (head === null) return 0;
  const { ages } = journal;
  for (const revision of ages.keys()) if (revision <= floor || revision > head.revision) ages.delete(revision);
  const unknown: number[] = [];
  for (let revision = floor + 1; revision <= head.revision; revision++) if (!ages.has(revision)) unknown.push(revision);
  for (let from = 0; from < unknown.length; from += AGES_AT_ONCE) {
    const some = unknown.slice(from, from + AGES_AT_ONCE);
    for (const rows of await journal.rowsOf(head, some)) {
      const [first] = rows;
      if (first !== undefined) ages.set(first.revision, { revision: first.revision, at: first.at, count: rows.length });
    }
  }
  const known = [...ages.values()].sort((a, b) => a.revision - b.revision);
  return floorOf(
    known.flatMap(({ revision, at, count }) => Array.from({ length: count }, () => ({ revision, at }))),
    limits,
  );
}
