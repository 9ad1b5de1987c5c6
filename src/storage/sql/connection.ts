/** What the database stores need of a driver: one connection at a time, failures with a reason, and the few words in which databases differ. */

import type { DatabaseLogin } from '../../kernel/input/database-url.ts';
import type { FailureReason } from '../failure-reason.ts';
import type { HistoryDialect } from '../history-sql.ts';

/** A failure in words for users; `message` is a whole sentence without a full stop, and names the server. */
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
  /** false when it broke or was closed */
  readonly isOpen: boolean;
  /** Statements that are sent without waiting are answered in order. @throws SqlFailure */
  query<T>(sql: string, values?: SqlValue[]): Promise<T[]>;
  /** Closes at once: what is under way fails, and nothing more is sent. Idempotent. */
  destroy(): void;
}

export interface SqlDialect extends HistoryDialect {
  /** begins a transaction that only reads, all of it from one moment */
  beginRead: string;
  /** one row when the table of the schema's version exists */
  findSchema: string;
  /** the tables, step by step: statements that may be repeated after a crash in the middle */
  steps: readonly (readonly string[])[];
  /** one row: the bytes that the tables take */
  sizeOf: string;
  /** runs the work while no other node changes the schema; all or nothing where the database can */
  lockSchema(connection: SqlConnection, work: () => Promise<void>): Promise<void>;
}

/** `db.example:5432`. */
export function placeOf({ host, port }: Pick<DatabaseLogin, 'host' | 'port'>): string {
  return `${host.includes(':') ? `[${host}]` : host}:${port}`;
}

const NETWORK_WORDS: Record<string, string> = {
  ECONNREFUSED: 'connection refused',
  ETIMEDOUT: 'no answer',
  EHOSTUNREACH: 'no way to the host',
  ENETUNREACH: 'no way to the network',
};

/** A failure of connecting that is the same with each database; null for others. @param name 'Postgres' or 'MySQL' */
export function networkFailure(error: NodeJS.ErrnoException, name: string, login: DatabaseLogin): SqlFailure | null {
  const { code = '' } = error;
  if (code === 'ENOTFOUND' || code === 'EAI_AGAIN') {
    return new SqlFailure('away', `${name} at ${placeOf(login)} cannot be reached: the host name is not known`, error);
  }
  const words = NETWORK_WORDS[code];
  return words === undefined ? null : new SqlFailure('away', `${name} at ${placeOf(login)} cannot be reached: ${words}`, error);
}

/** A failure that the server itself has reported. @param place `Postgres at db:5432` */
export function serverFailureOf(reason: FailureReason, error: Error, place: string, login: DatabaseLogin): SqlFailure {
  const words: Record<FailureReason, string> = {
    login: `${place} refuses the login of ${login.username}: ${error.message}`,
    database: `${place}: ${error.message}; create it, or name another one in store.datasource.url`,
    rights: `${place}: the account ${login.username} may not do what is needed in database ${login.database}: ${error.message}`,
    schema: `${place}: the tables in database ${login.database} are not what they should be: ${error.message}`,
    busy: `${place} is busy: ${error.message}`,
    away: `${place} cannot be reached: ${error.message}`,
    lost: `The connection to ${place} broke: ${error.message}`,
    tls: `${place}: ${error.message}`,
    other: `${place}: ${error.message}`,
  };
  return new SqlFailure(reason, words[reason], error);
}
