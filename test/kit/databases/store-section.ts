/** The `store` section of a broker that uses a database of the tests. */

import type { DatabaseServer } from './server.ts';

/** An empty database of its own. */
export async function storeSection(server: DatabaseServer, storeType: 'POSTGRESQL' | 'MYSQL'): Promise<Record<string, unknown>> {
  const { username, password } = server;
  return { storeType, datasource: { url: server.url(await server.createDatabase()), username, password } };
}
