/** Changes of the whole configuration on two brokers over one Postgres: what the other one did just before is not overlooked. */

import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { type Broker, startBroker } from '../../kit/broker.ts';
import { startPostgres } from '../../kit/databases/postgres.ts';
import type { DatabaseServer } from '../../kit/databases/server.ts';
import { storeSection } from '../../kit/databases/store-section.ts';

let server: DatabaseServer;
let late: Broker;
let other: Broker;

beforeAll(async () => {
  server = await startPostgres();
  const store = await storeSection(server, 'POSTGRESQL');
  // It looks at the store when a change makes it, and never by itself.
  const config = (name: string) => ({ store, node: { name }, cluster: { sync: { interval: 3_600_000 } } });
  late = await startBroker({ config: config('late'), endpoints: [] });
  other = await startBroker({ config: config('other'), endpoints: [] });
});
afterAll(async () => {
  await late.stop();
  await other.stop();
  await server.stop();
});

// They do not listen: on one machine only one of the two could.
const off = (port: number) => ({ id: `e${port}`, port, enabled: false });
const post = (broker: Broker, name: string, body: unknown, headers: Record<string, string> = {}) =>
  broker.api('POST', `/api/endpoints/${name}`, body, headers);

async function idsOf(broker: Broker): Promise<string[]> {
  const { body } = await broker.api('GET', '/api/endpoints/export');
  return (body as { data: { configs: { id: string }[] } }).data.configs.map(({ id }) => id).sort();
}

/** Revision of the newest change, which only the other broker knows when it made that. */
let newest = 0;
let known = '';
let theirs = 42_000;
beforeEach(async () => {
  const { body } = await post(late, 'import', { configs: [off(41_001)], mode: 'replace', reason: `round ${newest}` });
  expect(body).toMatchObject({ code: 200 });
  known = (await late.api('GET', '/api/endpoints/list')).headers.get('etag') ?? '';
  theirs += 1;
  const added = await post(other, 'add', off(theirs));
  expect(added.status).toBe(200);
  newest = (added.body as { data: { revision: number } }).data.revision;
  expect(known).toBe(`"${newest - 1}"`);
});

test('an import that replaces all removes what came just before', async () => {
  const { status, body } = await post(late, 'import', { configs: [off(41_001), off(41_003)], mode: 'replace' });
  expect(status).toBe(200);
  expect((body as { data: unknown }).data).toMatchObject({ added: 1, removed: 1, unchanged: 1, revision: newest + 1 });
  expect(await idsOf(late)).toEqual(['e41001', 'e41003']);
});

test('a rollback of all removes what came just before', async () => {
  await post(late, 'update', { id: 'e41001', wiretap: true });
  const { status } = await post(late, 'rollback', { revision: newest - 1 });
  expect(status).toBe(200);
  expect(await idsOf(late)).toEqual(['e41001']);
});

test.each([
  ['import', { configs: [off(41_003)], mode: 'merge' }],
  ['import', { configs: [off(41_003)], mode: 'replace' }],
  ['add', off(41_003)],
])('If-Match of the whole configuration is that of the store, not of what this broker knows: %s %o', async (name, change) => {
  const { status } = await post(late, name, change, { 'if-match': known });
  expect(status).toBe(412);
  expect(await idsOf(late)).toEqual(['e41001', `e${theirs}`]);
  expect((await post(late, name, change, { 'if-match': `"${newest}"` })).status).toBe(200);
});
