/** The open transaction of messages.db: a group of changes that is written as a whole, or kept after a failure and written again. */

import Database from 'better-sqlite3';
import type { StoreCause } from '../../../src/thread/store-state.ts';

interface Change {
  sql: string;
  values: unknown[];
  bytes: number;
  /** dropped on failure, because its publisher gets an error */
  isRefusable: boolean;
  /** the changes after this one may be written separately */
  endsPart: boolean;
}

export interface WriteGroupHooks {
  /** A write has failed for this reason. Refusable changes of the group are dropped, all others are kept. Called once until resume(). */
  onFailed(cause: StoreCause): void;
  /** A change was dropped, because too many wait. */
  onLost(): void;
}

/** Approximate number of changes per step when they are written again after a failure. */
const STEP_CHANGES = 50;
/** Limits of waiting changes while writes fail: their number and their bytes. */
const WAITING_MAX = 100_000;
const WAITING_BYTES_MAX = 32 * 1024 * 1024;
/** Approximate bytes of a change without its values. */
const CHANGE_BYTES = 150;

/** Causes by the beginning of SQLite's code. Any other code is an error in the program. */
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

/** Null when neither the disk nor the file causes the error. */
export function causeOfSqlite(error: unknown): StoreCause | null {
  if (!(error instanceof Database.SqliteError)) return null;
  return CAUSES.find(([code]) => error.code.startsWith(code))?.[1] ?? null;
}

/**
 * stored: everything so far is on disk; failed: this group could not be written, and its refusable changes are dropped; waiting: an earlier
 * write has failed, and the changes to keep wait.
 */
export type GroupOutcome = 'stored' | 'failed' | 'waiting';

export class WriteGroup {
  readonly #db: Database.Database;
  readonly #hooks: WriteGroupHooks;
  readonly #statements = new Map<string, Database.Statement<unknown[]>>();
  #changes: Change[] = [];
  #bytes = 0;
  #isOpen = false;
  #isFailing = false;
  /** a write has failed since the last commit() */
  #hasFailedNow = false;
  /** true: later changes are refusable, and their sender gets an error */
  isRefusable = false;

  constructor(db: Database.Database, hooks: WriteGroupHooks) {
    this.#db = db;
    this.#hooks = hooks;
  }

  /** True when changes wait for a commit. */
  get isDirty(): boolean {
    return this.#changes.length > 0;
  }

  /** True when nothing is written before retry() succeeds. */
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

  /** Makes a change. @returns changed rows; 1 while writes fail: the change then waits, or is dropped when it is refusable */
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

  commit(): GroupOutcome {
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

  /** Allows the changes so far to be written without later ones, and the reverse. */
  endPart(): void {
    const last = this.#changes.at(-1);
    if (last !== undefined) last.endsPart = true;
  }

  /** Handles a write that failed outside this group. @throws the error itself when the disk is not the cause */
  fail(error: unknown): void {
    this.#failed(error);
  }

  #done(): void {
    this.#isOpen = false;
    this.#changes = [];
    this.#bytes = 0;
  }

  /** @throws the error itself when the disk is not the cause */
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
      // SQLite has already rolled back.
    }
  }

  /**
   * Writes the waiting changes, some parts per step, so that each step needs little space.
   * @param onStep called after each step, to make space for the next one
   * @returns null when all changes are on disk, otherwise the cause
   * @throws an error that the disk does not cause
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

  /** Changes in the next step: whole parts only, because a part belongs together. */
  #stepSize(): number {
    for (let at = STEP_CHANGES - 1; at < this.#changes.length; at++) if (this.#changes[at]!.endsPart) return at + 1;
    return this.#changes.length;
  }

  /** Makes changes wait, because the lack of space is known before the first attempt. */
  suspend(): void {
    this.#isFailing = true;
  }

  /** Writes changes immediately again. Call it after a successful retry(). */
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
