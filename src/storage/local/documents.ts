/** Documents in an SQLite database: `documents.db` of the LOCAL store, or in memory. */

import { closeSync, openSync } from 'node:fs';
import { join } from 'node:path';
import Database from 'better-sqlite3';
import { wallNow } from '../../kernel/clock.ts';
import { FluxError, messageOf } from '../../kernel/errors.ts';
import { type Steps, toEnd } from '../../kernel/turns/steps.ts';
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
import { checkChanges, documentFloor, judgeChange, needsVersion } from '../documents/judge-changes.ts';
import type { ChangeMeta, RowPlace } from '../endpoint-store.ts';
import { BEGINNING } from '../history-sql.ts';
import { noSuchRevision } from '../replay.ts';
import { takeSteps } from './take-steps.ts';
import { writeInTurns } from './write-in-turns.ts';

/** The file in the data folder. */
const DOCUMENTS_FILE = 'documents.db';
/** How long a write waits for another program's lock on the file, milliseconds. */
const LOCKED_MS = 500;
/** Changes of one commit that take no more than some milliseconds. */
const COMMITTED_AT_ONCE = 50;
/** Rows that one step of a large commit looks at or inserts. */
const STEP_ROWS = 25;
/** Versions that one step of a compaction looks at. */
const COMPACTED_AT_ONCE = 200;

/** See takeSteps(). The life is a random name. */
const STEPS = [
  `CREATE TABLE state (
     one INTEGER PRIMARY KEY CHECK (one = 1),
     life TEXT NOT NULL,
     revision INTEGER NOT NULL,
     floor INTEGER NOT NULL
   ) STRICT;
   INSERT INTO state (one, life, revision, floor) VALUES (1, lower(hex(randomblob(16))), 0, 0);
   CREATE TABLE done (
     revision INTEGER PRIMARY KEY,
     at INTEGER NOT NULL,
     action TEXT NOT NULL,
     actor TEXT NOT NULL,
     source TEXT NOT NULL,
     node TEXT NOT NULL,
     request_id TEXT NOT NULL,
     reason TEXT,
     count INTEGER NOT NULL
   ) STRICT;
   CREATE TABLE document (
     kind TEXT NOT NULL,
     key TEXT NOT NULL,
     revision INTEGER NOT NULL,
     seq INTEGER NOT NULL,
     body TEXT,
     PRIMARY KEY (kind, key, revision)
   ) STRICT, WITHOUT ROWID;
   CREATE UNIQUE INDEX document_log ON document (revision, seq);`,
];

type CommitRecord = Omit<DocumentCommit, 'requestId'> & { request_id: string };

/** A document store that can be closed. */
export interface OwnDocuments extends DocumentStore {
  closeDocuments(): void;
}

/** Opens the documents of a data folder, whose lock the caller holds. @throws FluxError `unavailable` */
export function openLocalDocuments(dataPath: string): OwnDocuments {
  const path = join(dataPath, DOCUMENTS_FILE);
  try {
    closeSync(openSync(path, 'a', 0o600));
    return open(path);
  } catch (error) {
    throw toUnavailable(error, `The documents in ${path} cannot be opened`);
  }
}

/** Documents that live as long as the process. */
export function openMemoryDocuments(): OwnDocuments {
  return open(':memory:');
}

function open(path: string): OwnDocuments {
  const database = new Database(path, { timeout: LOCKED_MS });
  try {
    // See local-store.ts: no index of the log in a mapped file.
    database.pragma('locking_mode = EXCLUSIVE');
    database.pragma('journal_mode = WAL');
    database.pragma('synchronous = FULL');
    takeSteps(database, STEPS);
    return new SqliteDocuments(database);
  } catch (error) {
    database.close();
    throw error;
  }
}

class SqliteDocuments implements OwnDocuments {
  readonly #database: Database.Database;
  /** the large commit in progress: everything else waits, because it shares the connection */
  #committing: Promise<unknown> | null = null;
  /** the last version that a compaction has looked at; the first one of a process begins anew */
  #compacted: RowPlace = BEGINNING;

  constructor(database: Database.Database) {
    this.#database = database;
  }

  async state(): Promise<DocumentState> {
    return this.#read(() => this.#state());
  }

  async commit(changes: readonly DocumentChange[], meta: ChangeMeta): Promise<number> {
    checkChanges(changes);
    const own = changes.map((change) => ({ ...change }));
    while (this.#committing !== null) await this.#committing.catch(() => {});
    const steps = this.#commitSteps(own, meta);
    if (own.length <= COMMITTED_AT_ONCE) return this.#guard(() => this.#database.transaction(() => toEnd(steps)).immediate());
    const committing = writeInTurns(this.#database, steps, (work) => this.#guard(work));
    this.#committing = committing;
    return committing.finally(() => {
      this.#committing = null;
    });
  }

  *#commitSteps(changes: readonly DocumentChange[], meta: ChangeMeta): Steps<number> {
    const database = this.#database;
    const revision = this.#state().revision + 1;
    const find = database.prepare<[string, string], { revision: number; isLive: number }>(
      'SELECT revision, body IS NOT NULL AS isLive FROM document WHERE kind = ? AND key = ? ORDER BY revision DESC LIMIT 1',
    );
    for (const [index, change] of changes.entries()) {
      if (needsVersion(change)) {
        const newest = find.get(change.kind, change.key);
        judgeChange(change, newest && { revision: newest.revision, isLive: newest.isLive === 1 });
      }
      if (index % STEP_ROWS === 0) yield;
    }
    const insert = database.prepare('INSERT INTO document (kind, key, revision, seq, body) VALUES (?, ?, ?, ?, ?)');
    for (const [seq, { kind, key, body }] of changes.entries()) {
      insert.run(kind, key, revision, seq, body);
      if (seq % STEP_ROWS === 0) yield;
    }
    const { action, actor, source, node, requestId, reason } = meta;
    database
      .prepare('INSERT INTO done (revision, at, action, actor, source, node, request_id, reason, count) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)')
      .run(revision, wallNow(), action, actor, source, node, requestId, reason, changes.length);
    database.prepare('UPDATE state SET revision = ?').run(revision);
    return revision;
  }

  async since({ revision, seq }: RowPlace, limit: number): Promise<DocumentPage> {
    return this.#read((database) => {
      const rows = database
        .prepare<[number, number, number], DocumentRow>(
          'SELECT revision, seq, kind, key, body FROM document WHERE (revision, seq) > (?, ?) ORDER BY revision, seq LIMIT ?',
        )
        .all(revision, seq, limit);
      const last = rows.length < limit ? undefined : rows.at(-1);
      return { ...this.#state(), rows, next: last === undefined ? null : { revision: last.revision, seq: last.seq } };
    });
  }

