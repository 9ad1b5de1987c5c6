/** The `store` section of a broker that uses a database server for tests. */

import type { DatabaseServer } from './server.ts';

/** Creates an empty database, and returns the section for it. */
export async function storeSection(server: DatabaseServer, storeType: 'POSTGRESQL' | 'MYSQL'): Promise<Record<string, unknown>> {
  return sectionFor(server, storeType, await server.createDatabase());
}

/** The section for an existing database. */
export function sectionFor(server: DatabaseServer, storeType: 'POSTGRESQL' | 'MYSQL', database: string): Record<string, unknown> {
  const { username, password } = server;
  return { storeType, datasource: { url: server.url(database), username, password } };
}
