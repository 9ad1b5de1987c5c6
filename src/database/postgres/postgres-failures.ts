/** Turns errors of Postgres and its driver into messages that tell the operator what to fix. */

import type { DatabaseLogin } from '../../kernel/input/database-url.ts';
import { type FailureReason, networkFailure, placeOf, SqlFailure, serverFailureOf } from '../connection.ts';
import { isTlsError } from '../secure.ts';

/** invalid_schema_name: the schema does not exist, or this account may not use it. */
const NO_SCHEMA = '3F000';

/** SQLSTATE (PostgreSQL, appendix A) → reason. */
const REASONS: Record<string, FailureReason> = {
  '28P01': 'login',
  '28000': 'login',
  '3D000': 'database',
  '42501': 'rights',
  '25006': 'rights',
  '42P01': 'schema',
  '42703': 'schema',
  '53300': 'busy',
  '55P03': 'busy',
  '57014': 'busy',
  '57P01': 'lost',
  '57P02': 'lost',
  '57P03': 'away',
  '57P05': 'lost',
  '25P03': 'lost',
};

/** Converts any error of the driver or of a socket. @param isLoggedIn whether the login succeeded before */
export function toPostgresFailure(error: unknown, login: DatabaseLogin, isLoggedIn: boolean): SqlFailure {
  if (error instanceof SqlFailure) return error;
  const known = (error instanceof Error ? error : new Error(String(error))) as NodeJS.ErrnoException & { severity?: string };
  const place = `Postgres at ${placeOf(login)}`;
  if (known.severity !== undefined) return serverFailure(known, place, login);
  const network = networkFailure(known, 'Postgres', login);
  if (network !== null && !isLoggedIn) return network;
  if (isTlsError(known)) return new SqlFailure('tls', `${place}: TLS failed with sslmode=${login.tls}: ${known.message}`, known);
  if (!isLoggedIn) return new SqlFailure('away', `${place} cannot be reached: no answer to the login`, known);
  return new SqlFailure('lost', `The connection to ${place} broke`, known);
}

function serverFailure(error: NodeJS.ErrnoException & { severity?: string }, place: string, login: DatabaseLogin): SqlFailure {
  const code = error.code ?? '';
  if (code === NO_SCHEMA) {
    const which = login.schema === null ? 'of its search path' : login.schema;
    const remedy = `create it, or grant USAGE and CREATE on it, or name another one in store.datasource.schema`;
    return new SqlFailure(
      'database',
      `${place}: the account ${login.username} has no schema ${which} in database ${login.database}: ${remedy}`,
      error,
    );
  }
  const reason =
    REASONS[code] ?? (code.startsWith('08') ? 'lost' : error.severity === 'FATAL' || error.severity === 'PANIC' ? 'lost' : 'other');
  return serverFailureOf(reason, error, place, login);
}
