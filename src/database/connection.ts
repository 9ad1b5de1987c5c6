/** The interface of the drivers of databases: one connection, and failures with a reason. */

import type { DatabaseLogin } from '../kernel/input/database-url.ts';

/**
 * away: the store cannot be reached; lost: the connection broke, or no answer came in time; busy: the store is full or locked for the
 * moment; login, database, rights, tls, schema: the store stays unusable until an operator changes something; other: the statement itself
 * failed.
 */
export type FailureReason = 'away' | 'lost' | 'busy' | 'login' | 'database' | 'rights' | 'tls' | 'schema' | 'other';

/** A failure in words for users. `message` names the server, and is a whole sentence without a full stop. */
export class SqlFailure extends Error {
  readonly reason: FailureReason;

  constructor(reason: FailureReason, message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.name = 'SqlFailure';
    this.reason = reason;
  }
}

export type SqlValue = string | number | null;

/** A connection that one caller uses at a time. */
export interface SqlConnection {
  /** false after the connection broke or was closed */
  readonly isOpen: boolean;
  /** Answers arrive in the order in which the statements were sent. @throws SqlFailure */
  query<T>(sql: string, values?: SqlValue[]): Promise<T[]>;
  /** As query(), for a text that others have written: `values` cross apart from it, whatever they hold. @throws SqlFailure */
  ask<T>(sql: string, values: string[]): Promise<T[]>;
  /** Closes at once: running statements fail, and nothing more is sent. Idempotent. */
  destroy(): void;
}

/** `db.example:5432`. */
export function placeOf({ host, port }: Pick<DatabaseLogin, 'host' | 'port'>): string {
  return `${host.includes(':') ? `[${host}]` : host}:${port}`;
}

const NETWORK_WORDS: Record<string, string> = {
  ECONNREFUSED: 'connection refused',
  ETIMEDOUT: 'no answer',
  EHOSTUNREACH: 'no route to the host',
  ENETUNREACH: 'no route to the network',
};

/** A connect failure that every database has in common; null for any other. @param name 'Postgres' or 'MySQL' */
export function networkFailure(error: NodeJS.ErrnoException, name: string, login: DatabaseLogin): SqlFailure | null {
  const { code = '' } = error;
  if (code === 'ENOTFOUND' || code === 'EAI_AGAIN') {
    return new SqlFailure('away', `${name} at ${placeOf(login)} cannot be reached: the host name is unknown`, error);
  }
  const words = NETWORK_WORDS[code];
  return words === undefined ? null : new SqlFailure('away', `${name} at ${placeOf(login)} cannot be reached: ${words}`, error);
}

/** A failure that the server itself reported. @param place `Postgres at db:5432` */
export function serverFailureOf(reason: FailureReason, error: Error, place: string, login: DatabaseLogin): SqlFailure {
  const words: Record<FailureReason, string> = {
    login: `${place} refuses the login of ${login.username}: ${error.message}`,
    database: `${place}: ${error.message}; create it, or name another one in store.datasource.url`,
    rights: `${place}: the account ${login.username} lacks rights in database ${login.database}: ${error.message}`,
    schema: `${place}: the tables in database ${login.database} do not have the expected form: ${error.message}`,
    busy: `${place} is busy: ${error.message}`,
    away: `${place} cannot be reached: ${error.message}`,
    lost: `The connection to ${place} broke: ${error.message}`,
    tls: `${place}: ${error.message}`,
    other: `${place}: ${error.message}`,
  };
  return new SqlFailure(reason, words[reason], error);
}
