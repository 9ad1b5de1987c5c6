/** Reads the record of a user from Postgres, MySQL or MariaDB. */

import { placeOf, type SqlConnection, SqlFailure } from '../../../../src/database/connection.ts';
import { ConnectionPool } from '../../../../src/database/pool.ts';
import { readSqlTemplate, type SqlTemplate } from '../../../../src/endpoint/access/sql-template.ts';
import type { DatabaseAuthConfig } from '../../../../src/endpoint/endpoint.ts';
import { steadyNow } from '../../../../src/kernel/clock.ts';
import { type DatabaseLogin, readDatabaseUrl } from '../../../../src/kernel/input/database-url.ts';
import type { AskWho } from '../../../../src/thread/access/ask.ts';
import type { Asker, Notify } from '../contract.ts';
import { factOf, Unwritable } from '../facts.ts';
import type { RawRecord } from '../record/read-record.ts';
import { RecordAsker, type RecordSource } from '../record/record-asker.ts';

/** MySQL's servers end a session of ours after 12 idle seconds. */
const IDLE_MS = 8_000;

export async function openDatabaseAsker(config: DatabaseAuthConfig, notify: Notify): Promise<Asker> {
  const { address } = readDatabaseUrl(config.datasource.url);
  if (address === null) throw new Error('the URL of the database is unreadable');
  const { username, password } = config.datasource;
  return new RecordAsker(config, new DatabaseSource(config, { ...address, username, password }), notify);
}

class DatabaseSource implements RecordSource {
  readonly #template: SqlTemplate;
  readonly #pool: ConnectionPool;
  readonly #timeoutMs: number;

  constructor({ authSql, timeout, datasource }: DatabaseAuthConfig, login: DatabaseLogin) {
    this.#template = readSqlTemplate(authSql, login.kind);
    this.#timeoutMs = timeout;
    this.#pool = new ConnectionPool({
      connect: (deadline) => connect(login, deadline, timeout),
      size: datasource.connections,
      idleMs: IDLE_MS,
      name: `${login.kind === 'postgres' ? 'Postgres' : 'MySQL'} at ${placeOf(login)}`,
    });
  }

  async find(who: AskWho, signal: AbortSignal): Promise<RawRecord | null | 'many'> {
    const values = this.#valuesOf(who);
    if (values === null || signal.aborted) return null;
    const rows = await this.#ask(values);
    if (rows.length > 1) return 'many';
    const [row] = rows;
    if (row === undefined) return null;
    const record = Object.fromEntries(Object.entries(row).map(([name, value]) => [name.toLowerCase(), value]));
    if (!('password' in record || 'password_hash' in record)) throw new Error('the answer has no column password');
    return record;
  }

  /** The pool destroys a connection that misses the deadline. */
  async #ask(values: string[]): Promise<RawRecord[]> {
    try {
      const { sql } = this.#template;
      return await this.#pool.use(steadyNow() + this.#timeoutMs, (connection) => connection.ask<RawRecord>(sql, values));
    } catch (error) {
      if (isAboutValue(error)) return [];
      throw toSafe(error);
    }
  }

  /** Null: the client lacks a value, or has one that no column can hold, and so no such user exists. */
  #valuesOf(who: AskWho): string[] | null {
    const values: string[] = [];
    try {
      for (const name of this.#template.parameters) {
        const fact = factOf(who, name);
        if (fact === null || fact.includes('\0')) return null;
        values.push(fact);
      }
    } catch (error) {
      if (error instanceof Unwritable) return null;
      throw error;
    }
    return values;
  }

  async close(): Promise<void> {
    this.#pool.close();
  }
}

/** The drivers are loaded when they are needed: most nodes ask no database. */
async function connect(login: DatabaseLogin, deadline: number, statementMs: number): Promise<SqlConnection> {
  if (login.kind === 'postgres') {
    const { connectPostgres } = await import('../../../../src/database/postgres/postgres-connection.ts');
    return connectPostgres(login, deadline, statementMs);
  }
  const { connectMysql } = await import('../../../../src/database/mysql/mysql-connection.ts');
  return connectMysql(login, deadline, statementMs);
}

/** SQLSTATE class 22: a value that does not fit its column, such as a name where a number is compared, and so no user has it. */
function isAboutValue(error: unknown): boolean {
  const cause =
    error instanceof SqlFailure ? (error.cause as { code?: unknown; sqlState?: unknown; severity?: unknown } | undefined) : undefined;
  const state = cause?.severity === undefined ? cause?.sqlState : cause.code;
  return typeof state === 'string' && /^22/.test(state);
}

/** The server's words about a statement may repeat a value: the state of the error is enough. */
function toSafe(error: unknown): Error {
  if (!(error instanceof SqlFailure)) return error as Error;
  if (['away', 'lost', 'tls'].includes(error.reason)) return error;
  const { code } = (error.cause ?? {}) as { code?: unknown };
  const words: Partial<Record<SqlFailure['reason'], string>> = {
    login: 'the database refuses the login',
    database: 'the database does not exist',
    rights: 'the account lacks rights, or the query writes',
    schema: 'the query does not fit the tables',
    busy: 'the database is busy',
  };
  return new Error(`${words[error.reason] ?? 'the query fails'} (${typeof code === 'string' ? code : error.reason})`);
}
