/** The LOCAL store: one SQLite file in the data folder, durable at each commit. */

import { closeSync, mkdirSync, openSync, statSync } from 'node:fs';
import { join } from 'node:path';
import Database from 'better-sqlite3';
import { wallNow } from '../../kernel/clock.ts';
import { FluxError, messageOf } from '../../kernel/errors.ts';
import { applyChanges, checkHistoryLimit, notWaiting } from '../apply-changes.ts';
import type {
  ChangeMeta,
  CommitOptions,
  EndpointStore,
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
} from '../contract.ts';
import { pageOf } from '../history-limits.ts';
import {
  BEGINNING,
  deleteRows,
  fromBody,
  type HistoryDialect,
  type HistoryRecord,
  type Statement,
  selectDropped,
  selectNext,
  selectOldestKept,
  selectRevisions,
  selectRows,
  selectYoung,
  toBody,
  toHistoryRow,
  toRecords,
} from '../history-sql.ts';
import { noSuchRevision, Replay } from '../replay.ts';
import { type FolderLock, lockFolder } from './folder-lock.ts';
import { migrate } from './migrations.ts';

const FILE = 'config.db';

/**
 * How long a write waits for another program's lock on the file, milliseconds; the main thread is blocked for that time. This broker is the
 * only one in the folder, so the lock belongs to a tool.
 */
const LOCKED_MS = 500;
const DIALECT: HistoryDialect = { table: 'history', mark: () => '?', sameText: (column, place) => `${column} = ${place()}` };

/**
 * Opens `config.db` in the folder, and creates both when missing. The folder belongs to this process until `close` or its end.
 * `isLocked`: the caller holds the folder's lock, and keeps it.
 * @throws FluxError `unavailable`: used by another broker, not writable, damaged, or written by a newer version
 */
