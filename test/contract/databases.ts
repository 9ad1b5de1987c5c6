/** Opens stores on the database servers of the kit, for the contract tests. */

import { type DatabaseLogin, readDatabaseUrl } from '../../src/kernel/input/database-url.ts';
import type { NodeStore } from '../../src/storage/documents/document-store.ts';

import { openLocalStore } from '../../src/storage/local/local-store.ts';
import { openMysqlStore } from '../../src/storage/mysql/mysql-store.ts';
import { openPostgresStore } from '../../src/storage/postgres/postgres-store.ts';
import { startMariadb } from '../kit/databases/mariadb.ts';
import { startPostgres } from '../kit/databases/postgres.ts';
import type { DatabaseServer, ServerOptions } from '../kit/databases/server.ts';

export type Datasource = DatabaseLogin & { maxPoolSize: number };

export interface DatabaseKind {
  storeType: 'POSTGRESQL' | 'MYSQL';
  start(options?: ServerOptions): Promise<DatabaseServer>;
  open(datasource: Datasource): Promise<NodeStore>;
}

export const DATABASES: DatabaseKind[] = [
  { storeType: 'POSTGRESQL', start: startPostgres, open: openPostgresStore },
  { storeType: 'MYSQL', start: startMariadb, open: openMysqlStore },
];

/** The datasource that the settings would give for a database of the server. */
export function loginTo(server: DatabaseServer, database: string, more: Partial<Datasource> = {}): Datasource {
  const { address, problems } = readDatabaseUrl(server.url(database));
  if (address === null) throw new Error(problems.join());
  return { ...address, username: server.username, password: server.password, maxPoolSize: 10, ...more };
}

export function openOn(
  kind: DatabaseKind,
  server: DatabaseServer,
  database: string,
  more: Partial<DatabaseLogin> = {},
): Promise<NodeStore> {
  return kind.open(loginTo(server, database, more));
}

/** The facts that a process needs to open a store: the argument of commit-forever.ts and write-rivals.ts. */
export type StoreSpec = { storeType: 'LOCAL'; dataPath: string } | { storeType: DatabaseKind['storeType']; datasource: Datasource };

export function openSpec(spec: StoreSpec): Promise<NodeStore> {
  if (spec.storeType === 'LOCAL') return openLocalStore({ dataPath: spec.dataPath });
  return (spec.storeType === 'POSTGRESQL' ? openPostgresStore : openMysqlStore)(spec.datasource);
}
