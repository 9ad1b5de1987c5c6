/** Opens messages.db: file modes, journal, schema, and the fallback for a full disk. */

import { chmodSync, closeSync, openSync } from 'node:fs';
import { join } from 'node:path';
import Database from 'better-sqlite3';
import type { Reserve } from './reserve.ts';
import { migrateMessages } from './schema.ts';
import { causeOfSqlite } from './write-group.ts';

export const MESSAGES_FILE = 'messages.db';
/** Milliseconds to wait for another program's lock on the file. The thread is blocked in that time. */
const LOCKED_MS = 250;
const FILE_MODE = 0o600;
/** Causes that the freed reserve may remedy: the file is opened once more. */
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
 * Opens the file exclusively, which keeps the index of the write-ahead log in memory. An index file would be mapped into memory, and a disk
 * that refuses it (full, or read-only after an error) would end the process with SIGBUS.
 */
function open(path: string, logPages: number): Database.Database {
  const db = new Database(path, { timeout: LOCKED_MS });
  try {
    db.pragma('locking_mode = EXCLUSIVE');
    db.pragma('journal_mode = WAL');
    db.pragma('synchronous = FULL');
    db.pragma(`wal_autocheckpoint = ${logPages}`);
    migrateMessages(db);
    return db;
  } catch (error) {
    db.close();
    throw error;
  }
}

/** Makes the files readable for their owner only. SQLite gives new companion files the mode of the file; an earlier version left others. */
function makePrivate(path: string): void {
  try {
    closeSync(openSync(path, 'a', FILE_MODE));
  } catch {
    // SQLite reports what is wrong.
  }
  for (const file of [path, `${path}-wal`, `${path}-shm`]) {
    try {
      chmodSync(file, FILE_MODE);
    } catch {
      // The file does not exist, or has another owner.
    }
  }
}
