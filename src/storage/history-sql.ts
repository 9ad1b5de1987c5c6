/** History rows as the SQL stores keep them: the form of a row, and how a page is found. */

import { completeEndpoint } from '../endpoint/defaults.ts';
import type { Endpoint } from '../endpoint/endpoint.ts';
import type { HistoryQuery, HistoryRow } from './contract.ts';

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

/** One by one, because a whole history is large. @param rows oldest first; their `seq` is their place in their commit, from 0 */
export function* toRecords(rows: readonly HistoryRow[]): Generator<HistoryRecord> {
  let last = { revision: 0, seq: 0 };
  for (const row of rows) {
    last = { revision: row.revision, seq: row.revision === last.revision ? last.seq + 1 : 0 };
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

/** An endpoint as it was written, by this version or an older one. */
export function fromBody(body: string): Endpoint {
  return completeEndpoint(JSON.parse(body));
}

/** What a page is found by: the filter that leaves the fewest rows. `span`: the first and the last revision of a time. */
export type HistoryPath = 'id' | 'port' | 'old_port' | 'actor' | 'at' | 'span' | 'revision';

/** The names of the table and of placeholders in one store. */
export interface HistoryDialect {
  table: string;
  /** the placeholder of the n-th value, from 1 */
  mark(n: number): string;
  /** behind the table's name: the index that a page is found by, where the database chooses badly by itself; '' or nothing: its own choice */
  index?(by: HistoryPath): string;
  /** compares a text column exactly; each `place` is the placeholder of the value once more */
  sameText(column: string, place: () => string): string;
}

export interface Statement {
  sql: string;
  values: (string | number)[];
}

/**
 * The revisions of one page. A page is found in two steps: first its revisions, in an index; then their rows, each revision whole, because
 * `before` could not name the rest of one that is cut in two.
 */
export function selectRevisions(query: HistoryQuery, dialect: HistoryDialect): Statement {
  const values: (string | number)[] = [];
  const { port, limit } = query;
  const page = (by: HistoryPath, more: string | null) => {
    const where = [...(by === 'at' ? within(query, dialect, values) : []), filter(query, dialect, values, more)].join(' AND ');
    return `SELECT revision, seq FROM ${dialect.table}${dialect.index?.(by) ?? ''} WHERE ${where} ORDER BY revision DESC, seq DESC LIMIT ${limit}`;
  };
  if (port === undefined || query.id !== undefined) return { sql: page(pathOf(query), port === undefined ? null : 'either'), values };
  // Whoever left the port, and whoever has it: an OR of the two would be found by no index.
  const sides = (['port', 'old_port'] as const).map((side) => `SELECT revision, seq FROM (${page(side, side)}) AS by_${side}`);
  return { sql: `SELECT revision FROM (${sides.join(' UNION ')}) AS found ORDER BY revision DESC, seq DESC LIMIT ${limit}`, values };
}

function pathOf({ id, actor, since, until }: HistoryQuery): HistoryPath {
  if (id !== undefined) return 'id';
  if (actor !== undefined) return 'actor';
  return since !== undefined || until !== undefined ? 'at' : 'revision';
}

/**
 * Between which revisions all of a time are. Clocks of nodes differ, so that revisions are not quite in the order of their times; but
 * nearly, and between two revisions a page of the newest ones is found at once.
 */
function within(query: HistoryQuery, dialect: HistoryDialect, values: (string | number)[]): string[] {
  const { table, mark } = dialect;
  const bound = (compare: string, which: string) => {
    const terms = times(query, (value) => mark(values.push(value)));
    // + 0: not by looking through the revisions, of which the newest may all be outside.
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

/** The rows of these revisions that the query asks for, newest first. @param revisions at least one */
export function selectRows(query: HistoryQuery, revisions: readonly number[], dialect: HistoryDialect): Statement {
  const values: (string | number)[] = [...revisions];
  const marks = revisions.map((_, index) => dialect.mark(index + 1)).join(', ');
  const where = filter(query, dialect, values, query.port === undefined ? null : 'either');
  return { sql: `SELECT * FROM ${dialect.table} WHERE revision IN (${marks}) AND ${where} ORDER BY revision DESC, seq DESC`, values };
}

/** @param values takes what the placeholders stand for @param side where `query.port` is looked for; null: nowhere */
function filter(query: HistoryQuery, { mark, sameText }: HistoryDialect, values: (string | number)[], side: string | null): string {
  const place = (value: string | number) => mark(values.push(value));
  const { id, actor } = query;
  const port = query.port ?? 0;
  const terms = ['1 = 1'];
  if (query.before !== undefined) terms.push(`revision < ${place(query.before)}`);
  // + 0: what leaves fewer rows is to be taken for the way to them.
  terms.push(...times(query, place, 'at + 0'));
  if (id !== undefined) terms.push(sameText('id', () => place(id)));
  if (actor !== undefined) terms.push(sameText('actor', () => place(actor)));
  if (side === 'either') terms.push(`(port = ${place(port)} OR old_port = ${place(port)})`);
  else if (side !== null) terms.push(`${side} = ${place(port)}`);
  return terms.join(' AND ');
}
