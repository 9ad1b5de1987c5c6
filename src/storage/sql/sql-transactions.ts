/** Transactions on a database that several nodes share: each write locks the one row of the state, and its outcome is looked up when the connection breaks. */

import { type SqlConnection, SqlFailure } from '../../database/connection.ts';
import { ConnectionPool, type PoolOptions } from '../../database/pool.ts';
import { steadyNow } from '../../kernel/clock.ts';
import { pause } from '../../kernel/deadline.ts';
import { FluxError } from '../../kernel/errors.ts';
import type { UnavailableData } from '../failure-reason.ts';
import type { SqlDialect } from './dialect.ts';
import { prepareSchema } from './schema.ts';
import * as statements from './statements.ts';

/** The part of a write's time that is reserved for looking up the outcome of a commit whose connection broke. */
export const LOOK_UP_MS = 600;
const RETRY_PAUSE_MS = 50;

/** The work of a write, between BEGIN and COMMIT, with the state row locked. */
export type Write<T> = (connection: SqlConnection, revision: number) => Promise<T>;

/** Each `end` is in milliseconds of steadyNow(). */
export class SqlTransactions {
  readonly #pool: ConnectionPool;
  readonly #dialect: SqlDialect;
  #isPrepared = false;
  #isClosed = false;

  constructor(pool: PoolOptions, dialect: SqlDialect) {
    this.#pool = new ConnectionPool(pool);
    this.#dialect = dialect;
  }

  /** Closes all connections. Later calls of other methods reject. Idempotent. */
  close(): void {
    this.#isClosed = true;
    this.#pool.close();
  }

  /**
   * Reads. Repeats the read once after a broken connection, because a restart of the server breaks all idle ones.
   * @throws FluxError `unavailable`
   */
  async read<T>(work: (connection: SqlConnection) => Promise<T>, end: number): Promise<T> {
    try {
      return await this.#use(end, work);
    } catch (error) {
      if (!isLost(error) || end - steadyNow() < LOOK_UP_MS) throw this.#toUnavailable(error, 'nothing-written');
    }
    try {
      return await this.#use(end, work);
    } catch (error) {
      throw this.#toUnavailable(error, 'nothing-written');
    }
  }

  /** Reads several tables at one moment, in one transaction. @throws FluxError `unavailable` */
  async readAtOnce<T>(work: (connection: SqlConnection) => Promise<T>, end: number): Promise<T> {
    return this.read((connection) => this.#transaction(connection, this.#dialect.beginRead, 'ROLLBACK', () => work(connection)), end);
  }

  /**
   * Writes exactly once, even when the connection breaks. Before COMMIT is sent, nothing can have been written, so the write is repeated.
   * Afterwards `find` looks up the outcome under the state lock: a connection that gets this lock knows that the lost transaction has
   * ended.
   * @param find returns the result of the lost transaction; null: it was not committed
   * @param lock selects the row that all writes of this kind lock, with its revision
   * @throws FluxError of the work; `unavailable`
   */
  async write<T>(
    work: Write<T>,
    find: (connection: SqlConnection) => Promise<T | null>,
    end: number,
    lock = statements.LOCK_STATE,
  ): Promise<T> {
    const inState = async (connection: SqlConnection, onCommit: () => void, run: Write<T>) =>
      this.#transaction(connection, 'BEGIN', 'COMMIT', async () => run(connection, await lockRow(connection, lock)), onCommit);
    for (let attempt = 1; ; attempt += 1) {
      let isCommitting = false;
      try {
        return await this.#use(end - LOOK_UP_MS, (connection) => inState(connection, () => (isCommitting = true), work));
      } catch (error) {
        if (isCommitting && error instanceof SqlFailure) {
          const found = await this.#lookUp(end, find, lock);
          if (found !== null) return found;
        }
        if (!isLost(error) || attempt === 2 || steadyNow() > end - 2 * LOOK_UP_MS) throw this.#toUnavailable(error, 'nothing-written');
      }
    }
  }

  /** Runs `find` after the lost transaction has ended. @throws FluxError `unavailable`, outcome unknown, when the server stays away */
  async #lookUp<T>(end: number, find: (connection: SqlConnection) => Promise<T | null>, lock: string): Promise<T | null> {
    for (;;) {
      try {
        return await this.#use(end, (connection) =>
          this.#transaction(connection, 'BEGIN', 'ROLLBACK', async () => {
            await lockRow(connection, lock);
            return find(connection);
          }),
        );
      } catch (error) {
        if (!(error instanceof SqlFailure)) throw error;
        if (this.#isClosed || steadyNow() + RETRY_PAUSE_MS >= end) throw this.#toUnavailable(error, 'unknown');
        await pause(RETRY_PAUSE_MS);
      }
    }
  }

  /** Runs `work`, then `onFinish`, and sends `finish` last. Rolls back when `work` fails. */
  async #transaction<T>(
    connection: SqlConnection,
    begin: string,
    finish: 'COMMIT' | 'ROLLBACK',
    work: () => Promise<T>,
    onFinish: () => void = () => undefined,
  ): Promise<T> {
    let result: T;
    await connection.query(begin);
    try {
      result = await work();
    } catch (error) {
      await this.#rollBack(connection);
      throw error;
    }
    if (connection.isOpen) onFinish();
    await connection.query(finish);
    return result;
  }

  async #rollBack(connection: SqlConnection): Promise<void> {
    try {
      if (connection.isOpen) await connection.query('ROLLBACK');
    } catch (error) {
      if (!(error instanceof SqlFailure)) throw error;
      // The server rolls back the transaction of a connection that is gone.
      connection.destroy();
    }
  }

  async #use<T>(deadline: number, work: (connection: SqlConnection) => Promise<T>): Promise<T> {
    return this.#pool.use(deadline, async (connection) => {
      if (!this.#isPrepared) {
        await prepareSchema(connection, this.#dialect);
        this.#isPrepared = true;
      }
      return work(connection);
    });
  }

  /** Passes a FluxError, turns a database failure into `unavailable`, and passes any other error, which is a bug. */
  #toUnavailable(error: unknown, outcome: UnavailableData['outcome']): unknown {
    if (!(error instanceof SqlFailure)) return error;
    const data: UnavailableData = { reason: error.reason, outcome };
    const unknown = `; the connection broke during the commit, and it is not known whether the change was stored: read it again when the store is back`;
    const message = this.#isClosed ? 'The store is closed' : `${error.message}${outcome === 'unknown' ? unknown : ''}`;
    return new FluxError('unavailable', message, { data, cause: error });
  }
}

async function lockRow(connection: SqlConnection, lock: string): Promise<number> {
  const [row] = await connection.query<{ revision: number }>(lock);
  if (row === undefined) throw new SqlFailure('schema', 'A table of the state is empty: something other than fluxmq changed it');
  return row.revision;
}

function isLost(error: unknown): boolean {
  return error instanceof SqlFailure && error.reason === 'lost';
}
