/**
 * The store over a database that several nodes share. Every commit leaves a mark, by which its outcome can be looked up
 * (sql-transactions.ts).
 */

import { randomUUID } from 'node:crypto';
import type { SqlConnection } from '../../database/connection.ts';
import type { PoolOptions } from '../../database/pool.ts';
import { steadyNow, wallNow } from '../../kernel/clock.ts';
import { FluxError } from '../../kernel/errors.ts';
import { mapInTurns } from '../../kernel/turns/pace.ts';
import { applyChanges, checkHistoryLimit, notWaiting } from '../apply-changes.ts';
import type { DocumentStore, NodeStore } from '../documents/document-store.ts';
import type {
  ChangeMeta,
  CommitOptions,
  HistoryLimits,
  HistoryQuery,
  HistoryRow,
  Past,
  PendingConfirm,
  RowPage,
  RowPlace,
  StoreChange,
  StoredEndpoint,
  StoreSize,
  StoreSnapshot,
} from '../endpoint-store.ts';
import { pageOf } from '../history-limits.ts';
import {
  BEGINNING,
  deleteRows,
  fromBody,
  type HistoryRecord,
  type Statement,
  selectDropped,
  selectNext,
  selectOldestKept,
  selectRevisions,
  selectRows,
  selectYoung,
  toHistoryRow,
} from '../history-sql.ts';
import { noSuchRevision, Replay } from '../replay.ts';
import { type CommitOutcome, CommitQueue, type CommitRequest } from './commit-queue.ts';
import type { SqlDialect } from './dialect.ts';
import { sendInTurns } from './send-in-turns.ts';
import { SqlDocuments } from './sql-documents.ts';
import { LOOK_UP_MS, SqlTransactions, type Write } from './sql-transactions.ts';
import * as statements from './statements.ts';

/** Time limit of an operation, ms. Large commits (commit-queue.ts), the opening and adopt() have limits of their own. */
const OPERATION_MS = 1_900;
/** Time limit of the first use, which may create the tables or wait for a node that does. */
const OPEN_MS = 15_000;
/** Time limit of writing a whole history from a backup. */
const ADOPT_MS = 600_000;
/** Rows that one step of a compaction drops. */
const DROPPED_AT_ONCE = 200;
/** Lease of the node that drops rows: without a further step in this time, another node may take over. */
const LEASE_MS = 60_000;

/**
 * Connects, and creates or migrates the tables.
 * @throws FluxError `unavailable` with `data.reason`, in words that say what to do
 */
export async function openSqlStore(pool: PoolOptions, dialect: SqlDialect): Promise<NodeStore> {
  const store = new SqlStore(pool, dialect);
  try {
    await store.open();
    return store;
  } catch (error) {
    await store.close();
    throw error;
  }
}

interface EndpointRecord {
  id: string;
  revision: number;
  body: string;
}

class SqlStore implements NodeStore {
  readonly documents: DocumentStore;
  readonly #transactions: SqlTransactions;
  readonly #dialect: SqlDialect;
  readonly #commits: CommitQueue;
  /** identifies this process as the owner of a compaction */
  readonly #name = randomUUID();

