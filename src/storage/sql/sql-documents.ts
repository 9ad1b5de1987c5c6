/** Documents in a database that several nodes share. */

import { randomUUID } from 'node:crypto';
import type { SqlConnection, SqlValue } from '../../database/connection.ts';
import { steadyNow, wallNow } from '../../kernel/clock.ts';
import type {
  DocumentChange,
  DocumentCommit,
  DocumentLimits,
  DocumentPage,
  DocumentRow,
  DocumentState,
  DocumentStep,
  DocumentStore,
} from '../documents/document-store.ts';
import { checkChanges, type DocumentVersion, documentFloor, documentName, judgeChange, needsVersion } from '../documents/judge-changes.ts';
import type { ChangeMeta, RowPlace } from '../endpoint-store.ts';
import { noSuchRevision } from '../replay.ts';
import type { SqlDialect } from './dialect.ts';
import { sendInTurns } from './send-in-turns.ts';
import type { SqlTransactions, Write } from './sql-transactions.ts';
import { insertRows, type WriteStatement } from './statements.ts';

/** Time limit of an operation, ms. */
const OPERATION_MS = 1_900;
/** Changes above which a commit gets more time. */
const LARGE_CHANGES = 20;
const TIME_PER_CHANGE_MS = 10;
const TIME_MS_MAX = 120_000;
/** Documents that one statement looks up. */
const LOOKED_UP_AT_ONCE = 200;
/** Versions that one step of a compaction looks at; it holds the lock of the state. */
const COMPACTED_AT_ONCE = 200;
/** Behind the last version of a revision: the largest value of the column. */
const SEQ_END = 2 ** 31 - 1;
const LOCK = 'SELECT revision FROM fluxmq_document_state WHERE one = 1 FOR UPDATE';

interface VersionRecord {
  kind: string;
  name: string;
  revision: number;
  is_live: number;
}

interface RowRecord {
  revision: number;
  seq: number;
  kind: string;
  name: string;
  body: string | null;
}

interface CommitRecord extends Omit<DocumentCommit, 'requestId'> {
  request_id: string;
}

export class SqlDocuments implements DocumentStore {
  readonly #transactions: SqlTransactions;
  readonly #mark: SqlDialect['mark'];
  readonly #isOneOf: (column: string, from: number, to: number) => string;
  /** the last version that a compaction of this process has looked at */
  #compacted: RowPlace = { revision: 0, seq: -1 };

  constructor(transactions: SqlTransactions, { mark }: SqlDialect) {
    this.#transactions = transactions;
    this.#mark = mark;
    this.#isOneOf = (column, from, to) => `${column} IN (${Array.from({ length: to - from }, (_, n) => mark(from + n)).join(', ')})`;
  }

  state(): Promise<DocumentState> {
    return this.#read(stateOf);
  }

  async commit(changes: readonly DocumentChange[], meta: ChangeMeta): Promise<number> {
    checkChanges(changes);
    const own = changes.map((change) => ({ ...change }));
    const commitId = randomUUID();
    const write: Write<number> = async (connection, last) => {
      await this.#judge(connection, own.filter(needsVersion));
      await sendInTurns(connection, this.#writes(own, meta, last + 1, commitId));
      return last + 1;
    };
    const find = async (connection: SqlConnection) => {
      const sql = `SELECT revision FROM fluxmq_document_commit WHERE commit_id = ${this.#mark(1)}`;
      return (await connection.query<{ revision: number }>(sql, [commitId]))[0]?.revision ?? null;
    };
    const more = own.length > LARGE_CHANGES ? own.length * TIME_PER_CHANGE_MS : 0;
    return this.#transactions.write(write, find, steadyNow() + Math.min(TIME_MS_MAX, OPERATION_MS + more), LOCK);
  }

  /** Compares the changes with the newest versions of their documents. */
  async #judge(connection: SqlConnection, changes: readonly DocumentChange[]): Promise<void> {
    for (let from = 0; from < changes.length; from += LOOKED_UP_AT_ONCE) {
      const some = changes.slice(from, from + LOOKED_UP_AT_ONCE);
      const kinds = [...new Set(some.map(({ kind }) => kind))];
      const names = [...new Set(some.map(({ key }) => key))];
      const between = kinds.length + 1;
      const sql = `SELECT kind, name, revision, CASE WHEN body IS NULL THEN 0 ELSE 1 END AS is_live FROM fluxmq_document
        WHERE ${this.#isOneOf('kind', 1, between)} AND ${this.#isOneOf('name', between, between + names.length)}`;
      const newest = new Map<string, DocumentVersion>();
      for (const row of await connection.query<VersionRecord>(sql, [...kinds, ...names])) {
        const at = documentName({ kind: row.kind, key: row.name });
        if ((newest.get(at)?.revision ?? 0) < row.revision) newest.set(at, { revision: row.revision, isLive: row.is_live === 1 });
      }
      for (const change of some) judgeChange(change, newest.get(documentName(change)));
    }
  }

