/** One broker per data folder: a lock that the operating system lets go when the process ends, however it ends. */

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
  const database = new Database(join(dataPath, 'lock.db'), { timeout: 0 });
  try {
    database.pragma('journal_mode = DELETE');
    database.exec('BEGIN EXCLUSIVE');
  } catch (error) {
    database.close();
    if (!isBusy(error)) throw error;
    throw new FluxError('unavailable', `The data folder ${dataPath} is in use by another fluxmq process`, { cause: error });
  }
  return { release: () => database.close() };
}

function isBusy(error: unknown): boolean {
  return error instanceof Database.SqliteError && error.code.startsWith('SQLITE_BUSY');
}
