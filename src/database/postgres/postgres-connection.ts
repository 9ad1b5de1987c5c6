/** One connection to Postgres: the driver over a socket of our own, without the driver's pool, reconnects and queue. */

import { Socket } from 'node:net';
import postgres from 'postgres';
import type { DatabaseLogin } from '../../kernel/input/database-url.ts';
import type { SqlConnection, SqlFailure, SqlValue } from '../connection.ts';
import { logIn } from '../log-in.ts';
import { toPostgresFailure } from './postgres-failures.ts';
import { openSocket } from './socket.ts';

/** Statements with more values are not kept prepared: long lists of values produce too many different texts. */
const PREPARED_VALUES_MAX = 20;

/** Limits that the server enforces: they also end a statement, a lock and a transaction whose client has vanished. */
const SESSION = {
  application_name: 'fluxmq',
  synchronous_commit: 'on',
  statement_timeout: 1_800,
  lock_timeout: 1_500,
  idle_in_transaction_session_timeout: 3_000,
};

/**
 * Connects and logs in. @throws SqlFailure when that fails or is not done by `deadline` (steadyNow())
 * @param statementMs of a connection that only reads: the server ends a statement that takes longer; null: the connection also writes
 */
export async function connectPostgres(login: DatabaseLogin, deadline: number, statementMs: number | null = null): Promise<SqlConnection> {
  const connection = new PostgresConnection(login, statementMs);
  return logIn(connection, () => connection.query('SELECT 1'), deadline);
}

class PostgresConnection implements SqlConnection {
  readonly #login: DatabaseLogin;
  readonly #socket = new Socket();
  readonly #sql: postgres.Sql<{ bigint: number }>;
  /** the cause when the socket could not be opened; the driver's own error says less */
  #refusal: unknown = null;
  #isOpen = true;
  #isLoggedIn = false;

  constructor(login: DatabaseLogin, statementMs: number | null) {
    this.#login = login;
    this.#socket.once('close', () => this.destroy());
    const reads = statementMs === null ? {} : { default_transaction_read_only: true, statement_timeout: statementMs };
    const search = login.schema === null ? {} : { search_path: login.schema };
    const options: postgres.Options<{ bigint: postgres.PostgresType<number> }> & { socket: () => Promise<Socket> } = {
      host: login.host,
      port: login.port,
      database: login.database,
      username: login.username,
      password: login.password,
      max: 1,
      ssl: false,
      fetch_types: false,
      idle_timeout: 0,
      max_lifetime: null,
      backoff: false,
      onnotice: () => undefined,
      connection: { ...SESSION, ...reads, ...search },
      types: { bigint: { to: 20, from: [20], parse: Number, serialize: String } },
      socket: () => this.#open(),
    };
    this.#sql = postgres(options);
  }

  get isOpen(): boolean {
    return this.#isOpen;
  }

  async query<T>(sql: string, values: SqlValue[] = []): Promise<T[]> {
    if (!this.#isOpen) throw this.#lost();
    try {
      // a Postgres text cannot hold NUL
      const clean = values.map((value) => (typeof value === 'string' ? value.replaceAll('\0', '\ufffd') : value));
      const rows = await this.#sql.unsafe<T[] & postgres.Row[]>(sql, clean, { prepare: values.length <= PREPARED_VALUES_MAX });
      this.#isLoggedIn = true;
      return [...rows];
    } catch (error) {
      throw this.#explain(error);
    }
  }

  /** Values reach the server in a message of their own. */
  ask<T>(sql: string, values: string[]): Promise<T[]> {
    return this.query<T>(sql, values);
  }

  destroy(): void {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    this.#socket.destroy();
    this.#sql.end({ timeout: 0 }).catch(() => undefined);
  }

  /** The driver calls this once, and again when it wants to reconnect. A second call fails: the pool replaces a lost connection. */
  async #open(): Promise<Socket> {
    if (!this.#isOpen || this.#socket.connecting || this.#socket.bytesWritten > 0) throw this.#lost();
    try {
      return await openSocket(this.#socket, this.#login);
    } catch (error) {
      this.#refusal = error;
      throw error;
    }
  }

  #explain(error: unknown): SqlFailure {
    const failure = toPostgresFailure(this.#refusal ?? error, this.#login, this.#isLoggedIn);
    if (failure.reason === 'lost') this.destroy();
    return failure;
  }

  #lost(): SqlFailure {
    return toPostgresFailure(
      this.#refusal ?? Object.assign(new Error('the connection is closed'), { code: 'CONNECTION_CLOSED' }),
      this.#login,
      this.#isLoggedIn,
    );
  }
}
