/** Debian's Postgres as a server for tests. */

import { readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type DatabaseServer, PASSWORD, type ServerKind, type ServerOptions, startServer } from './server.ts';

const VERSIONS = '/usr/lib/postgresql';
const USERNAME = 'postgres';

/** Debian keeps the server's programs off the PATH, in one folder per version. */
function newestVersion(): number {
  return Math.max(...readdirSync(VERSIONS).map(Number));
}

function program(name: string): string {
  return join(VERSIONS, `${newestVersion()}`, 'bin', name);
}

const KIND: ServerKind = {
  name: 'postgres',
  user: 'postgres',
  username: USERNAME,
  urlScheme: 'postgres',
  // A copy of files takes a third of the CPU time of the default, which writes everything to the log first.
  get databaseOptions() {
    return newestVersion() >= 15 ? 'STRATEGY FILE_COPY' : '';
  },
  install: (folder) => {
    const file = join(folder, 'password');
    writeFileSync(file, `${PASSWORD}\n`, { mode: 0o644 });
    const account = ['-U', USERNAME, '-A', 'scram-sha-256', '--pwfile', file];
    return [program('initdb'), '-D', join(folder, 'data'), ...account, '-E', 'UTF8', '--locale', 'C', '--no-sync'];
  },
  serve: (folder, port, { isSynced = false }) => {
    const settings = [
      'listen_addresses=127.0.0.1',
      'unix_socket_directories=',
      'shared_buffers=16MB',
      'max_connections=60',
      `fsync=${isSynced}`,
    ];
    return [program('postgres'), '-D', join(folder, 'data'), '-p', String(port), ...settings.flatMap((setting) => ['-c', setting])];
  },
  client: (port, database, sql) => ({
    command: ['psql', '-X', '-q', '-t', '-A', '-F', '\t', '-v', 'ON_ERROR_STOP=1', '-c', sql],
    env: {
      PGHOST: '127.0.0.1',
      PGPORT: String(port),
      PGUSER: USERNAME,
      PGPASSWORD: PASSWORD,
      PGDATABASE: database || 'postgres',
      PGCONNECT_TIMEOUT: '5',
    },
  }),
  stopSignal: 'SIGINT',
};

/** Starts a Postgres without any database for tests. */
export function startPostgres(options: ServerOptions = {}): Promise<DatabaseServer> {
  return startServer(KIND, options);
}
