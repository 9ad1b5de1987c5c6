/** messages.db as earlier versions of the program left it, for the tests that open one. */

import { join } from 'node:path';
import Database from 'better-sqlite3';

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
const SCHEMA_2 = `
CREATE TABLE subscription (
  namespace TEXT NOT NULL, client TEXT NOT NULL, key TEXT NOT NULL, subscription TEXT NOT NULL, PRIMARY KEY (namespace, client, key)) WITHOUT ROWID;
`;

const SCHEMA_4 = `
CREATE TABLE IF NOT EXISTS clock (one INTEGER PRIMARY KEY CHECK (one = 1), lasting REAL NOT NULL, wall REAL NOT NULL);
`;

/** An open file of this version, without content, for the caller to fill and close. */
export function oldFile(folder: string, version: 1 | 2 | 4): Database.Database {
  const file = new Database(join(folder, 'messages.db'));
  file.pragma('journal_mode = WAL');
  file.exec(SCHEMA_1 + (version >= 2 ? SCHEMA_2 : '') + (version >= 4 ? SCHEMA_4 : ''));
  file.pragma(`user_version = ${version}`);
  return file;
}
