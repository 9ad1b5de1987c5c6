/** The store suite on Postgres and MariaDB, with real servers. */

import { afterAll, beforeAll, describe } from 'vitest';
import type { DatabaseServer } from '../kit/databases/server.ts';
import { DATABASES, type DatabaseKind, openOn } from './databases.ts';
import { describeStore } from './store-suite.ts';

describe.each(DATABASES)('$storeType', (kind: DatabaseKind) => {
  let server: DatabaseServer;
  beforeAll(async () => {
    server = await kind.start();
  });
  afterAll(async () => server.stop());

  describeStore(
    kind.storeType,
    async () => openOn(kind, server, await server.createDatabase()),
    async () => {},
  );
});
