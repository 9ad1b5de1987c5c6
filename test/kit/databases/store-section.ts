/** The `store` section of a broker that uses a database server for tests. */

import type { DatabaseServer } from './server.ts';

/** Creates an empty database, and returns the section for it. */
export async function storeSection(server: DatabaseServer, storeType: 'POSTGRESQL' | 'MYSQL'): Promise<Record<string, unknown>> {
  const { username, password } = server;
  return { storeType, datasource: { url: server.url(await server.createDatabase()), username, password } };
}
