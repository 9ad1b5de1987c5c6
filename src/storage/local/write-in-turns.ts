/** One SQLite transaction over several loop iterations of the thread, for what would hold it up as a whole. */

import { open } from 'node:fs/promises';
import type Database from 'better-sqlite3';
import { Pace } from '../../kernel/turns/pace.ts';
import type { Steps } from '../../kernel/turns/steps.ts';

/** Pages that are kept in memory before the transaction has its end: with more, all of it would be written at the end, in one go. */
const CACHE_PAGES = 50;

/**
 * Until it resolves, nobody else may read or write over this connection.
 * @param guard runs each piece of work on the database; what it throws ends the transaction, without an effect
 */
export async function writeInTurns<T>(database: Database.Database, steps: Steps<T>, guard: <R>(work: () => R) => R): Promise<T> {
  const pace = new Pace();
  const cacheSize = guard(() => database.pragma('cache_size', { simple: true }));
  guard(() => {
    database.pragma(`cache_size = ${CACHE_PAGES}`);
    database.pragma(`cache_spill = ${CACHE_PAGES}`);
    // A checkpoint comes behind, in an iteration of its own.
    database.pragma('wal_autocheckpoint = 0');
    database.exec('BEGIN IMMEDIATE');
  });
  try {
    for (let step = guard(() => steps.next()); ; step = guard(() => steps.next())) {
      if (pace.isOver) await pace.next();
      if (step.done !== true) continue;
      await flush(`${database.name}-wal`);
      guard(() => database.exec('COMMIT'));
      await pace.next();
      return step.value;
    }
  } finally {
    end(database, cacheSize);
  }
}

/** Ignores failures: the transaction has ended, and the next write reports a fault of the file itself. */
function end(database: Database.Database, cacheSize: unknown): void {
  if (!database.open) return;
  try {
    if (database.inTransaction) database.exec('ROLLBACK');
    database.pragma(`cache_size = ${cacheSize}`);
    database.pragma('wal_autocheckpoint = 1000');
    database.pragma('wal_checkpoint(PASSIVE)');
  } catch {
    // see above
  }
}

/** Has the disk take, on another thread, most of what the commit waits for. A failure is the commit's to find. */
async function flush(path: string): Promise<void> {
  const file = await open(path, 'r+').catch(() => null);
  await file?.datasync().catch(() => {});
  await file?.close();
}