export async function openLocalStore(options: { dataPath: string; isLocked?: boolean }): Promise<EndpointStore> {
  const { dataPath, isLocked = false } = options;
  let lock: FolderLock | null = null;
  let database: Database.Database | null = null;
  try {
    mkdirSync(dataPath, { recursive: true, mode: 0o700 });
    lock = isLocked ? null : lockFolder(dataPath);
    const path = join(dataPath, FILE);
    // The file holds password hashes; SQLite gives its companions (WAL) the same mode.
    closeSync(openSync(path, 'a', 0o600));
    database = new Database(path, { timeout: LOCKED_MS });
    // The index of the write-ahead log is then kept in memory. In a file it would be mapped, and what the disk refuses there (no room,
    // read-only after an error) ends the process with SIGBUS.
    database.pragma('locking_mode = EXCLUSIVE');
    database.pragma('journal_mode = WAL');
    database.pragma('synchronous = FULL');
    migrate(database);
    // Rows of a restore that died before it set the revision.
    database.exec('DELETE FROM history WHERE (SELECT revision FROM state) = 0');
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

/** Rows of a backup that are written before other work of the thread gets its turn. */
const ADOPTED_AT_ONCE = 50;
/** Revisions whose rows are read at once. */
const READ_AT_ONCE = 100;
/** Rows that one step of a compaction drops; a step takes a few milliseconds. */
const DROPPED_AT_ONCE = 100;

class LocalStore implements EndpointStore {
  readonly #database: Database.Database;
  /** null: the caller holds the lock */
  readonly #lock: FolderLock | null;
  /** the restore in progress; other writes wait for it */
  #adopting: Promise<unknown> | null = null;
  #isClosed = false;

  constructor(database: Database.Database, lock: FolderLock | null) {
    this.#database = database;
    this.#lock = lock;
  }

  async load(): Promise<StoreSnapshot> {
    return this.#read((reader) => {
      const pending = reader.prepare<[], PendingConfirm>('SELECT revision, until FROM pending ORDER BY revision').all();
      return { revision: revisionOf(reader), endpoints: [...contentOf(reader).values()], pending };
    });
  }

  async commit(changes: StoreChange[], expected: Record<string, number>, meta: ChangeMeta, options: CommitOptions = {}): Promise<number> {
    return this.#write(() => {
      const revision = revisionOf(this.#database) + 1;
      const { next, history } = applyChanges(contentOf(this.#database), changes, expected, meta, { revision, at: wallNow() });
      if (options.settles !== undefined) this.#settle(options.settles);
      if (options.confirmUntil !== undefined) {
        this.#database.prepare('INSERT INTO pending (revision, until) VALUES (?, ?)').run(revision, options.confirmUntil);
      }
      const remove = this.#database.prepare('DELETE FROM endpoint WHERE id = ?');
      // All old rows go before the new ones are inserted, because two endpoints may swap their ports.
      for (const row of history) remove.run(row.id);
      this.#insertEndpoints(history.flatMap(({ id }) => next.get(id) ?? []));
      this.#insertHistory(history);
      this.#setRevision(revision);
      return revision;
    });
  }

  async history(query: HistoryQuery): Promise<HistoryRow[]> {
    checkHistoryLimit(query.limit);
    const revisions = this.#read((reader) => {
      if (revisionOf(reader) === 0) return [];
      return pageOf(all<{ revision: number; count: number }>(reader, selectRevisions(query, DIALECT)));
    });
    const rows: HistoryRow[] = [];
    for (let from = 0; from < revisions.length; from += READ_AT_ONCE) {
      if (from > 0) await nextTurn();
      const some = revisions.slice(from, from + READ_AT_ONCE);
      rows.push(...this.#read((reader) => all<HistoryRecord>(reader, selectRows(query, some, DIALECT)).map(toHistoryRow)));
    }
    return rows;
  }

  async at(revision: number): Promise<StoreSnapshot> {
    return this.#read((reader) => {
      const isKnown = Number.isInteger(revision) && revision >= floorIn(reader) && revision <= revisionOf(reader);
      if (!isKnown) throw noSuchRevision(revision);
      const sql = `SELECT id, revision, new_body AS body FROM history
        JOIN (SELECT id, max(revision) AS revision FROM history WHERE revision <= ? GROUP BY id) USING (id, revision)
        WHERE new_body IS NOT NULL ORDER BY port`;
      const records = reader.prepare<[number], EndpointRecord>(sql).all(revision);
      return { revision, endpoints: records.map(toStored), pending: [] };
    });
  }

  async rows(after: RowPlace, limit: number): Promise<RowPage> {
    return this.#read((reader) => {
      if (revisionOf(reader) === 0) return { rows: [], next: null, floor: 0 };
      const records = all<HistoryRecord>(reader, selectNext(after, limit, DIALECT));
      const last = records.length < limit ? undefined : records.at(-1);
      const next = last === undefined ? null : { revision: last.revision, seq: last.seq };
      return { rows: records.map(toHistoryRow), next, floor: floorIn(reader) };
    });
  }

  async confirm(revision: number): Promise<void> {
    await this.#write(() => this.#settle(revision));
  }

  /** Lets one restore run at a time; other writes wait. */
  async adopt(past: Past): Promise<number> {
    while (this.#adopting !== null) await this.#adopting.catch(() => {});
    const adopting = this.#adopt(past);
    this.#adopting = adopting;
    try {
      return await adopting;
    } finally {
      this.#adopting = null;
    }
  }

  /**
   * Writes in many small transactions, because the end of one large transaction would block the thread. The last transaction sets the
   * revision, and the rows count from then on. After a crash before that, the next open drops the rows, because the revision is still 0.
   */
  async #adopt(past: Past): Promise<number> {
    const database = this.#database;
    const write = <T>(work: () => T): T => this.#guard('written', () => database.transaction(work).immediate());
    if (revisionOf(database) !== 0) throw new FluxError('exists', 'The store is not empty');
    const replayed = new Replay(past.floor);
    const last = { ...BEGINNING };
    try {
      // Only the last transaction waits for the disk, and so flushes the earlier ones.
      this.#guard('written', () => database.pragma('synchronous = NORMAL'));
      for await (const piece of past.pieces()) {
        for (let from = 0; from < piece.length; from += ADOPTED_AT_ONCE) {
          const rows = piece.slice(from, from + ADOPTED_AT_ONCE);
          replayed.add(rows);
          write(() => this.#insertHistory(rows, last));
          await nextTurn();
        }
      }
      const content = [...replayed.end(past.revision).values()];
      this.#guard('written', () => database.pragma('synchronous = FULL'));
      write(() => {
        this.#insertEndpoints(content);
        this.#setFloor(past.floor);
        this.#setRevision(past.revision);
      });
      return past.revision;
    } catch (error) {
      if (!this.#isClosed) await this.#dropUncounted();
      throw error;
    } finally {
      if (!this.#isClosed) this.#guard('written', () => database.pragma('synchronous = FULL'));
    }
  }

  async #dropUncounted(): Promise<void> {
    const drop = this.#database.prepare('DELETE FROM history WHERE rowid IN (SELECT rowid FROM history LIMIT ?)');
    while (this.#guard('written', () => drop.run(DROPPED_AT_ONCE)).changes > 0) await nextTurn();
  }

  async compact(limits: HistoryLimits): Promise<boolean> {
    return this.#write(() => {
      const floor = Math.max(floorIn(this.#database), this.#nextFloor(limits));
      this.#setFloor(floor);
      const dropped = all<RowPlace>(this.#database, selectDropped(floor, DROPPED_AT_ONCE, DIALECT));
      if (dropped.length > 0) {
        const { sql, values } = deleteRows(dropped, DIALECT);
        this.#database.prepare(sql).run(...values);
      }
      return dropped.length === DROPPED_AT_ONCE;
    });
  }

  #nextFloor(limits: HistoryLimits): number {
    const { keep, waiting } = limits;
    const newest = revisionOf(this.#database);
    const [oldest] = keep === 0 ? [{ revision: newest }] : all<{ revision: number }>(this.#database, selectOldestKept(keep, DIALECT));
    if (oldest === undefined) return 0;
    const below = oldest.revision;
    const [young] = all<{ revision: number }>(this.#database, selectYoung(floorIn(this.#database), below, limits, DIALECT));
    return Math.min(young === undefined ? below : young.revision - 1, waiting - 1);
  }

  async size(): Promise<StoreSize> {
    return this.#read((reader) => {
      const path = this.#database.name;
      const bytes = [path, `${path}-wal`].map((file) => statSync(file, { throwIfNoEntry: false })?.size ?? 0);
      const row = reader.prepare<[], { rows: number }>('SELECT count(*) AS rows FROM history').get();
      return { bytes: bytes.reduce((sum, size) => sum + size, 0), historyRows: row?.rows ?? 0 };
    });
  }

  async close(): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#database.close();
    this.#lock?.release();
  }

  #settle(revision: number): void {
    if (this.#database.prepare('DELETE FROM pending WHERE revision = ?').run(revision).changes === 0) throw notWaiting(revision);
  }

  #insertEndpoints(list: StoredEndpoint[]): void {
    const insert = this.#database.prepare('INSERT INTO endpoint (id, port, revision, body) VALUES (?, ?, ?, ?)');
    for (const { endpoint, revision } of list) insert.run(endpoint.id, endpoint.port, revision, toBody(endpoint));
  }

  /** @param last see toRecords() */
  #insertHistory(rows: HistoryRow[], last?: RowPlace): void {
    const insert = this.#database.prepare(`INSERT INTO history
      (revision, seq, at, action, actor, source, node, request_id, reason, id, port, old_port, old_body, new_body)
      VALUES (@revision, @seq, @at, @action, @actor, @source, @node, @request_id, @reason, @id, @port, @old_port, @old_body, @new_body)`);
    for (const record of toRecords(rows, last)) insert.run(record);
  }

  #setRevision(revision: number): void {
    this.#database.prepare('UPDATE state SET revision = ?').run(revision);
  }

  #setFloor(floor: number): void {
    this.#database.prepare('UPDATE compaction SET floor = ?').run(floor);
  }

  #read<T>(work: (reader: Database.Database) => T): T {
    return this.#guard('read', () => this.#database.transaction(() => work(this.#database))());
  }

  async #write<T>(work: () => T): Promise<T> {
    while (this.#adopting !== null) await this.#adopting.catch(() => {});
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

function nextTurn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

function revisionOf(database: Database.Database): number {
  return database.prepare<[], { revision: number }>('SELECT revision FROM state').get()?.revision ?? 0;
}

/** See Past.floor. */
function floorIn(database: Database.Database): number {
  return database.prepare<[], { floor: number }>('SELECT floor FROM compaction').get()?.floor ?? 0;
}

function contentOf(database: Database.Database): Map<string, StoredEndpoint> {
  const records = database.prepare<[], EndpointRecord>('SELECT id, revision, body FROM endpoint ORDER BY port').all();
  return new Map(records.map((record) => [record.id, toStored(record)]));
}

function all<T>(database: Database.Database, { sql, values }: Statement): T[] {
  return database.prepare<unknown[], T>(sql).all(...values);
}

function toStored({ revision, body }: EndpointRecord): StoredEndpoint {
  return { endpoint: fromBody(body), revision };
}

/** Passes a FluxError; any other error (SQLite, file system) means that the store cannot be used. */
function toUnavailable(error: unknown, what: string): FluxError {
  if (error instanceof FluxError) return error;
  return new FluxError('unavailable', `${what}: ${messageOf(error)}`, { cause: error });
}
