/** The start counter of messages.db: the high part of every serial. It keeps a process from reusing a number that is already on disk. */

import type Database from 'better-sqlite3';
import { START_MAX } from '../../../src/thread/message-numbers.ts';

/** Not a peer number, because the peers of a process are numbered from 1. */
const NO_PEER = 0;

/**
 * Counts a start durably. Must be called once per process, before any of its threads numbers a message.
 * @returns 1..START_MAX; no message on disk has a serial of this start
 */
export function claimStart(db: Database.Database): number {
  return db.transaction(() => {
    const start = nextStart(db);
    if (start === 1) renumber(db);
    db.prepare(PUT_START).run(start);
    return start;
  })();
}

export const PUT_START = 'UPDATE start SET count = ?';

/** The number of the next start. */
export function nextStart(db: Database.Database): number {
  const { count } = db.prepare('SELECT count FROM start').get() as { count: number };
  return count >= START_MAX ? 1 : count + 1;
}

/** Renames every delivery by its row, because this process may reuse the names that earlier processes gave. */
export function renumber(db: Database.Database): void {
  db.prepare(`UPDATE delivery SET source = ${NO_PEER}, serial = row`).run();
}
