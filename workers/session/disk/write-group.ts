/** The open transaction of messages.db: a group of changes that is written wholly, kept and written again after a failure, never half applied. */

import Database from 'better-sqlite3';
import type { StoreCause } from '../../../src/thread/store-state.ts';

interface Change {
  sql: string;
  values: unknown[];
  bytes: number;
  /** its publisher is told when it cannot be stored: it need not be kept */
  isRefusable: boolean;
  /** what follows does not belong to it */
  endsPart: boolean;
}

export interface WriteGroupHooks {
  /** A write has failed for this reason: what the group had that is refusable is dropped, the rest is kept. Called once until onStored. */
  onFailed(cause: StoreCause): void;
  /** A change was given up, because too many wait. */
  onLost(): void;
}

/** About as many are written at once after a failure. */
const STEP_CHANGES = 50;
/** Changes that may wait while nothing can be written, and their bytes. */
const WAITING_MAX = 100_000;
const WAITING_BYTES_MAX = 32 * 1024 * 1024;
/** What a change takes beside its values, about. */
const CHANGE_BYTES = 150;

/** By the beginning of SQLite's code; what is not here is an error of the program. */
const CAUSES: [string, StoreCause][] = [
  ['SQLITE_FULL', 'disk full'],
  ['SQLITE_READONLY', 'read-only file system'],
  ['SQLITE_CORRUPT', 'database damaged'],
  ['SQLITE_NOTADB', 'database damaged'],
  ['SQLITE_IOERR', 'I/O error'],
  ['SQLITE_CANTOPEN', 'I/O error'],
  ['SQLITE_PROTOCOL', 'I/O error'],
  ['SQLITE_BUSY', 'database locked'],
  ['SQLITE_LOCKED', 'database locked'],
  ['SQLITE_PERM', 'no permission'],
  ['SQLITE_AUTH', 'no permission'],
];

/** Null: the error is none of the disk or the file. */
export function causeOfSqlite(error: unknown): StoreCause | null {
  if (!(error instanceof Database.SqliteError)) return null;
  return CAUSES.find(([code]) => error.code.startsWith(code))?.[1] ?? null;
}

/**
 * stored: everything until now is on disk; failed: this group could not be written, what was refusable in it is given up; waiting: writing
 * has failed before, and what is to be kept waits.
 */
export type CommitOutcome = 'stored' | 'failed' | 'waiting';

export class WriteGroup {
  readonly #db: Database.Database;
  readonly #hooks: WriteGroupHooks;
  readonly #statements = new Map<string, Database.Statement<unknown[]>>();
  #changes: Change[] = [];
  #bytes = 0;
  #isOpen = false;
  #isFailing = false;
  /** since the last commit() */
  #hasFailedNow = false;
  /** what is written from now on may be refused to whoever sent it */
  isRefusable = false;

  constructor(db: Database.Database, hooks: WriteGroupHooks) {
    this.#db = db;
    this.#hooks = hooks;
  }

  /** Something waits to be committed. */
  get isDirty(): boolean {
    return this.#changes.length > 0;
  }

  /** Nothing is written before retry() succeeds. */
  get isFailing(): boolean {
    return this.#isFailing;
  }

  statement(sql: string): Database.Statement<unknown[]> {
    let statement = this.#statements.get(sql);
    if (statement === undefined) {
      statement = this.#db.prepare<unknown[]>(sql);
      this.#statements.set(sql, statement);
    }
    return statement;
  }

  /** Makes a change. @returns rows changed; 1 while nothing can be written: the change waits, or is given up when it is refusable */
  run(sql: string, values: unknown[]): number {
    if (this.#isFailing && this.isRefusable) return 1;
    const change = { sql, values, bytes: CHANGE_BYTES + sizeOf(values), isRefusable: this.isRefusable, endsPart: false };
    if (this.#isFailing && (this.#changes.length >= WAITING_MAX || this.#bytes + change.bytes > WAITING_BYTES_MAX)) {
      this.#hooks.onLost();
      return 1;
    }
    this.#changes.push(change);
    this.#bytes += change.bytes;
    if (this.#isFailing) return 1;
    try {
      if (!this.#isOpen) {
        this.#db.exec('BEGIN IMMEDIATE');
        this.#isOpen = true;
      }
      return this.statement(sql).run(...values).changes;
    } catch (error) {
      this.#failed(error);
      return 1;
    }
  }

  commit(): CommitOutcome {
    if (!this.#isFailing && this.#isOpen) {
      try {
        this.#db.exec('COMMIT');
        this.#done();
      } catch (error) {
        this.#failed(error);
      }
    }
    if (!this.#isFailing) return 'stored';
    this.endPart();
    const hasFailedNow = this.#hasFailedNow;
    this.#hasFailedNow = false;
    return hasFailedNow ? 'failed' : 'waiting';
  }

  /** What was written until now, and what is written from now on, may be written one without the other. */
  endPart(): void {
    const last = this.#changes.at(-1);
    if (last !== undefined) last.endsPart = true;
  }

  /** A write beside this group has failed. @throws the error itself when it is none of the disk */
  fail(error: unknown): void {
    this.#failed(error);
  }

  #done(): void {
    this.#isOpen = false;
    this.#changes = [];
    this.#bytes = 0;
  }

  /** @throws the error itself when it is none of the disk */
  #failed(error: unknown): void {
    const cause = causeOfSqlite(error);
    this.#rollBack();
    if (cause === null) throw error;
    this.#changes = this.#changes.filter(({ isRefusable }) => !isRefusable);
    this.#bytes = this.#changes.reduce((sum, { bytes }) => sum + bytes, 0);
    if (this.#isFailing) return;
    this.#isFailing = true;
    this.#hasFailedNow = true;
    this.#hooks.onFailed(cause);
  }

  #rollBack(): void {
    this.#isOpen = false;
    try {
      if (this.#db.inTransaction) this.#db.exec('ROLLBACK');
    } catch {
      // SQLite has rolled back by itself.
    }
  }

  /**
   * Writes what waits, some parts at a time, so that each step needs little room.
   * @param onStep called after each step: room may be made for the next one
   * @returns null: it is on disk; else why not
   * @throws an error that is none of the disk
   */
  retry(onStep: () => void): StoreCause | null {
    do {
      const count = this.#stepSize();
      try {
        this.#db.exec('BEGIN IMMEDIATE');
        for (const { sql, values } of this.#changes.slice(0, count)) this.statement(sql).run(...values);
        this.#db.exec('COMMIT');
      } catch (error) {
        this.#rollBack();
        const cause = causeOfSqlite(error);
        if (cause === null) throw error;
        return cause;
      }
      for (const { bytes } of this.#changes.splice(0, count)) this.#bytes -= bytes;
      onStep();
    } while (this.#changes.length > 0);
    return null;
  }

  /** Changes of whole parts: what belongs together is written together. */
  #stepSize(): number {
    for (let at = STEP_CHANGES - 1; at < this.#changes.length; at++) if (this.#changes[at]!.endsPart) return at + 1;
    return this.#changes.length;
  }

  /** From now on changes wait: there is no room, as is known before anything was tried. */
  suspend(): void {
    this.#isFailing = true;
  }

  /** From now on changes are written as they come. To be called after a retry() that succeeded. */
  resume(): void {
    this.#isFailing = false;
  }
}

function sizeOf(values: unknown[]): number {
  let size = 0;
  for (const value of values) {
    if (typeof value === 'string') size += value.length;
    else if (value instanceof Uint8Array) size += value.byteLength;
  }
  return size;
}
