/** The LOCAL store: one SQLite file in the data folder, durable at each commit. */

import { closeSync, mkdirSync, openSync } from 'node:fs';
import { join } from 'node:path';
import Database from 'better-sqlite3';
import { wallNow } from '../../kernel/clock.ts';
import { FluxError } from '../../kernel/errors.ts';
import { applyChanges, checkHistoryLimit, notWaiting } from '../apply-changes.ts';
import type {
  ChangeMeta,
  CommitOptions,
  EndpointStore,
  HistoryQuery,
  HistoryRow,
  PendingConfirm,
  StoreChange,
  StoredEndpoint,
  StoreSnapshot,
} from '../contract.ts';
import {
  fromBody,
  type HistoryDialect,
  type HistoryRecord,
  type Statement,
  selectRevisions,
  selectRows,
  toBody,
  toHistoryRow,
  toRecords,
} from '../history-sql.ts';
import { noSuchRevision, replayWhole } from '../replay.ts';
import { type FolderLock, lockFolder } from './folder-lock.ts';
import { migrate } from './migrations.ts';

const FILE = 'config.db';

/**
 * How long another program's lock on the file is waited for, milliseconds: the main thread stands still meanwhile. Ours is the only broker,
 * so that it is a tool's.
 */
const LOCKED_MS = 500;
const DIALECT: HistoryDialect = { table: 'history', mark: () => '?', sameText: (column, place) => `${column} = ${place()}` };

/**
 * Opens `config.db` in the folder, which is made when it is missing. The folder belongs to this process until `close` or its end.
 * @throws FluxError `unavailable`: used by another broker, not writable, damaged, or written by a newer version
 */
export async function openLocalStore(options: { dataPath: string }): Promise<EndpointStore> {
  const { dataPath } = options;
  let lock: FolderLock | null = null;
  let database: Database.Database | null = null;
  try {
    mkdirSync(dataPath, { recursive: true, mode: 0o700 });
    lock = lockFolder(dataPath);
    const path = join(dataPath, FILE);
    // The file holds password hashes; SQLite gives its companions (WAL) the same mode.
    closeSync(openSync(path, 'a', 0o600));
    database = new Database(path, { timeout: LOCKED_MS });
    database.pragma('journal_mode = WAL');
    database.pragma('synchronous = FULL');
    migrate(database);
    return new LocalStore(database, lock);
  } catch (error) {
    database?.close();
    lock?.release();
    throw toUnavailable(error, `Cannot open the store in ${dataPath}`);
  }
}

interface EndpointRecord {
  id: string;
  revision: number;
  body: string;
}

class LocalStore implements EndpointStore {
  readonly #database: Database.Database;
  readonly #lock: FolderLock;
  #isClosed = false;

  constructor(database: Database.Database, lock: FolderLock) {
    this.#database = database;
    this.#lock = lock;
  }

