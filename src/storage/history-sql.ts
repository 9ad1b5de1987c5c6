/** History rows in the SQL stores: the columns of a row, and the statements that find a page. */

import { completeEndpoint } from '../endpoint/defaults.ts';
import type { Endpoint } from '../endpoint/endpoint.ts';
import type { HistoryLimits, HistoryQuery, HistoryRow, RowPlace } from './endpoint-store.ts';

/** One row of the table; integers are numbers (below 2^53). */
export interface HistoryRecord {
  revision: number;
  seq: number;
  at: number;
  action: HistoryRow['action'];
  actor: string;
  source: HistoryRow['source'];
  node: string;
  request_id: string;
  reason: string | null;
  id: string;
  port: number;
  old_port: number | null;
  old_body: string | null;
  new_body: string | null;
}

/** The place before the first row: row 0 of the next revision follows. */
export const BEGINNING: RowPlace = { revision: 0, seq: -1 };

/**
 * Yields records one by one, because a whole history is large.
 * @param rows oldest first; `seq` is the position of a row in its commit, from 0
 * @param last the place of the row before them, which may belong to the same revision; toRecords advances it
 */
export function* toRecords(rows: readonly HistoryRow[], last: RowPlace = { ...BEGINNING }): Generator<HistoryRecord> {
  for (const row of rows) {
    last.seq = row.revision === last.revision ? last.seq + 1 : 0;
    last.revision = row.revision;
    yield toRecord(row, last.seq);
  }
}

function toRecord(row: HistoryRow, seq: number): HistoryRecord {
  const { revision, at, action, actor, source, node, requestId, reason, id, port, before, after } = row;
  const bodies = { old_port: before?.port ?? null, old_body: before && toBody(before), new_body: after && toBody(after) };
  return { revision, seq, at, action, actor, source, node, request_id: requestId, reason, id, port, ...bodies };
}

export function toHistoryRow(record: HistoryRecord): HistoryRow {
  const { revision, at, action, actor, source, node, request_id, reason, id, port, old_body, new_body } = record;
  const bodies = { before: old_body === null ? null : fromBody(old_body), after: new_body === null ? null : fromBody(new_body) };
  return { action, actor, source, node, requestId: request_id, reason, revision, at, id, port, ...bodies };
}

export function toBody(endpoint: Endpoint): string {
  return JSON.stringify(endpoint);
}

/** Reads an endpoint that this version or an older one wrote. */
export function fromBody(body: string): Endpoint {
  return completeEndpoint(JSON.parse(body));
}

/** The access path of a page: the filter that leaves the fewest rows. `span` finds the first and last revision of a time range. */
export type HistoryPath = 'id' | 'port' | 'old_port' | 'actor' | 'at' | 'span' | 'revision';

/** The table name and the placeholders of one database. */
export interface HistoryDialect {
  table: string;
  /** the placeholder of the n-th value, from 1 */
  mark(n: number): string;
  /** the index hint behind the table name, where the database chooses badly by itself; '' or absent: the database chooses */
  index?(by: HistoryPath): string;
  /** compares a text column exactly; each call of `place` adds the value as one more placeholder */
  sameText(column: string, place: () => string): string;
}

export interface Statement {
  sql: string;
  values: (string | number)[];
}

/**
 * Selects the revisions of one page with their numbers of rows. A page takes two steps: first its revisions, from an index, then their
 * rows. Each revision comes whole, because `before` cannot name the rest of a revision that is cut in two.
 */
export function selectRevisions(query: HistoryQuery, dialect: HistoryDialect): Statement {
  const values: (string | number)[] = [];
  const { port, limit } = query;
  const page = (by: HistoryPath, more: string | null) => {
    const where = [...(by === 'at' ? within(query, dialect, values) : []), filter(query, dialect, values, more)].join(' AND ');
    const from = `${dialect.table}${dialect.index?.(by) ?? ''}`;
    return `SELECT revision, count(*) AS count FROM ${from} WHERE ${where} GROUP BY revision ORDER BY revision DESC LIMIT ${limit}`;
  };
  if (port === undefined || query.id !== undefined) return { sql: page(pathOf(query), port === undefined ? null : 'either'), values };
  // Old and new port are searched apart, because no index serves an OR of the two. One revision has at most two rows of a port.
  const sides = (['port', 'old_port'] as const).map((side) => `SELECT revision FROM (${page(side, side)}) AS by_${side}`);
  return { sql: `SELECT revision, 1 AS count FROM (${sides.join(' UNION ')}) AS found ORDER BY revision DESC LIMIT ${limit}`, values };
}

/** The next rows behind a place, oldest first. */
export function selectNext({ revision, seq }: RowPlace, limit: number, { table, mark }: HistoryDialect): Statement {
  // In this form each database finds the first row in the primary key.
  const where = `revision >= ${mark(1)} AND (revision > ${mark(2)} OR seq > ${mark(3)})`;
  return { sql: `SELECT * FROM ${table} WHERE ${where} ORDER BY revision, seq LIMIT ${limit}`, values: [revision, revision, seq] };
}

