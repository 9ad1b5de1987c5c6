/** The MYSQL store: the tables and the SQL dialect of MySQL and MariaDB for the store over a shared database. */

import { placeOf, SqlFailure } from '../../database/connection.ts';
import { connectMysql } from '../../database/mysql/mysql-connection.ts';
import type { DatabaseLogin } from '../../kernel/input/database-url.ts';
import type { NodeStore } from '../documents/document-store.ts';
import type { HistoryPath } from '../history-sql.ts';
import type { SqlDialect } from '../sql/dialect.ts';
import { openSqlStore } from '../sql/sql-store.ts';

/** Less than the session's wait_timeout. */
const IDLE_MS = 8_000;

/** Compares byte by byte: ids and actor names are exact. */
const EXACT = 'CHARACTER SET utf8mb4 COLLATE utf8mb4_bin';
const TABLE = 'ENGINE = InnoDB ROW_FORMAT = DYNAMIC DEFAULT CHARACTER SET utf8mb4';

/**
 * Statements that may be repeated: CREATE TABLE commits implicitly, so a server that is killed may have kept only some statements of a
 * step.
 */
const STEPS: readonly (readonly string[])[] = [
  [
    `CREATE TABLE IF NOT EXISTS fluxmq_schema (one SMALLINT PRIMARY KEY, version INT NOT NULL) ${TABLE}`,
    'INSERT IGNORE INTO fluxmq_schema (one, version) VALUES (1, 0)',
    `CREATE TABLE IF NOT EXISTS fluxmq_state (one SMALLINT PRIMARY KEY, revision BIGINT NOT NULL) ${TABLE}`,
    'INSERT IGNORE INTO fluxmq_state (one, revision) VALUES (1, 0)',
    `CREATE TABLE IF NOT EXISTS fluxmq_endpoint (
       id VARCHAR(64) ${EXACT} PRIMARY KEY,
       port INT NOT NULL UNIQUE,
       revision BIGINT NOT NULL,
       body LONGTEXT NOT NULL
     ) ${TABLE}`,
    `CREATE TABLE IF NOT EXISTS fluxmq_pending (
       revision BIGINT PRIMARY KEY,
       until_ms BIGINT NOT NULL,
       settled VARCHAR(36)
     ) ${TABLE}`,
    // The key fluxmq_history_facts covers every filter of the history: a page is found without reading the bodies.
    `CREATE TABLE IF NOT EXISTS fluxmq_history (
       revision BIGINT NOT NULL,
       seq INT NOT NULL,
       at BIGINT NOT NULL,
       action VARCHAR(32) NOT NULL,
       actor VARCHAR(255) ${EXACT} NOT NULL,
       source VARCHAR(32) NOT NULL,
       node VARCHAR(64) NOT NULL,
       request_id TEXT NOT NULL,
       reason TEXT,
       id VARCHAR(64) ${EXACT} NOT NULL,
       port INT NOT NULL,
       old_port INT,
       old_body LONGTEXT,
       new_body LONGTEXT,
       commit_id VARCHAR(36) NOT NULL,
       PRIMARY KEY (revision, seq),
       KEY fluxmq_history_facts (revision, seq, at, actor, id, port, old_port),
       KEY fluxmq_history_id (id, revision),
       KEY fluxmq_history_commit (commit_id)
     ) ${TABLE}`,
  ],
  // Each filter but the time gets an index that leads to its newest rows at once.
  addIndexes(
    ['fluxmq_history_actor', 'actor, revision, seq'],
    ['fluxmq_history_port', 'port, revision, seq'],
    ['fluxmq_history_old_port', 'old_port, revision, seq'],
  ),
  addIndexes(['fluxmq_history_at', 'at, revision']),
  // Up to the floor only the newest row of each endpoint is left; until_ms: how long the owner may continue to drop rows.
  [
    `CREATE TABLE IF NOT EXISTS fluxmq_compaction (
       one SMALLINT PRIMARY KEY,
       floor BIGINT NOT NULL,
       owner VARCHAR(36),
       until_ms BIGINT NOT NULL
     ) ${TABLE}`,
    'INSERT IGNORE INTO fluxmq_compaction (one, floor, until_ms) VALUES (1, 0, 0)',
  ],
  // Each version of a document is a row. life: made with the tables, tells emptied ones from an older state.
  [
    `CREATE TABLE IF NOT EXISTS fluxmq_document_state (
       one SMALLINT PRIMARY KEY,
       life VARCHAR(36) NOT NULL,
       revision BIGINT NOT NULL,
       floor BIGINT NOT NULL
     ) ${TABLE}`,
    'INSERT IGNORE INTO fluxmq_document_state (one, life, revision, floor) VALUES (1, UUID(), 0, 0)',
    `CREATE TABLE IF NOT EXISTS fluxmq_document (
       kind VARCHAR(16) ${EXACT} NOT NULL,
       name VARCHAR(512) ${EXACT} NOT NULL,
       revision BIGINT NOT NULL,
       seq INT NOT NULL,
       body LONGTEXT,
       PRIMARY KEY (kind, name, revision),
       UNIQUE KEY fluxmq_document_log (revision, seq)
     ) ${TABLE}`,
    `CREATE TABLE IF NOT EXISTS fluxmq_document_commit (
       revision BIGINT PRIMARY KEY,
       at BIGINT NOT NULL,
       action VARCHAR(32) NOT NULL,
       actor VARCHAR(255) NOT NULL,
       source VARCHAR(32) NOT NULL,
       node VARCHAR(64) NOT NULL,
       request_id TEXT NOT NULL,
       reason TEXT,
       changes INT NOT NULL,
       commit_id VARCHAR(36) NOT NULL UNIQUE
     ) ${TABLE}`,
  ],
];

