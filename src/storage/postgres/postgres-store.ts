/** The POSTGRESQL store: the tables and the SQL dialect of Postgres for the store over a shared database. */

import { placeOf } from '../../database/connection.ts';
import { connectPostgres } from '../../database/postgres/postgres-connection.ts';
import type { DatabaseLogin } from '../../kernel/input/database-url.ts';
import type { NodeStore } from '../documents/document-store.ts';
import type { SqlDialect } from '../sql/dialect.ts';
import { openSqlStore } from '../sql/sql-store.ts';

const IDLE_MS = 30_000;

/** An arbitrary number. It must be the same in every version, so that all versions wait for one another. */
const SCHEMA_LOCK = 7_305_813_441;

/** Step 1 also creates the table that holds the schema version. */
const STEPS: readonly (readonly string[])[] = [
  [
    'CREATE TABLE fluxmq_schema (one smallint PRIMARY KEY CHECK (one = 1), version integer NOT NULL)',
    'INSERT INTO fluxmq_schema (one, version) VALUES (1, 0)',
    'CREATE TABLE fluxmq_state (one smallint PRIMARY KEY CHECK (one = 1), revision bigint NOT NULL)',
    'INSERT INTO fluxmq_state (one, revision) VALUES (1, 0)',
    `CREATE TABLE fluxmq_endpoint (
       id varchar(64) COLLATE "C" PRIMARY KEY,
       port integer NOT NULL UNIQUE,
       revision bigint NOT NULL,
       body text NOT NULL
     )`,
    'CREATE TABLE fluxmq_pending (revision bigint PRIMARY KEY, until_ms bigint NOT NULL, settled varchar(36))',
    `CREATE TABLE fluxmq_history (
       revision bigint NOT NULL,
       seq integer NOT NULL,
       at bigint NOT NULL,
       action varchar(32) NOT NULL,
       actor text COLLATE "C" NOT NULL,
       source varchar(32) NOT NULL,
       node varchar(64) NOT NULL,
       request_id text NOT NULL,
       reason text,
       id varchar(64) COLLATE "C" NOT NULL,
       port integer NOT NULL,
       old_port integer,
       old_body text,
       new_body text,
       commit_id varchar(36) NOT NULL,
       PRIMARY KEY (revision, seq)
     )`,
    // Covers the filters of the history, so that a page is found without reading the bodies.
    'CREATE INDEX fluxmq_history_facts ON fluxmq_history (revision, seq) INCLUDE (at, id, port, old_port)',
    'CREATE INDEX fluxmq_history_id ON fluxmq_history (id, revision)',
    'CREATE INDEX fluxmq_history_commit ON fluxmq_history (commit_id)',
  ],
  // Each filter but the time gets an index that leads to its newest rows at once. ACTOR_MAX bounds the actor names in an index.
  [
    'CREATE INDEX fluxmq_history_actor ON fluxmq_history (actor, revision, seq)',
    'CREATE INDEX fluxmq_history_port ON fluxmq_history (port, revision, seq)',
    'CREATE INDEX fluxmq_history_old_port ON fluxmq_history (old_port, revision, seq)',
  ],
  ['CREATE INDEX fluxmq_history_at ON fluxmq_history (at, revision)'],
  // Up to the floor only the newest row of each endpoint is left; until_ms: how long the owner may continue to drop rows.
  [
    'CREATE TABLE IF NOT EXISTS fluxmq_compaction (one smallint PRIMARY KEY CHECK (one = 1), floor bigint NOT NULL, owner varchar(36), until_ms bigint NOT NULL)',
    'INSERT INTO fluxmq_compaction (one, floor, until_ms) VALUES (1, 0, 0) ON CONFLICT DO NOTHING',
  ],
  // Each version of a document is a row. life: made with the tables, tells emptied ones from an older state.
  [
    `CREATE TABLE fluxmq_document_state (
       one smallint PRIMARY KEY CHECK (one = 1),
       life varchar(36) NOT NULL,
       revision bigint NOT NULL,
       floor bigint NOT NULL
     )`,
    'INSERT INTO fluxmq_document_state (one, life, revision, floor) VALUES (1, md5(random()::text || clock_timestamp()::text), 0, 0)',
    `CREATE TABLE fluxmq_document (
       kind varchar(16) COLLATE "C" NOT NULL,
       name varchar(512) COLLATE "C" NOT NULL,
       revision bigint NOT NULL,
       seq integer NOT NULL,
       body text,
       PRIMARY KEY (kind, name, revision)
     )`,
    'CREATE UNIQUE INDEX fluxmq_document_log ON fluxmq_document (revision, seq)',
    `CREATE TABLE fluxmq_document_commit (
       revision bigint PRIMARY KEY,
       at bigint NOT NULL,
       action varchar(32) NOT NULL,
       actor text NOT NULL,
       source varchar(32) NOT NULL,
       node varchar(64) NOT NULL,
       request_id text NOT NULL,
       reason text,
       changes integer NOT NULL,
       commit_id varchar(36) NOT NULL UNIQUE
     )`,
  ],
];

const DIALECT: SqlDialect = {
  table: 'fluxmq_history',
  mark: (n) => `$${n}`,
  sameText: (column, place) => `${column} = ${place()}`,
  beginRead: 'BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY',
  // Not to_regclass: it answers from the connection's cache, which may be older than the table that another node created.
  findSchema: `SELECT 1 AS found FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relname = 'fluxmq_schema' AND n.nspname = ANY (current_schemas(false))`,
  steps: STEPS,
  sizeOf: `SELECT coalesce(sum(pg_total_relation_size(c.oid)), 0)::bigint AS bytes FROM pg_catalog.pg_class c
    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE c.relname IN ('fluxmq_endpoint', 'fluxmq_history', 'fluxmq_pending', 'fluxmq_document', 'fluxmq_document_commit') AND n.nspname = ANY (current_schemas(false))`,
  lockSchema: async (connection, work) => {
    await connection.query('BEGIN');
    // Another starting node may hold the lock for longer than the usual statement timeout.
    for (const name of ['statement_timeout', 'lock_timeout']) await connection.query(`SET LOCAL ${name} = '12s'`);
    await connection.query(`SELECT pg_advisory_xact_lock(${SCHEMA_LOCK})`);
    try {
      await work();
    } catch (error) {
      if (connection.isOpen) await connection.query('ROLLBACK');
      throw error;
    }
    await connection.query('COMMIT');
  },
};

/**
 * Connects, and creates or migrates the tables (`fluxmq_…`).
 * @throws FluxError `unavailable` with `data.reason`: server away, login, database, rights, TLS, newer schema
 */
export function openPostgresStore(datasource: DatabaseLogin & { maxPoolSize: number }): Promise<NodeStore> {
  const connect = (deadline: number) => connectPostgres(datasource, deadline);
  return openSqlStore({ connect, size: datasource.maxPoolSize, idleMs: IDLE_MS, name: `Postgres at ${placeOf(datasource)}` }, DIALECT);
}
