/** The schema of messages.db as a list of steps; the file's user_version is the number of steps taken. */

import type Database from 'better-sqlite3';
import { subscriptionKey } from '../../shared/session/session.ts';
import type { WireSubscription } from '../../shared/wire/controls.ts';
import { decodeStateOfVersion2, encodeState, encodeSubscription, type SessionState } from './codec.ts';
import { renumber } from './start-counter.ts';

const SCHEMA_1 = `
CREATE TABLE session (namespace TEXT NOT NULL, client TEXT NOT NULL, state TEXT NOT NULL, PRIMARY KEY (namespace, client)) WITHOUT ROWID;
CREATE TABLE delivery (
  row INTEGER PRIMARY KEY, namespace TEXT NOT NULL, client TEXT NOT NULL, source INTEGER NOT NULL, serial INTEGER NOT NULL,
  packet_id INTEGER NOT NULL, released INTEGER NOT NULL, qos INTEGER NOT NULL, retain INTEGER NOT NULL, identifiers TEXT NOT NULL,
  share_filter TEXT, share_name TEXT, topic TEXT NOT NULL, message_qos INTEGER NOT NULL, message_retain INTEGER NOT NULL,
  forward BLOB NOT NULL, expires_at INTEGER NOT NULL, payload BLOB NOT NULL);
CREATE UNIQUE INDEX delivery_of ON delivery (namespace, client, source, serial);
CREATE TABLE received (namespace TEXT NOT NULL, client TEXT NOT NULL, packet_id INTEGER NOT NULL, PRIMARY KEY (namespace, client, packet_id)) WITHOUT ROWID;
CREATE TABLE retained (
  namespace TEXT NOT NULL, topic TEXT NOT NULL, qos INTEGER NOT NULL, forward BLOB NOT NULL, expires_at INTEGER NOT NULL,
  sender TEXT NOT NULL, payload BLOB NOT NULL, PRIMARY KEY (namespace, topic));
`;

/** Version 1 stored the subscriptions in the session's state, which every change of one wrote again. */
const SCHEMA_2 = `
CREATE TABLE subscription (
  namespace TEXT NOT NULL, client TEXT NOT NULL, key TEXT NOT NULL, subscription TEXT NOT NULL, PRIMARY KEY (namespace, client, key)) WITHOUT ROWID;
`;

/** Versions up to 3 stored moments of the wall clock. The lasting clock begins with the wall clock's value, so they stay correct. */
const SCHEMA_4 = `
CREATE TABLE IF NOT EXISTS clock (one INTEGER PRIMARY KEY CHECK (one = 1), lasting REAL NOT NULL, wall REAL NOT NULL);
`;

/** Up to version 4, serials came from the clock, and a message that a session got directly and through a shared group was one row. */
const SCHEMA_5 = `
DROP INDEX delivery_of;
CREATE UNIQUE INDEX delivery_of ON delivery (namespace, client, source, serial, ifnull(share_filter, ''), ifnull(share_name, ''));
CREATE TABLE start (one INTEGER PRIMARY KEY CHECK (one = 1), count INTEGER NOT NULL) WITHOUT ROWID;
INSERT INTO start VALUES (1, 0);
`;

/** The endpoint that received a retained message, whose quota the message uses. Unknown for older messages. */
const RETAINED_ENDPOINT = `ALTER TABLE retained ADD COLUMN endpoint TEXT NOT NULL DEFAULT '';`;

/** Sessions with many rows end, and begin, in several commits: see stored-names.ts. */
const SCHEMA_7 = `
CREATE TABLE stored_as (namespace TEXT NOT NULL, client TEXT NOT NULL, name TEXT NOT NULL, PRIMARY KEY (namespace, client)) WITHOUT ROWID;
CREATE TABLE leftover (namespace TEXT NOT NULL, name TEXT NOT NULL, PRIMARY KEY (namespace, name)) WITHOUT ROWID;
`;

/** When a retained message was published, and topics that have lost theirs, for the comparison with other nodes. 0: not recorded. */
const RETAINED_STAMP = `
ALTER TABLE retained ADD COLUMN stamp INTEGER NOT NULL DEFAULT 0;
ALTER TABLE retained ADD COLUMN stamped_by INTEGER NOT NULL DEFAULT 0;
CREATE TABLE retained_deletion (
  namespace TEXT NOT NULL, topic TEXT NOT NULL, stamp INTEGER NOT NULL, stamped_by INTEGER NOT NULL, PRIMARY KEY (namespace, topic)) WITHOUT ROWID;
`;

/** Steps are only appended, never changed. */
const STEPS: readonly ((db: Database.Database) => void)[] = [
  (db) => db.exec(SCHEMA_1),
  (db) => {
    db.exec(SCHEMA_2);
    splitSubscriptions(db);
  },
  rewriteStates,
  (db) => db.exec(SCHEMA_4),
  (db) => {
    renumber(db);
    db.exec(SCHEMA_5);
  },
  (db) => db.exec(RETAINED_ENDPOINT),
  (db) => db.exec(SCHEMA_7),
  (db) => db.exec(RETAINED_STAMP),
];

/** The newest schema that this version knows. */
const SCHEMA_VERSION = STEPS.length;

/** Migrates the file to SCHEMA_VERSION, in one transaction. @throws Error when a newer version wrote the file */
export function migrateMessages(db: Database.Database): void {
  const version = db.pragma('user_version', { simple: true }) as number;
  if (version > SCHEMA_VERSION) throw new Error(`messages.db has version ${version}, this program knows ${SCHEMA_VERSION}`);
  if (version === SCHEMA_VERSION) return;
  db.transaction(() => {
    for (const step of STEPS.slice(version)) step(db);
    db.pragma(`user_version = ${SCHEMA_VERSION}`);
  })();
}

type StateRow = Record<'namespace' | 'client' | 'state', string>;

function states(db: Database.Database): StateRow[] {
  return db.prepare<[], StateRow>('SELECT namespace, client, state FROM session').all();
}

function splitSubscriptions(db: Database.Database): void {
  const putSubscription = db.prepare('INSERT INTO subscription VALUES (?, ?, ?, ?)');
  const putState = db.prepare('UPDATE session SET state = ? WHERE namespace = ? AND client = ?');
  for (const { namespace, client, state } of states(db)) {
    const { subscriptions, ...rest } = JSON.parse(state) as SessionState & { subscriptions: WireSubscription[] };
    // The bytes stay in the form of version 1, which the next step decodes.
    putState.run(JSON.stringify(rest), namespace, client);
    for (const each of subscriptions) putSubscription.run(namespace, client, subscriptionKey(each), encodeSubscription(each));
  }
}

/** Rewrites states. Up to version 2, bytes in a state had two forms, and the reader knew only one. */
function rewriteStates(db: Database.Database): void {
  const put = db.prepare('UPDATE session SET state = ? WHERE namespace = ? AND client = ?');
  for (const { namespace, client, state } of states(db)) put.run(encodeState(decodeStateOfVersion2(state)), namespace, client);
}
