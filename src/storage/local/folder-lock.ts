/** One broker per data folder: a lock that the operating system lets go when the process ends, however it ends. */

import { chmodSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import Database from 'better-sqlite3';
import { FluxError } from '../../kernel/errors.ts';

export interface FolderLock {
  release(): void;
}

/**
 * Takes the folder for this process. The lock is an open exclusive transaction on a database of its own, so no stale file can be left behind.
 * @throws FluxError `unavailable` when another broker has the folder
 */
export function lockFolder(dataPath: string): FolderLock {
  const path = join(dataPath, 'lock.db');
  const database = new Database(path, { timeout: 0 });
  try {
    database.pragma('journal_mode = DELETE');
    database.exec('BEGIN EXCLUSIVE');
    makePrivate(path);
  } catch (error) {
    database.close();
    if (isDamaged(error)) {
      // There is nothing in it: only the lock on it counts.
      rmSync(path);
      return lockFolder(dataPath);
    }
    if (!isBusy(error)) throw error;
    throw new FluxError('unavailable', `The data folder ${dataPath} is in use by another fluxmq process`, { cause: error });
  }
  return { release: () => database.close() };
}

function isBusy(error: unknown): boolean {
  return error instanceof Database.SqliteError && error.code.startsWith('SQLITE_BUSY');
}

function isDamaged(error: unknown): boolean {
  return error instanceof Database.SqliteError && (error.code === 'SQLITE_NOTADB' || error.code.startsWith('SQLITE_CORRUPT'));
}

function makePrivate(path: string): void {
  try {
    chmodSync(path, 0o600);
  } catch {
    // It is not there yet, or the file system is read-only.
  }
}
