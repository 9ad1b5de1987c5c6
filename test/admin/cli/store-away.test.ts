/** `fluxmq` while the broker's database is away: what can be read is shown, a change ends with 3 and is not half done. */

import { afterAll, expect, test } from 'vitest';
import { startBroker } from '../../kit/broker.ts';
import { startPostgres } from '../../kit/databases/postgres.ts';
import type { DatabaseServer } from '../../kit/databases/server.ts';
import { storeSection } from '../../kit/databases/store-section.ts';
import { until } from '../../kit/until.ts';
import { commandIn, printed } from './command.ts';

const servers: DatabaseServer[] = [];
afterAll(() => Promise.all(servers.map((server) => server.stop())));

test('a change without its store', async () => {
  const server = await startPostgres();
  servers.push(server);
  const broker = await startBroker({
    endpoints: [{ id: 'first', enableAuth: false }],
    config: { store: await storeSection(server, 'POSTGRESQL') },
  });
  const run = commandIn(() => broker.dir);
  try {
    printed(await run('endpoint update first maxSessionSize=7'));
    await server.kill();
    expect(printed(await run('endpoint list'))).toContain('listening');
    const refused = await run('endpoint update first maxSessionSize=8');
    expect(refused).toMatchObject({ code: 3, stdout: '' });
    expect(refused.stderr).toMatch(/^fluxmq: Postgres at \S+ cannot be reached/);
    await server.start();
    await until('changes are taken again', async () => (await run('endpoint update first wiretap=true')).code === 0, 20_000, 200);
    expect(JSON.parse(printed(await run('endpoint get first --json')))).toMatchObject({ endpoint: { maxSessionSize: 7, wiretap: true } });
  } finally {
    expect(await broker.stop()).toBe(0);
  }
}, 60_000);
