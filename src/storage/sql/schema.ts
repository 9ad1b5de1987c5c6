/** Brings the tables of a database store to this program's version, once for all nodes that start at the same time. */

import { type SqlConnection, SqlFailure } from '../../database/connection.ts';
import type { SqlDialect } from './dialect.ts';

/**
 * Creates or migrates the tables under a lock, and checks that this account may write them.
 * @throws SqlFailure `schema` when a newer version wrote them; `rights`, `lost`, …
 */
export async function prepareSchema(connection: SqlConnection, dialect: SqlDialect): Promise<void> {
  const known = dialect.steps.length;
  if ((await readVersion(connection, dialect)) < known) {
    await dialect.lockSchema(connection, async () => {
      // Another node may have migrated while this one waited for the lock.
      const version = await readVersion(connection, dialect);
      for (const [index, statements] of dialect.steps.entries()) {
        if (index < version) continue;
        for (const statement of statements) await connection.query(statement);
        await connection.query(`UPDATE fluxmq_schema SET version = ${index + 1}`);
      }
    });
  }
  await probeRights(connection);
}

async function readVersion(connection: SqlConnection, dialect: SqlDialect): Promise<number> {
  const [table] = await connection.query(dialect.findSchema);
  if (table === undefined) return 0;
  const [row] = await connection.query<{ version: number }>('SELECT version FROM fluxmq_schema');
  const version = row?.version ?? 0;
  if (version > dialect.steps.length) {
    const message = `The tables were written by a newer fluxmq (schema ${version}; this version knows ${dialect.steps.length})`;
    throw new SqlFailure('schema', message);
  }
  return version;
}

/** Runs statements that change nothing, and need every right that a commit needs. */
async function probeRights(connection: SqlConnection): Promise<void> {
  await connection.query('BEGIN');
  try {
    await connection.query('SELECT revision FROM fluxmq_state WHERE one = 1 FOR UPDATE');
    await connection.query('UPDATE fluxmq_state SET revision = revision WHERE one = 0');
    for (const table of ['fluxmq_endpoint', 'fluxmq_pending', 'fluxmq_history']) {
      await connection.query(`INSERT INTO ${table} SELECT * FROM ${table} WHERE revision < 0`);
    }
    await connection.query('DELETE FROM fluxmq_endpoint WHERE revision < 0');
    await connection.query('UPDATE fluxmq_pending SET settled = settled WHERE revision < 0');
  } finally {
    if (connection.isOpen) await connection.query('ROLLBACK');
  }
}
