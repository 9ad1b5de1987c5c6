/** A bounded set of connections to one database. Every use has a deadline; a connection that misses it is not used again. */

import { steadyNow } from '../kernel/clock.ts';
import { within } from '../kernel/deadline.ts';
import { type SqlConnection, SqlFailure } from './connection.ts';

/** A reachable server answers a login within this time. */
const CONNECT_MS = 1_800;

export interface PoolOptions {
  /** @throws SqlFailure; must settle by `deadline` (steadyNow()) */
  connect(deadline: number): Promise<SqlConnection>;
  /** largest number of connections */
  size: number;
  /** an idle connection is closed after this many milliseconds */
  idleMs: number;
  /** for messages: `Postgres at db:5432` */
  name: string;
}

interface Waiter {
  resolve(): void;
}

export class ConnectionPool {
  readonly #options: PoolOptions;
  /** newest last; the newest are used first, so that the others can time out */
  readonly #idle: { connection: SqlConnection; timer: NodeJS.Timeout }[] = [];
  readonly #inUse = new Set<SqlConnection>();
  readonly #waiting: Waiter[] = [];
  /** connections in use or being opened */
  #taken = 0;
  #isClosed = false;

  constructor(options: PoolOptions) {
    this.#options = options;
  }

  /**
   * Runs the work with a connection of its own. When `deadline` (steadyNow()) passes, the connection is destroyed, so that
   * no later statement of the work can reach the server.
   * @throws SqlFailure `away`, `lost`, …; the errors of the work
   */
  async use<T>(deadline: number, work: (connection: SqlConnection) => Promise<T>): Promise<T> {
    await this.#takePlace(deadline);
    let connection: SqlConnection | null = null;
    try {
      connection = this.#takeIdle() ?? (await this.#options.connect(Math.min(deadline, steadyNow() + CONNECT_MS)));
      if (this.#isClosed) throw this.#closed();
      this.#inUse.add(connection);
      return await this.#withDeadline(connection, deadline, work);
    } catch (error) {
      // One lost connection probably means that all are lost: the server or a firewall was restarted.
      if (error instanceof SqlFailure && error.reason === 'lost') this.#dropIdle();
      throw error;
    } finally {
      if (connection !== null) this.#giveBack(connection);
      this.#taken -= 1;
      this.#waiting.shift()?.resolve();
    }
  }

  /** Closes every connection; running work fails. Idempotent. */
  close(): void {
    this.#isClosed = true;
    this.#dropIdle();
    for (const connection of this.#inUse) connection.destroy();
    for (const waiter of this.#waiting.splice(0)) waiter.resolve();
  }

  async #takePlace(deadline: number): Promise<void> {
    while (!this.#isClosed && this.#taken >= this.#options.size) {
      const left = deadline - steadyNow();
      if (left <= 0) throw new SqlFailure('busy', `${this.#options.name}: no connection became free in time`);
      await new Promise<void>((resolve) => {
        const waiter = {
          resolve: () => {
            clearTimeout(timer);
            resolve();
          },
        };
        const timer = setTimeout(() => {
          this.#waiting.splice(this.#waiting.indexOf(waiter), 1);
          resolve();
        }, left);
        this.#waiting.push(waiter);
      });
    }
    if (this.#isClosed) throw this.#closed();
    this.#taken += 1;
  }

  #withDeadline<T>(connection: SqlConnection, deadline: number, work: (connection: SqlConnection) => Promise<T>): Promise<T> {
    return within(Math.max(0, deadline - steadyNow()), work(connection), () => {
      // The work then fails by itself, and its error is ignored.
      connection.destroy();
      return new SqlFailure('lost', `${this.#options.name} does not answer`);
    });
  }

  #takeIdle(): SqlConnection | null {
    for (let last = this.#idle.pop(); last !== undefined; last = this.#idle.pop()) {
      clearTimeout(last.timer);
      if (last.connection.isOpen) return last.connection;
    }
    return null;
  }

  #giveBack(connection: SqlConnection): void {
    this.#inUse.delete(connection);
    if (this.#isClosed) connection.destroy();
    if (!connection.isOpen) return;
    const timer = setTimeout(() => {
      this.#idle.splice(
        this.#idle.findIndex((entry) => entry.connection === connection),
        1,
      );
      connection.destroy();
    }, this.#options.idleMs);
    timer.unref();
    this.#idle.push({ connection, timer });
  }

  #dropIdle(): void {
    for (const { connection, timer } of this.#idle.splice(0)) {
      clearTimeout(timer);
      connection.destroy();
    }
  }

  #closed(): SqlFailure {
    return new SqlFailure('away', `${this.#options.name}: the store is closed`);
  }
}
