/** Reads the endpoints of a FluxMQ from its database, for `import --from-fluxmq`. Writes nothing to that database. */

import { placeOf, type SqlConnection, SqlFailure } from '../../database/connection.ts';
import { connectMysql } from '../../database/mysql/mysql-connection.ts';
import { connectPostgres } from '../../database/postgres/postgres-connection.ts';
import { steadyNow } from '../../kernel/clock.ts';
import { FluxError } from '../../kernel/errors.ts';
import { type DatabaseLogin, readDatabaseUrl } from '../../kernel/input/database-url.ts';
import { convertFluxmqRows, type FluxmqEndpoints, type FluxmqRow } from './convert-rows.ts';

const TIME_MS = 15_000;

/** Finds the table's schema and its name as the database spells it: FluxMQ's own script keeps the capitals, other tools may not. */
const FIND: Record<DatabaseLogin['kind'], string> = {
  postgres: `SELECT n.nspname AS place, c.relname AS name FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE lower(c.relname) = 'endpointconfig' AND c.relkind IN ('r', 'p', 'v') AND n.nspname = ANY (current_schemas(false))`,
  mysql: `SELECT table_schema AS place, table_name AS name FROM information_schema.tables
    WHERE table_schema = DATABASE() AND LOWER(table_name) = 'endpointconfig'`,
};

/**
 * Reads and converts FluxMQ's table `EndpointConfig`.
 * @param source a `jdbc:` or plain URL; `username` and `password` win over those in the URL
 * @throws FluxError `invalid` (URL), `not-found` (no such table), `unavailable` (server, login, rights), in words for users
 */
export async function readFluxmqEndpoints(source: { url: string; username: string; password: string }): Promise<FluxmqEndpoints> {
  const { address, problems, warnings } = readDatabaseUrl(source.url);
  if (address === null) throw new FluxError('invalid', `The database URL ${problems.join('; ')}`);
  const login = {
    ...address,
    username: source.username || (address.username ?? ''),
    password: source.password || (address.password ?? ''),
  };
  const deadline = steadyNow() + TIME_MS;
  let connection: SqlConnection | null = null;
  // Ends a query to a server that hangs: the query itself has no timeout.
  const timer = setTimeout(() => connection?.destroy(), TIME_MS);
  try {
    connection = await (login.kind === 'postgres' ? connectPostgres : connectMysql)(login, deadline);
    const result = convertFluxmqRows(await readRows(connection, login));
    return { ...result, warnings: [...warnings.map((warning) => `the database URL: ${warning}`), ...result.warnings] };
  } catch (error) {
    throw error instanceof SqlFailure ? new FluxError('unavailable', error.message, { cause: error }) : error;
  } finally {
    clearTimeout(timer);
    connection?.destroy();
  }
}

async function readRows(connection: SqlConnection, login: DatabaseLogin): Promise<FluxmqRow[]> {
  const [table] = await connection.query<{ place: string; name: string }>(FIND[login.kind]);
  if (table === undefined) {
    const where = `database ${login.database} at ${placeOf(login)}`;
    throw new FluxError(
      'not-found',
      `There is no table EndpointConfig in ${where}${login.kind === 'postgres' ? ' (another schema: ?currentSchema=… in the URL)' : ''}`,
    );
  }
  const quote = login.kind === 'postgres' ? '"' : '`';
  const quoted = [table.place, table.name].map((name) => quote + name.replaceAll(quote, quote + quote) + quote).join('.');
  const rows = await connection.query<Record<string, unknown>>(`SELECT * FROM ${quoted}`);
  return rows.map((row) => Object.fromEntries(Object.entries(row).map(([column, value]) => [column.toLowerCase(), value])));
}
