/** Debian's MariaDB as a server for tests. */

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type DatabaseServer, PASSWORD, type ServerKind, type ServerOptions, startServer } from './server.ts';

const USERNAME = 'boss';

const KIND: ServerKind = {
  name: 'mariadb',
  user: 'mysql',
  username: USERNAME,
  urlScheme: 'mysql',
  databaseOptions: '',
  install: (folder) => {
    const accounts = `CREATE USER IF NOT EXISTS '${USERNAME}'@'%' IDENTIFIED BY '${PASSWORD}';\nGRANT ALL ON *.* TO '${USERNAME}'@'%' WITH GRANT OPTION;\n`;
    writeFileSync(join(folder, 'accounts.sql'), accounts, { mode: 0o644 });
    return ['mariadb-install-db', '--no-defaults', `--datadir=${join(folder, 'data')}`, '--skip-test-db', '--skip-name-resolve'];
  },
  serve: (folder, port, { isSynced = false }) => [
    'mariadbd',
    '--no-defaults',
    `--datadir=${join(folder, 'data')}`,
    `--socket=${join(folder, 'socket')}`,
    `--init-file=${join(folder, 'accounts.sql')}`,
    '--bind-address=127.0.0.1',
    `--port=${port}`,
    '--skip-name-resolve',
    '--skip-log-bin',
    '--innodb-buffer-pool-size=32M',
    '--innodb-log-file-size=16M',
    '--performance-schema=OFF',
    `--innodb-flush-log-at-trx-commit=${isSynced ? 1 : 2}`,
  ],
  client: (port, database, sql) => ({
    command: [
      'mariadb',
      '--no-defaults',
      '-h',
      '127.0.0.1',
      '-P',
      String(port),
      '-u',
      USERNAME,
      '-N',
      '-B',
      '-e',
      sql,
      ...(database === '' ? [] : [database]),
    ],
    env: { MYSQL_PWD: PASSWORD },
  }),
  stopSignal: 'SIGTERM',
};

/** Starts a MariaDB without any database for tests. */
export function startMariadb(options: ServerOptions = {}): Promise<DatabaseServer> {
  return startServer(KIND, options);
}
