/** Turns errors of MySQL, MariaDB and their driver into messages that tell the operator what to fix. */

import type { DatabaseLogin } from '../../kernel/input/database-url.ts';
import { type FailureReason, networkFailure, placeOf, SqlFailure, serverFailureOf } from '../connection.ts';
import { isTlsError } from '../secure.ts';

/** Error number (MySQL's error reference) → reason. */
const REASONS: Record<number, FailureReason> = {
  1044: 'rights', // ER_DBACCESS_DENIED_ERROR
  1045: 'login', // ER_ACCESS_DENIED_ERROR
  1130: 'login', // ER_HOST_NOT_PRIVILEGED
  1698: 'login', // ER_ACCESS_DENIED_NO_PASSWORD_ERROR
  1820: 'login', // ER_MUST_CHANGE_PASSWORD
  1049: 'database', // ER_BAD_DB_ERROR
  1142: 'rights', // ER_TABLEACCESS_DENIED_ERROR
  1143: 'rights', // ER_COLUMNACCESS_DENIED_ERROR
  1227: 'rights', // ER_SPECIFIC_ACCESS_DENIED_ERROR
  1290: 'rights', // ER_OPTION_PREVENTS_STATEMENT, a server that is read-only
  1146: 'schema', // ER_NO_SUCH_TABLE
  1054: 'schema', // ER_BAD_FIELD_ERROR
  1040: 'busy', // ER_CON_COUNT_ERROR
  1203: 'busy', // ER_TOO_MANY_USER_CONNECTIONS
  1205: 'busy', // ER_LOCK_WAIT_TIMEOUT
  1213: 'busy', // ER_LOCK_DEADLOCK
  1053: 'lost', // ER_SERVER_SHUTDOWN
  1927: 'lost', // ER_CONNECTION_KILLED (MariaDB)
};

/** Converts any error of the driver or of a socket. @param isLoggedIn whether the login succeeded before */
export function toMysqlFailure(error: unknown, login: DatabaseLogin, isLoggedIn: boolean): SqlFailure {
  if (error instanceof SqlFailure) return error;
  const known = (error instanceof Error ? error : new Error(String(error))) as NodeJS.ErrnoException & { sqlState?: string };
  const place = `MySQL at ${placeOf(login)}`;
  if (known.sqlState !== undefined && known.errno !== undefined) return serverFailure(known, known.errno, place, login);
  if (known.code === 'HANDSHAKE_NO_SSL_SUPPORT') {
    return new SqlFailure('tls', `${place} does not speak TLS, which the URL asks for`, known);
  }
  const network = networkFailure(known, 'MySQL', login);
  if (network !== null && !isLoggedIn) return network;
  if (isTlsError(known) || known.code === 'HANDSHAKE_SSL_ERROR')
    return new SqlFailure('tls', `${place}: TLS failed: ${known.message}`, known);
  if (!isLoggedIn) return new SqlFailure('away', `${place} cannot be reached: no answer to the login`, known);
  return new SqlFailure('lost', `The connection to ${place} broke`, known);
}

function serverFailure(error: Error, code: number, place: string, login: DatabaseLogin): SqlFailure {
  const reason = REASONS[code] ?? 'other';
  return serverFailureOf(reason, error, place, login);
}
