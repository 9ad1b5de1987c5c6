/** The LOCAL store: one SQLite file in the data folder, durable at each commit. */

import { closeSync, mkdirSync, openSync, statSync } from 'node:fs';
import { join } from 'node:path';
import Database from 'better-sqlite3';
import { wallNow } from '../../kernel/clock.ts';
import { FluxError, messageOf } from '../../kernel/errors.ts';
import { mapInTurns } from '../../kernel/turns/pace.ts';
import { type Steps, toEnd } from '../../kernel/turns/steps.ts';
import { applyChanges, checkHistoryLimit, notWaiting, type Owner } from '../apply-changes.ts';
import type { NodeStore } from '../documents/document-store.ts';
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
import { type OwnDocuments, openLocalDocuments } from './documents.ts';
import { type FolderLock, lockFolder } from './folder-lock.ts';
import { migrateConfig } from './migrations.ts';
import { writeInTurns } from './write-in-turns.ts';

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
export async function openLocalStore(options: { dataPath: string; isLocked?: boolean }): Promise<NodeStore> {
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
    migrateConfig(database);
    // Rows of a restore that died before it set the revision.
    database.exec('DELETE FROM history WHERE (SELECT revision FROM state) = 0');
    return new LocalStore(database, openLocalDocuments(dataPath), lock);
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

/** Changes of one commit that take no more than some milliseconds. */
const COMMITTED_AT_ONCE = 50;
/** Rows that one step of a large commit inserts. */
const INSERTED_AT_ONCE = 20;
/** Rows of a backup that are written before other work of the thread gets its turn. */
const ADOPTED_AT_ONCE = 50;
/** Revisions whose rows are read at once. */
const READ_AT_ONCE = 100;
/** Rows that one step of a compaction drops; a step takes a few milliseconds. */
const DROPPED_AT_ONCE = 100;

class LocalStore implements NodeStore {
  readonly documents: OwnDocuments;
  readonly #database: Database.Database;
  /** null: the caller holds the lock */
  readonly #lock: FolderLock | null;
  /** the restore or large commit in progress; other writes wait for it */
  #writing: Promise<unknown> | null = null;
  /** the large commit in progress; reads wait for it, because they would see a part of it */
  #committing: Promise<unknown> | null = null;
  #isClosed = false;

  constructor(database: Database.Database, documents: OwnDocuments, lock: FolderLock | null) {
    this.documents = documents;
    this.#database = database;
    this.#lock = lock;
  }

  async load(): Promise<StoreSnapshot> {
    const { records, ...rest } = await this.#read((reader) => {
      const pending = reader.prepare<[], PendingConfirm>('SELECT revision, until FROM pending ORDER BY revision').all();
      const records = reader.prepare<[], EndpointRecord>('SELECT id, revision, body FROM endpoint ORDER BY port').all();
      return { revision: revisionOf(reader), records, pending };
    });
    return { ...rest, endpoints: await mapInTurns(records, toStored) };
  }

  async commit(changes: StoreChange[], expected: Record<string, number>, meta: ChangeMeta, options: CommitOptions = {}): Promise<number> {
    const steps = this.#commitSteps(changes, expected, meta, options);
    if (changes.length <= COMMITTED_AT_ONCE) return this.#write(() => toEnd(steps));
    return this.#alone(() => {
      const committing = writeInTurns(this.#database, steps, (work) => this.#guard('written', work));
      this.#committing = committing;
      return committing.finally(() => {
        this.#committing = null;
      });
    });
  }

  /** The work of a commit within its transaction, in small steps. */
  *#commitSteps(changes: StoreChange[], expected: Record<string, number>, meta: ChangeMeta, options: CommitOptions): Steps<number> {
    const database = this.#database;
    const revision = revisionOf(database) + 1;
    const named = new Set([...Object.keys(expected), ...changes.map((change) => (change.kind === 'put' ? change.endpoint.id : change.id))]);
    const current = new Map<string, StoredEndpoint>();
    const find = database.prepare<[string], EndpointRecord>('SELECT id, revision, body FROM endpoint WHERE id = ?');
    for (const id of named) {
      const record = find.get(id);
      if (record !== undefined) current.set(id, toStored(record));
      yield;
    }
    const owners = database.prepare<[], Owner>('SELECT id, port FROM endpoint').all();
    const others = owners.filter(({ id }) => !named.has(id));
    const { next, history } = applyChanges(current, changes, expected, meta, { revision, at: wallNow() }, others);
    yield;
    if (options.settles !== undefined) this.#settle(options.settles);
    if (options.confirmUntil !== undefined) {
      database.prepare('INSERT INTO pending (revision, until) VALUES (?, ?)').run(revision, options.confirmUntil);
    }
    const remove = database.prepare('DELETE FROM endpoint WHERE id = ?');
    // All old rows go before the new ones are inserted, because two endpoints may swap their ports.
    for (const row of history) {
      remove.run(row.id);
      yield;
    }
    const last = { ...BEGINNING };
    for (let from = 0; from < history.length; from += INSERTED_AT_ONCE) {
      const rows = history.slice(from, from + INSERTED_AT_ONCE);
      this.#insertEndpoints(rows.flatMap(({ id }) => next.get(id) ?? []));
      this.#insertHistory(rows, last);
      yield;
    }
    this.#setRevision(revision);
    return revision;
  }

  async history(query: HistoryQuery): Promise<HistoryRow[]> {
    checkHistoryLimit(query.limit);
    const revisions = await this.#read((reader) => {
      if (revisionOf(reader) === 0) return [];
      return pageOf(all<{ revision: number; count: number }>(reader, selectRevisions(query, DIALECT)));
    });
    const rows: HistoryRow[] = [];
    for (let from = 0; from < revisions.length; from += READ_AT_ONCE) {
      if (from > 0) await nextTurn();
      const some = revisions.slice(from, from + READ_AT_ONCE);
      const records = await this.#read((reader) => all<HistoryRecord>(reader, selectRows(query, some, DIALECT)));
      for (const row of await mapInTurns(records, toHistoryRow)) rows.push(row);
    }
    return rows;
  }

  async at(revision: number): Promise<StoreSnapshot> {
    const records = await this.#read((reader) => {
      const isKnown = Number.isInteger(revision) && revision >= floorIn(reader) && revision <= revisionOf(reader);
      if (!isKnown) throw noSuchRevision(revision);
      const sql = `SELECT id, revision, new_body AS body FROM history
        JOIN (SELECT id, max(revision) AS revision FROM history WHERE revision <= ? GROUP BY id) USING (id, revision)
        WHERE new_body IS NOT NULL ORDER BY port`;
      return reader.prepare<[number], EndpointRecord>(sql).all(revision);
    });
    return { revision, endpoints: await mapInTurns(records, toStored), pending: [] };
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
    return this.#alone(() => this.#adopt(past));
  }

  /** A write that takes several loop iterations. */
  async #alone<T>(write: () => Promise<T>): Promise<T> {
    while (this.#writing !== null) await this.#writing.catch(() => {});
    const writing = write();
    this.#writing = writing;
    try {
      return await writing;
    } finally {
      this.#writing = null;
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
    this.documents.closeDocuments();
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

  async #read<T>(work: (reader: Database.Database) => T): Promise<T> {
    while (this.#committing !== null) await this.#committing.catch(() => {});
    return this.#guard('read', () => this.#database.transaction(() => work(this.#database))());
  }

  async #write<T>(work: () => T): Promise<T> {
    while (this.#writing !== null) await this.#writing.catch(() => {});
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