/** Adds indexes to the history in one statement, unless they exist already: an interrupted step runs again. */
function addIndexes(...indexes: [name: string, columns: string][]): string[] {
  return [
    `SET @fluxmq_step = IF(
       EXISTS (SELECT 1 FROM information_schema.statistics
         WHERE table_schema = DATABASE() AND table_name = 'fluxmq_history' AND index_name = '${indexes[0]![0]}'),
       'DO 0',
       'ALTER TABLE fluxmq_history ${indexes.map(([name, columns]) => `ADD INDEX ${name} (${columns})`).join(', ')}')`,
    'PREPARE fluxmq_step FROM @fluxmq_step',
    'EXECUTE fluxmq_step',
    'DEALLOCATE PREPARE fluxmq_step',
  ];
}

/**
 * Forced, because the server would read the rows with their bodies for any ORDER BY. The key that covers all filters serves a time range.
 */
const INDEXES: Record<HistoryPath, string> = {
  id: 'fluxmq_history_id',
  port: 'fluxmq_history_port',
  old_port: 'fluxmq_history_old_port',
  actor: 'fluxmq_history_actor',
  at: 'fluxmq_history_facts',
  span: 'fluxmq_history_at',
  revision: 'PRIMARY',
};

/** Lock names are global to the server, so the name includes the database. */
const LOCK_NAME = "CONCAT('fluxmq_', SHA1(DATABASE()))";
const LOCK_SECONDS = 12;

const DIALECT: SqlDialect = {
  table: 'fluxmq_history',
  mark: () => '?',
  index: (by) => ` FORCE INDEX (${INDEXES[by]})`,
  // = ignores trailing spaces
  sameText: (column, place) => `${column} = ${place()} AND CHAR_LENGTH(${column}) = CHAR_LENGTH(${place()})`,
  beginRead: 'START TRANSACTION READ ONLY',
  findSchema: "SELECT 1 AS found FROM information_schema.tables WHERE table_schema = DATABASE() AND table_name = 'fluxmq_schema'",
  steps: STEPS,
  sizeOf: `SELECT CAST(coalesce(sum(data_length + index_length), 0) AS SIGNED) AS bytes FROM information_schema.tables
    WHERE table_schema = DATABASE() AND table_name LIKE 'fluxmq\\_%'`,
  lockSchema: async (connection, work) => {
    const [row] = await connection.query<{ done: number | null }>(`SELECT GET_LOCK(${LOCK_NAME}, ${LOCK_SECONDS}) AS done`);
    if (row?.done !== 1) throw new SqlFailure('busy', 'Another node has been changing the tables for too long');
    try {
      await work();
    } finally {
      if (connection.isOpen) await connection.query(`SELECT RELEASE_LOCK(${LOCK_NAME})`);
    }
  },
};

/**
 * Connects, and creates or migrates the tables (`fluxmq_…`).
 * @throws FluxError `unavailable` with `data.reason`: server away, login, database, rights, TLS, newer schema
 */
export function openMysqlStore(datasource: DatabaseLogin & { maxPoolSize: number }): Promise<NodeStore> {
  const connect = (deadline: number) => connectMysql(datasource, deadline);
  return openSqlStore({ connect, size: datasource.maxPoolSize, idleMs: IDLE_MS, name: `MySQL at ${placeOf(datasource)}` }, DIALECT);
}