/** Selects the revision of the oldest of the newest `keep` rows. @param keep at least 1 */
export function selectOldestKept(keep: number, { table, index }: HistoryDialect): Statement {
  const sql = `SELECT revision FROM ${table}${index?.('at') ?? ''} ORDER BY revision DESC, seq DESC LIMIT 1 OFFSET ${keep - 1}`;
  return { sql, values: [] };
}

/** Selects the revision of the first row between the floor and `below` that is too young to drop. */
export function selectYoung(floor: number, below: number, { since }: HistoryLimits, { table, mark, index }: HistoryDialect): Statement {
  const where = `revision > ${mark(1)} AND revision <= ${mark(2)} AND at >= ${mark(3)}`;
  const sql = `SELECT revision FROM ${table}${index?.('at') ?? ''} WHERE ${where} ORDER BY revision LIMIT 1`;
  return { sql, values: [floor, below, since] };
}

/** Selects rows up to the floor that are not the newest of an existing endpoint. A removal goes after all earlier rows of its endpoint. */
export function selectDropped(floor: number, limit: number, { table, mark }: HistoryDialect): Statement {
  const newer = `SELECT 1 FROM ${table} n WHERE n.id = h.id AND n.revision > h.revision AND n.revision <= ${mark(2)}`;
  const where = `h.revision <= ${mark(1)} AND (EXISTS (${newer}) OR (h.new_body IS NULL AND h.revision < ${mark(3)}))`;
  const sql = `SELECT h.revision, h.seq FROM ${table} h WHERE ${where} ORDER BY h.revision, h.seq LIMIT ${limit}`;
  return { sql, values: [floor, floor, floor] };
}

/** @param places at least one */
export function deleteRows(places: readonly RowPlace[], { table, mark }: HistoryDialect): Statement {
  const values = places.flatMap(({ revision, seq }) => [revision, seq]);
  const terms = places.map((_, index) => `(revision = ${mark(2 * index + 1)} AND seq = ${mark(2 * index + 2)})`);
  return { sql: `DELETE FROM ${table} WHERE ${terms.join(' OR ')}`, values };
}

function pathOf({ id, actor, since, until }: HistoryQuery): HistoryPath {
  if (id !== undefined) return 'id';
  if (actor !== undefined) return 'actor';
  return since !== undefined || until !== undefined ? 'at' : 'revision';
}

/**
 * Terms that bound the revisions of a time range. Clocks of nodes differ, so that the order of revisions is only nearly the order of their
 * times. Between two revisions the database still finds a page of the newest ones at once.
 */
function within(query: HistoryQuery, dialect: HistoryDialect, values: (string | number)[]): string[] {
  const { table, mark } = dialect;
  const bound = (compare: string, which: string) => {
    const terms = times(query, (value) => mark(values.push(value)));
    // + 0 keeps the database from scanning the primary key, whose newest revisions may all be outside of the range.
    return `revision ${compare} (SELECT ${which}(revision + 0) FROM ${table}${dialect.index?.('span') ?? ''} WHERE ${terms.join(' AND ')})`;
  };
  return [bound('>=', 'min'), bound('<=', 'max')];
}

function times({ since, until }: HistoryQuery, place: (value: number) => string, column = 'at'): string[] {
  const terms: string[] = [];
  if (since !== undefined) terms.push(`${column} >= ${place(since)}`);
  if (until !== undefined) terms.push(`${column} < ${place(until)}`);
  return terms;
}

/** Selects the rows of these revisions that match the query, newest first. @param revisions at least one */
export function selectRows(query: HistoryQuery, revisions: readonly number[], dialect: HistoryDialect): Statement {
  const values: (string | number)[] = [...revisions];
  const marks = revisions.map((_, index) => dialect.mark(index + 1)).join(', ');
  const where = filter(query, dialect, values, query.port === undefined ? null : 'either');
  return { sql: `SELECT * FROM ${dialect.table} WHERE revision IN (${marks}) AND ${where} ORDER BY revision DESC, seq DESC`, values };
}

/** @param values receives the values of the placeholders @param side the column that must equal `query.port`; null: no port term */
function filter(query: HistoryQuery, { mark, sameText }: HistoryDialect, values: (string | number)[], side: string | null): string {
  const place = (value: string | number) => mark(values.push(value));
  const { id, actor } = query;
  const port = query.port ?? 0;
  const terms = ['1 = 1'];
  if (query.before !== undefined) terms.push(`revision < ${place(query.before)}`);
  // + 0 keeps the database from the index of times: other filters leave fewer rows.
  terms.push(...times(query, place, 'at + 0'));
  if (id !== undefined) terms.push(sameText('id', () => place(id)));
  if (actor !== undefined) terms.push(sameText('actor', () => place(actor)));
  if (side === 'either') terms.push(`(port = ${place(port)} OR old_port = ${place(port)})`);
  else if (side !== null) terms.push(`${side} = ${place(port)}`);
  return terms.join(' AND ');
}
