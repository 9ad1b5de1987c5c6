/** `fluxmq import --from-fluxmq`: from the table of a real MariaDB and a real Postgres into a broker. */

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { startMariadb } from '../../kit/databases/mariadb.ts';
import { startPostgres } from '../../kit/databases/postgres.ts';
import type { DatabaseServer } from '../../kit/databases/server.ts';
import { freePort } from '../../kit/free-port.ts';
import { useBroker } from '../../kit/lanes.ts';
import { commandIn, printed } from './command.ts';

/** The broker's own password, which is another one than the database's. */
const http = { host: '127.0.0.1', port: await freePort(), username: 'admin', password: 'of the broker' };
const held = useBroker(() => ({ endpoints: [{ id: 'first', enableAuth: false, isDefault: true }], config: { http } }));
const run = commandIn(() => held.broker.dir);
const servers: DatabaseServer[] = [];
afterAll(() => Promise.all(servers.map((server) => server.stop())));

/** The columns of FluxMQ's table that the rows below fill (docs/migration.md). */
const COLUMNS = ['id', 'f_port', 'f_enable_auth', 'f_max_connection_size', 'f_server_options', 'f_update_time', 'f_enabled'];
const TYPES = ['varchar(64)', 'int', 'int', 'int', 'text', 'varchar(32)', 'int'];

describe.each([
  { name: 'MariaDB', start: startMariadb, scheme: 'jdbc:mysql:', quote: '`' },
  { name: 'Postgres', start: startPostgres, scheme: 'jdbc:postgresql:', quote: '"' },
])('$name', ({ name, start, scheme, quote }) => {
  test('endpoints come over, what is left out is said, and problems are listed', async () => {
    const server = await start();
    servers.push(server);
    const database = await server.createDatabase();
    const [one, two] = [await freePort(), await freePort()];
    const table = `${quote}EndpointConfig${quote}`;
    const rows = [
      [`${name}-1`, one, 0, 77, '{"SO_BACKLOG": 64}', '2025-02-01', 1],
      [`${name}-2`, two, 1, 0, null, '2025-01-01', 0],
      [`${name}-old`, one, 1, 5, null, '2024-01-01', 1],
    ];
    const values = rows.map((row) => `(${row.map((value) => (typeof value === 'string' ? `'${value}'` : String(value))).join(', ')})`);
    await server.run(database, `CREATE TABLE ${table} (${COLUMNS.map((column, index) => `${column} ${TYPES[index]}`).join(', ')})`);
    await server.run(database, `INSERT INTO ${table} (${COLUMNS.join(', ')}) VALUES ${values.join(', ')}`);
    const url = `${scheme}//127.0.0.1:${server.port}/${database}`;
    writeFileSync(join(held.broker.dir, 'database-password'), server.password);
    const from = `import --from-fluxmq --url ${url} --username ${server.username}`;

    const dry = await run(`${from} --password-file database-password --dry-run`, { ownProcess: true });
    expect(printed(dry)).toContain('2 added, 0 updated, 0 removed, 0 unchanged: a dry run, nothing was changed');
    expect(dry.stderr).toContain(`left out: ${name}-old (port ${one}): port ${one} is taken by ${name}-1`);
    const [ownPort] = held.broker.ports;
    await server.run(database, `INSERT INTO ${table} (id, f_port) VALUES ('theirs', ${ownPort})`);
    const taken = await run(`${from} --password-file database-password`);
    const why = `port ${ownPort} belongs to endpoint first, which this import does not name: mode replace would remove it`;
    expect(taken).toMatchObject({ code: 1, stderr: expect.stringContaining(why) });
    await server.run(database, `DELETE FROM ${table} WHERE id = 'theirs'`);
    const done = await run(from, { env: { FLUXMQ_DATABASE_PASSWORD: server.password } });
    expect(printed(done)).toMatch(/^imported 2 changes: 2 added/m);
    const imported = JSON.parse(printed(await run(`endpoint get ${name}-1 --json`))) as unknown;
    expect(imported).toMatchObject({ endpoint: { port: one, enableAuth: false, maxConnectionSize: 77, serverOptions: { soBacklog: 64 } } });
    expect(JSON.parse(printed(await run(`endpoint status ${name}-2 --json`)))).toMatchObject([{ state: 'stopped' }]);

    const wrong = await run(from, { env: { FLUXMQ_DATABASE_PASSWORD: 'wrong' } });
    expect(wrong).toMatchObject({ code: 3, stdout: '', stderr: expect.stringContaining('the FluxMQ database cannot be read') });
    const empty = await server.createDatabase();
    const none = await run(`${from.replace(database, empty)} --password-file database-password`);
    expect(none).toMatchObject({ code: 1, stderr: expect.stringContaining('no table EndpointConfig') });
    expect((await run(`${from.replace(scheme, 'jdbc:oracle:')} --password-file database-password`)).code).toBe(2);
  }, 60_000);
});
