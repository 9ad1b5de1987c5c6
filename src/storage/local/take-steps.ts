/** Schemas of SQLite databases as lists of steps: the database's user_version is the number of steps that it has taken. */

import type { Database } from 'better-sqlite3';
import { FluxError } from '../../kernel/errors.ts';

/**
 * Takes the steps that are missing; each is all or nothing.
 * @param steps a step is appended, never changed
 * @throws FluxError `unavailable` when a newer version wrote the database
 */
export function takeSteps(database: Database, steps: readonly string[]): void {
  const version = Number(database.pragma('user_version', { simple: true }));
  if (version > steps.length) {
    const message = `${database.name} was written by a newer fluxmq (schema ${version}; this version knows ${steps.length})`;
    throw new FluxError('unavailable', message);
  }
  for (const [index, step] of steps.entries()) {
    if (index < version) continue;
    database.transaction(() => {
      database.exec(step);
      database.pragma(`user_version = ${index + 1}`);
    })();
  }
}
