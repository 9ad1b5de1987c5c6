/** One connection to MySQL or MariaDB: the driver over a socket of our own, which can be destroyed at any moment. */

import { Socket } from 'node:net';
import { type Connection, createConnection } from 'mysql2';
import type { DatabaseLogin } from '../../kernel/input/database-url.ts';
import { type SqlConnection, SqlFailure, type SqlValue } from '../connection.ts';
import { logIn } from '../log-in.ts';
import { type TlsDemands, tlsDemands } from '../secure.ts';
import { toMysqlFailure } from './mysql-failures.ts';

/**
 * The driver inserts values into the text with backslash escapes, so the mode that allows them is set first. `wait_timeout` (seconds) ends
 * a transaction whose client has vanished, and so frees its locks; the pool closes idle connections earlier.
 */
const SESSION = [
  "SET SESSION sql_mode = 'STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION', innodb_lock_wait_timeout = 1, wait_timeout = 12, autocommit = 1",
  'SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ',
];

/** Settings of a connection that only reads. MariaDB and MySQL name the time limit of a statement differently; each skips the other's comment. */
function readingOnly(statementMs: number): string[] {
  const limits = `/*M!100101 , max_statement_time = ${statementMs / 1000} */ /*!50708 , max_execution_time = ${statementMs} */`;
  return [`SET SESSION autocommit = 1 ${limits}`, 'SET SESSION TRANSACTION READ ONLY'];
}

/**
 * Connects and logs in. @throws SqlFailure when that fails or is not done by `deadline` (steadyNow())
 * @param statementMs of a connection that only reads: the server ends a statement that takes longer; null: the connection also writes
 */
export async function connectMysql(login: DatabaseLogin, deadline: number, statementMs: number | null = null): Promise<SqlConnection> {
  const session = statementMs === null ? SESSION : [...SESSION, ...readingOnly(statementMs)];
  const demands = tlsDemands(login);
  try {
    return await connect(login, demands, deadline, session);
  } catch (error) {
    const isWithoutTls =
      error instanceof SqlFailure && (error.cause as NodeJS.ErrnoException | undefined)?.code === 'HANDSHAKE_NO_SSL_SUPPORT';
    if (!isWithoutTls || demands?.isOptional !== true) throw error;
    return connect(login, null, deadline, session);
  }
}

async function connect(
  login: DatabaseLogin,
  demands: TlsDemands | null,
  deadline: number,
  session: readonly string[],
): Promise<SqlConnection> {
  const connection = new MysqlConnection(login, demands);
  return logIn(connection, () => connection.logIn(session), deadline);
}

class MysqlConnection implements SqlConnection {
  readonly #login: DatabaseLogin;
  readonly #socket = new Socket();
  readonly #driver: Connection;
  #isOpen = true;
  #isLoggedIn = false;

  constructor(login: DatabaseLogin, demands: TlsDemands | null) {
    this.#login = login;
    // Each statement that waits for its answer listens for the end of the connection.
    this.#socket.setMaxListeners(0);
    this.#socket.setNoDelay(true);
    this.#socket.setKeepAlive(true, 30_000);
    this.#socket.once('close', () => {
      this.#isOpen = false;
    });
    const { host, port, database, username: user, password } = login;
    this.#driver = createConnection({
      host,
      port,
      database,
      user,
      password,
      charset: 'utf8mb4',
      // the deadline of connectMysql destroys the socket
      connectTimeout: 0,
      stream: () => this.#socket.connect(port, host),
      ...(demands === null ? {} : { ssl: toDriver(demands) }),
    });
    // Each query reports its own error. Without a listener the driver's event would end the process.
    this.#driver.on('error', () => this.destroy());
  }

  get isOpen(): boolean {
    return this.#isOpen;
  }

  async logIn(session: readonly string[]): Promise<void> {
    await this.#answer<void>((done) => this.#driver.connect((error) => done(error, undefined)));
    for (const statement of session) await this.query(statement);
    this.#isLoggedIn = true;
  }

  query<T>(sql: string, values: SqlValue[] = []): Promise<T[]> {
    return this.#answer<T[]>((done) => {
      this.#driver.query(sql, values, (error, rows) => done(error, Array.isArray(rows) ? (rows as T[]) : []));
    });
  }

  /** Prepared: query() writes values into the text. */
  ask<T>(sql: string, values: string[]): Promise<T[]> {
    return this.#answer<T[]>((done) => {
      this.#driver.execute(sql, values, (error, rows) => done(error, Array.isArray(rows) ? (rows as T[]) : []));
    });
  }

  destroy(): void {
    this.#isOpen = false;
    this.#driver.destroy();
    this.#socket.destroy();
  }

  /** The answer of the driver, or the end of the connection, which the driver does not report to every waiting query. */
  #answer<T>(ask: (done: (error: Error | null, result: T) => void) => void): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      const fail = (error: unknown) => {
        this.#socket.off('close', onClose);
        const failure = toMysqlFailure(error, this.#login, this.#isLoggedIn);
        if (failure.reason === 'lost') this.destroy();
        reject(failure);
      };
      const onClose = () => fail(Object.assign(new Error('the connection is closed'), { code: 'PROTOCOL_CONNECTION_LOST' }));
      if (!this.#isOpen) return onClose();
      this.#socket.once('close', onClose);
      ask((error, result) => {
        if (error !== null) return fail(error);
        this.#socket.off('close', onClose);
        resolve(result);
      });
    });
  }
}

function toDriver({ rejectUnauthorized, verifyIdentity, ca }: TlsDemands) {
  return { rejectUnauthorized, verifyIdentity, ...(ca === undefined ? {} : { ca }) };
}
