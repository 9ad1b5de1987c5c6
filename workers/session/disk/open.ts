/** Opens messages.db: file modes, journal, schema, and what can be done where the disk is full. */

import { chmodSync, closeSync, openSync } from 'node:fs';
import { join } from 'node:path';
import Database from 'better-sqlite3';
import type { Reserve } from './reserve.ts';
import { migrate } from './schema.ts';
import { causeOfSqlite } from './write-group.ts';

export const MESSAGES_FILE = 'messages.db';
/** How long another program's lock on the file is waited for, milliseconds: the thread stands still in the meantime. */
const LOCKED_MS = 250;
const FILE_MODE = 0o600;
/** Causes that room or another way to lock may help against. */
const WORTH_ANOTHER_WAY = new Set(['disk full', 'I/O error', 'read-only file system']);

/**
 * @param dataPath folder
 * @throws SqliteError, or Error when a newer version has written the file
 */
export function openMessages(dataPath: string, reserve: Reserve): Database.Database {
  const path = join(dataPath, MESSAGES_FILE);
  makePrivate(path);
  const { logPages } = reserve;
  try {
    return open(path, logPages);
  } catch (error) {
    if (!WORTH_ANOTHER_WAY.has(causeOfSqlite(error) ?? '')) throw error;
    reserve.release();
    return open(path, logPages);
  }
}

/**
 * Nobody else opens the file, so the index of the write-ahead log is kept in memory. In a file it would be mapped, and what the disk refuses
 * there (no room, read-only after an error) ends the process with SIGBUS.
 */
function open(path: string, logPages: number): Database.Database {
  const db = new Database(path, { timeout: LOCKED_MS });
  try {
    db.pragma('locking_mode = EXCLUSIVE');
    db.pragma('journal_mode = WAL');
    db.pragma('synchronous = FULL');
    db.pragma(`wal_autocheckpoint = ${logPages}`);
    migrate(db);
    return db;
  } catch (error) {
    db.close();
    throw error;
  }
}

/** Messages are nobody else's business. SQLite gives its companions the mode of the file; those of an earlier version have another one. */
function makePrivate(path: string): void {
  try {
    closeSync(openSync(path, 'a', FILE_MODE));
  } catch {
    // SQLite says what is wrong.
  }
  for (const file of [path, `${path}-wal`, `${path}-shm`]) {
    try {
      chmodSync(file, FILE_MODE);
    } catch {
      // It is not there, or somebody else's.
    }
  }
}