  async former(revision: number, after: Pick<DocumentRow, 'kind' | 'key'> | null, limit: number): Promise<DocumentChange[]> {
    return this.#read((database) => {
      const state = this.#state();
      if (!Number.isInteger(revision) || revision < state.floor || revision > state.revision) throw noSuchRevision(revision);
      return database
        .prepare<[number, number, string, string, number], DocumentChange>(
          `SELECT kind, key, (SELECT o.body FROM document o WHERE o.kind = d.kind AND o.key = d.key AND o.revision <= ?
             ORDER BY o.revision DESC LIMIT 1) AS body
           FROM document d WHERE revision > ? AND (kind, key) > (?, ?) GROUP BY kind, key ORDER BY kind, key LIMIT ?`,
        )
        .all(revision, revision, after?.kind ?? '', after?.key ?? '', limit);
    });
  }

  async commits(limit: number, before = Number.MAX_SAFE_INTEGER, kind?: string): Promise<DocumentCommit[]> {
    return this.#read((database) => {
      const isOfKind = ' AND EXISTS (SELECT 1 FROM document d WHERE d.revision = done.revision AND d.kind = ?)';
      const sql = `SELECT * FROM done WHERE revision < ?${kind === undefined ? '' : isOfKind} ORDER BY revision DESC LIMIT ?`;
      const given = kind === undefined ? [before, limit] : [before, kind, limit];
      const records = database.prepare<(number | string)[], CommitRecord>(sql).all(...given);
      return records.map(({ request_id: requestId, ...record }) => ({ ...record, requestId }));
    });
  }

  async steps(revision: number, afterSeq: number, limit: number): Promise<DocumentStep[]> {
    return this.#read((database) =>
      database
        .prepare<[number, number, number], DocumentStep>(
          `SELECT revision, seq, kind, key, body, (SELECT o.body FROM document o WHERE o.kind = d.kind AND o.key = d.key
             AND o.revision < d.revision ORDER BY o.revision DESC LIMIT 1) AS before
           FROM document d WHERE revision = ? AND seq > ? ORDER BY seq LIMIT ?`,
        )
        .all(revision, afterSeq, limit),
    );
  }

  async compactDocuments(limits: DocumentLimits): Promise<boolean> {
    while (this.#committing !== null) await this.#committing.catch(() => {});
    return this.#guard(() => this.#database.transaction(() => this.#compactStep(limits)).immediate());
  }

  /** Looks at the next rows up to the floor: each is newer than all older versions of its document, and a removal leaves nothing. */
  #compactStep(limits: DocumentLimits): boolean {
    const database = this.#database;
    const newest = database
      .prepare<[number], DocumentCommit>('SELECT revision, at, count FROM done ORDER BY revision DESC LIMIT ?')
      .all(limits.keep + 1);
    const floor = Math.max(this.#state().floor, documentFloor(newest, limits));
    database.prepare('UPDATE state SET floor = ?').run(floor);
    database.prepare('DELETE FROM done WHERE revision <= ?').run(floor);
    const { revision, seq } = this.#compacted;
    const rows = database
      .prepare<[number, number, number, number], DocumentRow>(
        `SELECT revision, seq, kind, key, body FROM document WHERE (revision, seq) > (?, ?) AND revision <= ?
         ORDER BY revision, seq LIMIT ?`,
      )
      .all(revision, seq, floor, COMPACTED_AT_ONCE);
    const drop = database.prepare('DELETE FROM document WHERE kind = ? AND key = ? AND (revision < ? OR (revision = ? AND body IS NULL))');
    for (const row of rows) drop.run(row.kind, row.key, row.revision, row.revision);
    const last = rows.at(-1);
    if (last !== undefined) this.#compacted = { revision: last.revision, seq: last.seq };
    return rows.length === COMPACTED_AT_ONCE;
  }

  closeDocuments(): void {
    this.#database.close();
  }

  #state(): DocumentState {
    return this.#database.prepare<[], DocumentState>('SELECT life, revision, floor FROM state').get()!;
  }

  async #read<T>(work: (database: Database.Database) => T): Promise<T> {
    while (this.#committing !== null) await this.#committing.catch(() => {});
    return this.#guard(() => this.#database.transaction(() => work(this.#database))());
  }

  #guard<T>(work: () => T): T {
    if (!this.#database.open) throw new FluxError('unavailable', 'The store is closed');
    try {
      return work();
    } catch (error) {
      throw toUnavailable(error, `The documents in ${this.#database.name} cannot be used`);
    }
  }
}

function toUnavailable(error: unknown, what: string): FluxError {
  if (error instanceof FluxError) return error;
  return new FluxError('unavailable', `${what}: ${messageOf(error)}`, { cause: error });
}