  async load(): Promise<StoreSnapshot> {
    return this.#read(() => {
      const pending = this.#database.prepare<[], PendingConfirm>('SELECT revision, until FROM pending ORDER BY revision').all();
      return { revision: this.#revision(), endpoints: [...this.#content().values()], pending };
    });
  }

  async commit(changes: StoreChange[], expected: Record<string, number>, meta: ChangeMeta, options: CommitOptions = {}): Promise<number> {
    return this.#write(() => {
      const revision = this.#revision() + 1;
      const { next, history } = applyChanges(this.#content(), changes, expected, meta, { revision, at: wallNow() });
      if (options.settles !== undefined) this.#settle(options.settles);
      if (options.confirmUntil !== undefined) {
        this.#database.prepare('INSERT INTO pending (revision, until) VALUES (?, ?)').run(revision, options.confirmUntil);
      }
      const remove = this.#database.prepare('DELETE FROM endpoint WHERE id = ?');
      // All old rows go before the new ones come: two endpoints may swap their ports.
      for (const row of history) remove.run(row.id);
      this.#insertEndpoints(history.flatMap(({ id }) => next.get(id) ?? []));
      this.#insertHistory(history);
      this.#setRevision(revision);
      return revision;
    });
  }

  async history(query: HistoryQuery): Promise<HistoryRow[]> {
    checkHistoryLimit(query.limit);
    return this.#read(() => {
      const revisions = this.#all<{ revision: number }>(selectRevisions(query, DIALECT)).map((row) => row.revision);
      if (revisions.length === 0) return [];
      return this.#all<HistoryRecord>(selectRows(query, [...new Set(revisions)], DIALECT)).map(toHistoryRow);
    });
  }

  async at(revision: number): Promise<StoreSnapshot> {
    return this.#read(() => {
      if (!Number.isInteger(revision) || revision < 0 || revision > this.#revision()) throw noSuchRevision(revision);
      const sql = `SELECT id, revision, new_body AS body FROM history
        JOIN (SELECT id, max(revision) AS revision FROM history WHERE revision <= ? GROUP BY id) USING (id, revision)
        WHERE new_body IS NOT NULL ORDER BY port`;
      const records = this.#database.prepare<[number], EndpointRecord>(sql).all(revision);
      return { revision, endpoints: records.map(toStored), pending: [] };
    });
  }

  async confirm(revision: number): Promise<void> {
    this.#write(() => this.#settle(revision));
  }

  async adopt(rows: HistoryRow[]): Promise<number> {
    const content = replayWhole(rows);
    return this.#write(() => {
      if (this.#revision() !== 0) throw new FluxError('exists', 'The store is not empty');
      this.#insertEndpoints([...content.values()]);
      this.#insertHistory(rows);
      const revision = rows.at(-1)?.revision ?? 0;
      this.#setRevision(revision);
      return revision;
    });
  }

  async close(): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#database.close();
    this.#lock.release();
  }

  #settle(revision: number): void {
    if (this.#database.prepare('DELETE FROM pending WHERE revision = ?').run(revision).changes === 0) throw notWaiting(revision);
  }

  #insertEndpoints(list: StoredEndpoint[]): void {
    const insert = this.#database.prepare('INSERT INTO endpoint (id, port, revision, body) VALUES (?, ?, ?, ?)');
    for (const { endpoint, revision } of list) insert.run(endpoint.id, endpoint.port, revision, toBody(endpoint));
  }

  #insertHistory(rows: HistoryRow[]): void {
    const insert = this.#database.prepare(`INSERT INTO history
      (revision, seq, at, action, actor, source, node, request_id, reason, id, port, old_port, old_body, new_body)
      VALUES (@revision, @seq, @at, @action, @actor, @source, @node, @request_id, @reason, @id, @port, @old_port, @old_body, @new_body)`);
    for (const record of toRecords(rows)) insert.run(record);
  }

  #revision(): number {
    return this.#database.prepare<[], { revision: number }>('SELECT revision FROM state').get()?.revision ?? 0;
  }

  #setRevision(revision: number): void {
    this.#database.prepare('UPDATE state SET revision = ?').run(revision);
  }

  #content(): Map<string, StoredEndpoint> {
    const records = this.#database.prepare<[], EndpointRecord>('SELECT id, revision, body FROM endpoint ORDER BY port').all();
    return new Map(records.map((record) => [record.id, toStored(record)]));
  }

  #all<T>({ sql, values }: Statement): T[] {
    return this.#database.prepare<unknown[], T>(sql).all(...values);
  }

  #read<T>(work: () => T): T {
    return this.#guard('read', () => this.#database.transaction(work)());
  }

  /** IMMEDIATE: what is read and what is written are one step, also for a tool that has the file open. */
  #write<T>(work: () => T): T {
    return this.#guard('written', () => this.#database.transaction(work).immediate());
  }

  #guard<T>(verb: 'read' | 'written', work: () => T): T {
    if (this.#isClosed) throw new FluxError('unavailable', 'The store is closed');
    try {
      return work();
    } catch (error) {
      throw toUnavailable(error, `The store ${this.#database.name} cannot be ${verb}`);
    }
  }
}

function toStored({ revision, body }: EndpointRecord): StoredEndpoint {
  return { endpoint: fromBody(body), revision };
}

/** A FluxError passes; anything else (SQLite, file system) means that the store cannot be used. */
function toUnavailable(error: unknown, what: string): FluxError {
  if (error instanceof FluxError) return error;
  return new FluxError('unavailable', `${what}: ${error instanceof Error ? error.message : String(error)}`, { cause: error });
}