  constructor(pool: PoolOptions, dialect: SqlDialect) {
    this.#transactions = new SqlTransactions(pool, dialect);
    this.#dialect = dialect;
    this.documents = new SqlDocuments(this.#transactions, dialect);
    const write = (requests: CommitRequest[], end: number) => this.#commitAll(requests, end);
    this.#commits = new CommitQueue({ write, timeMs: OPERATION_MS, leastMs: 2 * LOOK_UP_MS });
  }

  async open(): Promise<void> {
    await this.#transactions.read(async () => undefined, steadyNow() + OPEN_MS);
  }

  async load(): Promise<StoreSnapshot> {
    return this.#transactions.readAtOnce(async (connection) => {
      const [revision, endpoints, pending] = await Promise.all([
        this.#revision(connection),
        connection.query<EndpointRecord>(statements.READ_ENDPOINTS),
        connection.query<{ revision: number; until_ms: number }>(statements.READ_PENDING),
      ]);
      const waiting = pending.map((row) => ({ revision: row.revision, until: row.until_ms }));
      return { revision, endpoints: endpoints.map(toStored), pending: waiting };
    }, steadyNow() + OPERATION_MS);
  }

  commit(changes: StoreChange[], expected: Record<string, number>, meta: ChangeMeta, options: CommitOptions = {}): Promise<number> {
    // A copy, because the commit may wait while its caller modifies the original.
    return this.#commits.add(structuredClone({ changes, expected, meta, options }));
  }

  async history(query: HistoryQuery): Promise<HistoryRow[]> {
    checkHistoryLimit(query.limit);
    return this.#read(async (connection) => {
      const page = selectRevisions(query, this.#dialect);
      const revisions = pageOf(await connection.query<{ revision: number; count: number }>(page.sql, page.values));
      if (revisions.length === 0) return [];
      const rows = selectRows(query, revisions, this.#dialect);
      return (await connection.query<HistoryRecord>(rows.sql, rows.values)).map(toHistoryRow);
    });
  }

  async at(revision: number): Promise<StoreSnapshot> {
    return this.#read(async (connection) => {
      const [newest, floor] = await Promise.all([this.#revision(connection), floorOf(connection)]);
      if (!Number.isInteger(revision) || revision < floor || revision > newest) throw noSuchRevision(revision);
      const records = await connection.query<EndpointRecord>(statements.selectAt(this.#dialect.mark), [revision]);
      return { revision, endpoints: records.map(toStored), pending: [] };
    });
  }

  async rows(after: RowPlace, limit: number): Promise<RowPage> {
    return this.#read(async (connection) => {
      const { sql, values } = selectNext(after, limit, this.#dialect);
      const records = await connection.query<HistoryRecord>(sql, values);
      const last = records.length < limit ? undefined : records.at(-1);
      const next = last === undefined ? null : { revision: last.revision, seq: last.seq };
      return { rows: records.map(toHistoryRow), next, floor: await floorOf(connection) };
    });
  }

  async confirm(revision: number): Promise<void> {
    const confirmId = randomUUID();
    const { mark } = this.#dialect;
    const find = async (connection: SqlConnection) => {
      const sql = `SELECT revision FROM fluxmq_pending WHERE settled = ${mark(1)}`;
      return (await connection.query(sql, [confirmId])).length > 0 ? true : null;
    };
    await this.#transactions.write(
      async (connection) => {
        await this.#settle(connection, revision, confirmId);
        return true;
      },
      find,
      steadyNow() + OPERATION_MS,
    );
  }

  async adopt(past: Past): Promise<number> {
    const { mark } = this.#dialect;
    const commitId = randomUUID();
    const write: Write<number> = async (connection, newest) => {
      if (newest !== 0) throw new FluxError('exists', 'The store is not empty');
      const send = async ({ sql, values }: statements.WriteStatement) => void (await connection.query(sql, values));
      const replayed = new Replay(past.floor);
      const last = { ...BEGINNING };
      for await (const rows of past.pieces()) {
        replayed.add(rows);
        for (const statement of statements.insertHistory(rows, commitId, mark, last)) await send(statement);
      }
      const content = [...replayed.end(past.revision).values()];
      for (const statement of statements.insertEndpoints(content, mark)) await send(statement);
      await send(statements.updateCompaction(past.floor, null, 0, mark));
      await send(statements.updateState(past.revision, mark));
      return past.revision;
    };
    const find = async (connection: SqlConnection) => ((await this.#findCommit(connection, commitId)) === null ? null : past.revision);
    return this.#transactions.write(write, find, steadyNow() + ADOPT_MS);
  }

  /** A slice is small, because it holds the lock of the state, which every commit needs. */
  async compact(limits: HistoryLimits): Promise<boolean> {
    const write: Write<boolean> = async (connection, newest) => {
      const [row] = await connection.query<{ floor: number; owner: string | null; until_ms: number }>(statements.READ_COMPACTION);
      const floor = row?.floor ?? 0;
      // Another node is compacting. The lease of a node that died expires soon.
      if (row?.owner !== this.#name && (row?.until_ms ?? 0) > wallNow()) return false;
      const next = Math.max(floor, await this.#nextFloor(connection, floor, newest, limits));
      const select = selectDropped(next, DROPPED_AT_ONCE, this.#dialect);
      const places = await connection.query<RowPlace>(select.sql, select.values);
      const isMore = places.length === DROPPED_AT_ONCE;
      const lease = statements.updateCompaction(next, isMore ? this.#name : null, isMore ? wallNow() + LEASE_MS : 0, this.#dialect.mark);
      await connection.query(lease.sql, lease.values);
      if (places.length > 0) {
        const { sql, values } = deleteRows(places, this.#dialect);
        await connection.query(sql, values);
      }
      return isMore;
    };
    // After a lost connection it is unknown whether the slice was written. The next slice continues in both cases.
    return this.#transactions.write(write, async () => true, steadyNow() + OPERATION_MS);
  }

  async #nextFloor(connection: SqlConnection, floor: number, newest: number, limits: HistoryLimits): Promise<number> {
    const { keep, waiting } = limits;
    const first = async ({ sql, values }: Statement) => (await connection.query<{ revision: number }>(sql, values))[0]?.revision;
    const oldest = keep === 0 ? newest : await first(selectOldestKept(keep, this.#dialect));
    if (oldest === undefined) return 0;
    const young = await first(selectYoung(floor, oldest, limits, this.#dialect));
    return Math.min(young === undefined ? oldest : young - 1, waiting - 1);
  }

  async size(): Promise<StoreSize> {
    return this.#read(async (connection) => {
      const [[size], [rows]] = await Promise.all([
        connection.query<{ bytes: number }>(this.#dialect.sizeOf),
        connection.query<{ count: number }>(statements.COUNT_HISTORY),
      ]);
      return { bytes: size?.bytes ?? null, historyRows: rows?.count ?? null };
    });
  }

  async close(): Promise<void> {
    this.#transactions.close();
  }

  #read<T>(work: (connection: SqlConnection) => Promise<T>): Promise<T> {
    return this.#transactions.read(work, steadyNow() + OPERATION_MS);
  }

  async #revision(connection: SqlConnection): Promise<number> {
    const [row] = await connection.query<{ revision: number }>(statements.READ_STATE);
    return row?.revision ?? 0;
  }

  async #findCommit(connection: SqlConnection, commitId: string): Promise<number | null> {
    const sql = `SELECT revision FROM fluxmq_history WHERE commit_id = ${this.#dialect.mark(1)}`;
    const [row] = await connection.query<{ revision: number }>(sql, [commitId]);
    return row?.revision ?? null;
  }

  /** Writes all requests in one transaction, one after the other. Each becomes a revision of its own or is refused. */
  async #commitAll(requests: CommitRequest[], end: number): Promise<CommitOutcome[]> {
    const commitId = randomUUID();
    let outcomes: CommitOutcome[] = [];
    const write: Write<true> = async (connection, last) => {
      outcomes = await this.#writeRequests(connection, requests, last, commitId);
      return true;
    };
    // One row with the mark proves that the whole transaction was committed.
    const find = async (connection: SqlConnection) => ((await this.#findCommit(connection, commitId)) === null ? null : true);
    await this.#transactions.write(write, find, end);
    return outcomes;
  }

  async #writeRequests(connection: SqlConnection, requests: CommitRequest[], last: number, commitId: string): Promise<CommitOutcome[]> {
    const { mark } = this.#dialect;
    let content = await this.#concerned(connection, requests);
    const history: HistoryRow[] = [];
    const pending: PendingConfirm[] = [];
    const outcomes: CommitOutcome[] = [];
    let revision = last;
    for (const { changes, expected, meta, options } of requests) {
      try {
        const applied = applyChanges(content, changes, expected, meta, { revision: revision + 1, at: wallNow() });
        if (options.settles !== undefined) await this.#settle(connection, options.settles, commitId);
        content = applied.next;
        history.push(...applied.history);
        revision += 1;
        if (options.confirmUntil !== undefined) pending.push({ revision, until: options.confirmUntil });
        outcomes.push(revision);
      } catch (error) {
        if (!(error instanceof FluxError)) throw error;
        outcomes.push(error);
      }
    }
    if (revision === last) return outcomes;
    const changed = [...new Set(history.map((row) => row.id))];
    const next = changed.flatMap((id) => content.get(id) ?? []);
    const writes = function* (): Generator<statements.WriteStatement> {
      // All old rows go before the new ones are inserted, because two endpoints may swap their ports.
      yield statements.deleteEndpoints(changed, mark);
      yield* statements.insertEndpoints(next, mark);
      yield* statements.insertHistory(history, commitId, mark);
      yield statements.updateState(revision, mark);
      yield* statements.insertPending(pending, mark);
    };
    await sendInTurns(connection, writes());
    return outcomes;
  }

  /** The endpoints that the requests name, or whose ports may collide with them. */
  async #concerned(connection: SqlConnection, requests: CommitRequest[]): Promise<Map<string, StoredEndpoint>> {
    const ids = new Set<string>();
    const ports = new Set<number>();
    for (const { changes, expected } of requests) {
      for (const id of Object.keys(expected)) ids.add(id);
      for (const change of changes) {
        ids.add(change.kind === 'put' ? change.endpoint.id : change.id);
        if (change.kind === 'put') ports.add(change.endpoint.port);
      }
    }
    if (ids.size === 0) return new Map();
    const { sql, values } = statements.selectConcerned([...ids], [...ports], this.#dialect.mark);
    const records = await connection.query<EndpointRecord>(sql, values);
    return new Map((await mapInTurns(records, toStored)).map((stored) => [stored.endpoint.id, stored]));
  }

  /** Keeps the row, with the mark of the commit that settled it, so that the outcome can be looked up. */
  async #settle(connection: SqlConnection, revision: number, by: string): Promise<void> {
    const { mark } = this.#dialect;
    const sql = `SELECT revision FROM fluxmq_pending WHERE revision = ${mark(1)} AND settled IS NULL`;
    if ((await connection.query(sql, [revision])).length === 0) throw notWaiting(revision);
    await connection.query(`UPDATE fluxmq_pending SET settled = ${mark(1)} WHERE revision = ${mark(2)}`, [by, revision]);
  }
}

/** See Past.floor. */
async function floorOf(connection: SqlConnection): Promise<number> {
  return (await connection.query<{ floor: number }>(statements.READ_FLOOR))[0]?.floor ?? 0;
}

function toStored({ revision, body }: EndpointRecord): StoredEndpoint {
  return { endpoint: fromBody(body), revision };
}
