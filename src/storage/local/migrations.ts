/** The schema of the LOCAL store in steps. */

import type { Database } from 'better-sqlite3';
import { takeSteps } from './take-steps.ts';

const STEPS = [
  `CREATE TABLE state (
     one INTEGER PRIMARY KEY CHECK (one = 1),
     revision INTEGER NOT NULL
   ) STRICT;
   INSERT INTO state (one, revision) VALUES (1, 0);
   CREATE TABLE endpoint (
     id TEXT PRIMARY KEY,
     port INTEGER NOT NULL UNIQUE,
     revision INTEGER NOT NULL,
     body TEXT NOT NULL
   ) STRICT;
   CREATE TABLE history (
     revision INTEGER NOT NULL,
     seq INTEGER NOT NULL,
     at INTEGER NOT NULL,
     action TEXT NOT NULL,
     actor TEXT NOT NULL,
     source TEXT NOT NULL,
     node TEXT NOT NULL,
     request_id TEXT NOT NULL,
     reason TEXT,
     id TEXT NOT NULL,
     port INTEGER NOT NULL,
     old_port INTEGER,
     before TEXT,
     after TEXT,
     PRIMARY KEY (revision, seq)
   ) STRICT;`,
  // The index covers every filter of the history, so that a page is found without reading the bodies.
  `CREATE TABLE pending (
     revision INTEGER PRIMARY KEY,
     until INTEGER NOT NULL
   ) STRICT;
   ALTER TABLE history RENAME COLUMN before TO old_body;
   ALTER TABLE history RENAME COLUMN after TO new_body;
   CREATE INDEX history_facts ON history (revision, seq, at, actor, id, port, old_port);`,
  // Each filter but the time gets an index that leads to its newest rows at once.
  `CREATE INDEX history_id ON history (id, revision, seq);
   CREATE INDEX history_actor ON history (actor, revision, seq);
   CREATE INDEX history_port ON history (port, revision, seq);
   CREATE INDEX history_old_port ON history (old_port, revision, seq);`,
  'CREATE INDEX history_at ON history (at, revision);',
  // Up to the floor only the newest row of each endpoint is left.
  `CREATE TABLE IF NOT EXISTS compaction (
     one INTEGER PRIMARY KEY CHECK (one = 1),
     floor INTEGER NOT NULL
   ) STRICT;
   INSERT OR IGNORE INTO compaction (one, floor) VALUES (1, 0);`,
];

/** The newest schema that this version knows. */
export const CONFIG_SCHEMA_VERSION = STEPS.length;

/**
 * Brings the database to CONFIG_SCHEMA_VERSION; each step is all or nothing.
 * @throws FluxError `unavailable` when a newer version wrote the database
 */
export function migrateConfig(database: Database): void {
  takeSteps(database, STEPS);
}
