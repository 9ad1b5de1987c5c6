/** One broker per data folder: a lock that the operating system releases when the process ends, however it ends. */

import { accessSync, chmodSync, closeSync, constants, existsSync, openSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import Database from 'better-sqlite3';
import { FluxError } from '../../kernel/errors.ts';

const FILE_MODE = 0o600;

export interface FolderLock {
  release(): void;
}

/**
 * Locks the folder for this process. The lock is an open exclusive transaction on a separate database, so that no stale lock file can
 * remain.
 * @throws FluxError `unavailable` when another broker has the folder
 */
export function lockFolder(dataPath: string): FolderLock {
  const path = join(dataPath, 'lock.db');
  makePrivate(path);
  const database = new Database(path, { timeout: 0 });
  try {
    database.pragma('journal_mode = DELETE');
    database.exec('BEGIN EXCLUSIVE');
  } catch (error) {
    database.close();
    if (isDamaged(error)) {
      // The file is empty of data, and only the lock on it counts.
      rmSync(path);
      return lockFolder(dataPath);
    }
    if (!isBusy(error)) throw error;
    throw new FluxError('unavailable', `The data folder ${dataPath} is in use by another fluxmq process`, { cause: error });
  }
  return { release: () => database.close() };
}

/** True while a broker has the folder. Nothing is written. @throws Error when the folder cannot be read */
export function isFolderInUse(dataPath: string): boolean {
  const path = join(dataPath, 'lock.db');
  accessSync(dataPath, constants.R_OK | constants.X_OK);
  if (!existsSync(path)) return false;
  const database = new Database(path, { timeout: 0, readonly: true });
  try {
    database.pragma('schema_version');
    return false;
  } catch (error) {
    if (isBusy(error)) return true;
    if (isDamaged(error)) return false;
    throw error;
  } finally {
    database.close();
  }
}

function isBusy(error: unknown): boolean {
  return error instanceof Database.SqliteError && error.code.startsWith('SQLITE_BUSY');
}

function isDamaged(error: unknown): boolean {
  return error instanceof Database.SqliteError && (error.code === 'SQLITE_NOTADB' || error.code.startsWith('SQLITE_CORRUPT'));
}

/** Sets the mode before SQLite opens the file, because the journal inherits it. */
function makePrivate(path: string): void {
  try {
    closeSync(openSync(path, 'a', FILE_MODE));
    chmodSync(path, FILE_MODE);
  } catch {
    // SQLite reports the cause when it opens the file.
  }
}
