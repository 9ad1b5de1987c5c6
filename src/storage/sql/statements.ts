/** The SQL of the database stores, in the subset that Postgres, MySQL and MariaDB share. */

import type { SqlValue } from '../../database/connection.ts';
import type { HistoryRow, PendingConfirm, RowPlace, StoredEndpoint } from '../endpoint-store.ts';
import { type HistoryRecord, type Statement, toBody, toRecords } from '../history-sql.ts';

/**
 * Largest number of rows in one INSERT, and the characters after which no further row is added: a server limits the size of a statement.
 */
const ROWS_MAX = 200;
const CHARACTERS_MAX = 1_000_000;

type Mark = (n: number) => string;

/** Locks the one row that every writer locks first: it serializes the commits of all nodes. */
export const LOCK_STATE = 'SELECT revision FROM fluxmq_state WHERE one = 1 FOR UPDATE';
export const READ_STATE = 'SELECT revision FROM fluxmq_state WHERE one = 1';
export const READ_ENDPOINTS = 'SELECT id, revision, body FROM fluxmq_endpoint ORDER BY port';
export const READ_FLOOR = 'SELECT floor FROM fluxmq_compaction WHERE one = 1';
export const READ_COMPACTION = 'SELECT floor, owner, until_ms FROM fluxmq_compaction WHERE one = 1 FOR UPDATE';
export const COUNT_HISTORY = 'SELECT count(*) AS count FROM fluxmq_history';
export const READ_PENDING = 'SELECT revision, until_ms FROM fluxmq_pending WHERE settled IS NULL ORDER BY revision';

export interface WriteStatement {
  sql: string;
  values: SqlValue[];
}

/** Selects the endpoints that a commit can collide with: those with these ids or on these ports. @param ids at least one */
export function selectConcerned(ids: readonly string[], ports: readonly number[], mark: Mark): Statement {
  const values = [...ids, ...ports];
  const marks = values.map((_, index) => mark(index + 1));
  const onPorts = ports.length === 0 ? '' : ` OR port IN (${marks.slice(ids.length).join(', ')})`;
  const sql = `SELECT id, revision, body FROM fluxmq_endpoint WHERE id IN (${marks.slice(0, ids.length).join(', ')})${onPorts}`;
  return { sql, values };
}

export function deleteEndpoints(ids: readonly string[], mark: Mark): WriteStatement {
  return { sql: `DELETE FROM fluxmq_endpoint WHERE id IN (${ids.map((_, index) => mark(index + 1)).join(', ')})`, values: [...ids] };
}

export function insertEndpoints(list: readonly StoredEndpoint[], mark: Mark): Generator<WriteStatement> {
  const rows = list.map(({ endpoint, revision }) => [endpoint.id, endpoint.port, revision, toBody(endpoint)]);
  return insertRows('fluxmq_endpoint', ['id', 'port', 'revision', 'body'], rows, mark);
}

const HISTORY_COLUMNS: (keyof HistoryRecord)[] = [
  'revision',
  'seq',
  'at',
  'action',
  'actor',
  'source',
  'node',
  'request_id',
  'reason',
  'id',
  'port',
  'old_port',
  'old_body',
  'new_body',
];

/** @param commitId the mark by which the outcome of the commit is found @param last see toRecords() */
export function insertHistory(rows: readonly HistoryRow[], commitId: string, mark: Mark, last?: RowPlace): Generator<WriteStatement> {
  const toValues = (record: HistoryRecord) => [...HISTORY_COLUMNS.map((column) => record[column]), commitId];
  return insertRows('fluxmq_history', [...HISTORY_COLUMNS, 'commit_id'], mapped(toRecords(rows, last), toValues), mark);
}

export function updateCompaction(floor: number, owner: string | null, untilMs: number, mark: Mark): WriteStatement {
  const sql = `UPDATE fluxmq_compaction SET floor = ${mark(1)}, owner = ${mark(2)}, until_ms = ${mark(3)} WHERE one = 1`;
  return { sql, values: [floor, owner, untilMs] };
}

export function updateState(revision: number, mark: Mark): WriteStatement {
  return { sql: `UPDATE fluxmq_state SET revision = ${mark(1)} WHERE one = 1`, values: [revision] };
}

export function insertPending(list: readonly PendingConfirm[], mark: Mark): Generator<WriteStatement> {
  const rows = list.map(({ revision, until }) => [revision, until]);
  return insertRows('fluxmq_pending', ['revision', 'until_ms'], rows, mark);
}

function* mapped<T, U>(items: Iterable<T>, map: (item: T) => U): Generator<U> {
  for (const item of items) yield map(item);
}

/** Selects the endpoints right after a revision. */
export function selectAt(mark: Mark): string {
  return `SELECT h.id, h.revision, h.new_body AS body FROM fluxmq_history h
    JOIN (SELECT id, max(revision) AS revision FROM fluxmq_history WHERE revision <= ${mark(1)} GROUP BY id) newest
      ON newest.id = h.id AND newest.revision = h.revision
    WHERE h.new_body IS NOT NULL ORDER BY h.port`;
}

/** Yields INSERTs of a bounded size, each built on demand. @param mark the n-th placeholder of a statement */
export function* insertRows(table: string, columns: readonly string[], rows: Iterable<SqlValue[]>, mark: Mark): Generator<WriteStatement> {
  let values: SqlValue[] = [];
  let size = 0;
  const flush = (): WriteStatement => {
    const groups: string[] = [];
    for (let first = 1; first <= values.length; first += columns.length) {
      groups.push(`(${columns.map((_, index) => mark(first + index)).join(', ')})`);
    }
    const statement = { sql: `INSERT INTO ${table} (${columns.join(', ')}) VALUES ${groups.join(', ')}`, values };
    [values, size] = [[], 0];
    return statement;
  };
  for (const row of rows) {
    for (const value of row) size += typeof value === 'string' ? value.length : 8;
    values.push(...row);
    if (values.length >= ROWS_MAX * columns.length || size >= CHARACTERS_MAX) yield flush();
  }
  if (values.length > 0) yield flush();
}