  *#writes(changes: readonly DocumentChange[], meta: ChangeMeta, revision: number, commitId: string): Generator<WriteStatement> {
    const rows = changes.map(({ kind, key, body }, seq): SqlValue[] => [kind, key, revision, seq, body]);
    yield* insertRows('fluxmq_document', ['kind', 'name', 'revision', 'seq', 'body'], rows, this.#mark);
    const { action, actor, source, node, requestId, reason } = meta;
    yield* insertRows(
      'fluxmq_document_commit',
      ['revision', 'at', 'action', 'actor', 'source', 'node', 'request_id', 'reason', 'changes', 'commit_id'],
      [[revision, wallNow(), action, actor, source, node, requestId, reason, changes.length, commitId]],
      this.#mark,
    );
    yield { sql: `UPDATE fluxmq_document_state SET revision = ${this.#mark(1)} WHERE one = 1`, values: [revision] };
  }

  since({ revision, seq }: RowPlace, limit: number): Promise<DocumentPage> {
    return this.#transactions.readAtOnce(async (connection) => {
      const state = await stateOf(connection);
      const records = await this.#rowsBehind(connection, 'body', { revision, seq }, state.revision, limit);
      const last = records.length < limit ? undefined : records.at(-1);
      return { ...state, rows: records.map(toRow), next: last === undefined ? null : { revision: last.revision, seq: last.seq } };
    }, steadyNow() + OPERATION_MS);
  }

  /** Two statements: for one that compares both columns, MySQL would read the revision of the place from its first row on. */
  async #rowsBehind(connection: SqlConnection, body: string, { revision, seq }: RowPlace, to: number, limit: number): Promise<RowRecord[]> {
    const mark = this.#mark;
    const select = `SELECT revision, seq, kind, name, ${body} FROM fluxmq_document WHERE`;
    const rest = `${select} revision = ${mark(1)} AND seq > ${mark(2)} AND revision <= ${mark(3)} ORDER BY seq LIMIT ${limit}`;
    const rows = await connection.query<RowRecord>(rest, [revision, seq, to]);
    if (rows.length === limit) return rows;
    const later = `${select} revision > ${mark(1)} AND revision <= ${mark(2)} ORDER BY revision, seq LIMIT ${limit - rows.length}`;
    return [...rows, ...(await connection.query<RowRecord>(later, [revision, to]))];
  }

  former(revision: number, after: Pick<DocumentRow, 'kind' | 'key'> | null, limit: number): Promise<DocumentChange[]> {
    const mark = this.#mark;
    return this.#read(async (connection) => {
      const state = await stateOf(connection);
      if (!Number.isInteger(revision) || revision < state.floor || revision > state.revision) throw noSuchRevision(revision);
      const sql = `SELECT d.kind, d.name, (SELECT o.body FROM fluxmq_document o WHERE o.kind = d.kind AND o.name = d.name
          AND o.revision <= ${mark(1)} ORDER BY o.revision DESC LIMIT 1) AS body
        FROM (SELECT DISTINCT kind, name FROM fluxmq_document
          WHERE revision > ${mark(2)} AND (kind > ${mark(3)} OR (kind = ${mark(4)} AND name > ${mark(5)}))
          ORDER BY kind, name LIMIT ${limit}) d ORDER BY d.kind, d.name`;
      const kind = after?.kind ?? '';
      const records = await connection.query<Omit<RowRecord, 'revision' | 'seq'>>(sql, [revision, revision, kind, kind, after?.key ?? '']);
      return records.map(({ name, ...record }) => ({ ...record, key: name }));
    });
  }

  commits(limit: number, before = Number.MAX_SAFE_INTEGER, kind?: string): Promise<DocumentCommit[]> {
    const mark = this.#mark;
    const isOfKind = ` AND EXISTS (SELECT 1 FROM fluxmq_document d WHERE d.revision = c.revision AND d.kind = ${mark(2)})`;
    const sql = `SELECT revision, at, action, actor, source, node, request_id, reason, changes AS count FROM fluxmq_document_commit c
      WHERE revision < ${mark(1)}${kind === undefined ? '' : isOfKind} ORDER BY revision DESC LIMIT ${limit}`;
    return this.#read(async (connection) => {
      const records = await connection.query<CommitRecord>(sql, kind === undefined ? [before] : [before, kind]);
      return records.map(({ request_id: requestId, ...record }) => ({ ...record, requestId }));
    });
  }

  steps(revision: number, afterSeq: number, limit: number): Promise<DocumentStep[]> {
    const sql = `SELECT d.revision, d.seq, d.kind, d.name, d.body, (SELECT o.body FROM fluxmq_document o
        WHERE o.kind = d.kind AND o.name = d.name AND o.revision < d.revision ORDER BY o.revision DESC LIMIT 1) AS old_body
      FROM fluxmq_document d WHERE d.revision = ${this.#mark(1)} AND d.seq > ${this.#mark(2)} ORDER BY d.seq LIMIT ${limit}`;
    return this.#read(async (connection) => {
      const records = await connection.query<RowRecord & { old_body: string | null }>(sql, [revision, afterSeq]);
      return records.map(({ old_body: before, ...record }) => ({ ...toRow(record), before }));
    });
  }

  async compactDocuments(limits: DocumentLimits): Promise<boolean> {
    const mark = this.#mark;
    const write: Write<RowPlace | null> = async (connection) => {
      const state = await stateOf(connection);
      const commits = `SELECT revision, at, changes AS count FROM fluxmq_document_commit ORDER BY revision DESC LIMIT ${limits.keep + 1}`;
      const floor = Math.max(state.floor, documentFloor(await connection.query<DocumentCommit>(commits), limits));
      if (floor > state.floor) {
        await connection.query(`UPDATE fluxmq_document_state SET floor = ${mark(1)} WHERE one = 1`, [floor]);
        await connection.query(`DELETE FROM fluxmq_document_commit WHERE revision <= ${mark(1)}`, [floor]);
      }
      const { revision, seq } = this.#compacted;
      const hasBody = "CASE WHEN body IS NULL THEN NULL ELSE '' END AS body";
      const rows = await this.#rowsBehind(connection, hasBody, { revision, seq }, floor, COMPACTED_AT_ONCE);
      // Each row is newer than all older versions of its document, and a removal leaves nothing.
      const where = `kind = ${mark(1)} AND name = ${mark(2)} AND (revision < ${mark(3)} OR (revision = ${mark(4)} AND body IS NULL))`;
      const drops = rows.map((row) => ({
        sql: `DELETE FROM fluxmq_document WHERE ${where}`,
        values: [row.kind, row.name, row.revision, row.revision],
      }));
      await sendInTurns(connection, drops.values());
      const last = rows.length < COMPACTED_AT_ONCE ? undefined : rows.at(-1);
      return last === undefined ? { revision: floor, seq: SEQ_END } : { revision: last.revision, seq: last.seq };
    };
    // After a lost connection it is unknown whether the slice was written: the next one begins at the same place.
    const place = await this.#transactions.write(write, async () => this.#compacted, steadyNow() + OPERATION_MS, LOCK);
    if (place !== null) this.#compacted = place;
    return place?.seq !== SEQ_END;
  }

  #read<T>(work: (connection: SqlConnection) => Promise<T>): Promise<T> {
    return this.#transactions.read(work, steadyNow() + OPERATION_MS);
  }
}

async function stateOf(connection: SqlConnection): Promise<DocumentState> {
  const sql = 'SELECT life, revision, floor FROM fluxmq_document_state WHERE one = 1';
  return (await connection.query<DocumentState>(sql))[0] ?? { life: '', revision: 0, floor: 0 };
}

function toRow({ revision, seq, kind, name, body }: RowRecord): DocumentRow {
  return { revision, seq, kind, key: name, body };
}
