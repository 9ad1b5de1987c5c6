/** Reading FluxMQ's own table from real servers, made as its scripts make it. */

import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { readFluxmqEndpoints } from '../../src/storage/fluxmq-import/read-fluxmq.ts';
import type { DatabaseServer } from '../kit/databases/server.ts';
import { DATABASES } from './databases.ts';

const FLAGS = [
  'metrics',
  'wiretap',
  'proxy',
  'enable_auth',
  'enable_acl',
  'enable_bridge',
  'use_websocket',
  'exclusive_pool',
  'session_persistence',
];
const NUMBERS = [
  'max_session_size',
  'max_connection_size',
  'max_send_window_size',
  'max_receive_window_size',
  'acl_refresh_period',
  'max_connection_per_second',
];
const TEXTS = ['path', 'ssl_config', 'server_options', 'child_options', 'create_time', 'update_time'];

describe.each(DATABASES)('$storeType', ({ storeType, start }) => {
  const isPostgres = storeType === 'POSTGRESQL';
  const quote = (name: string) => (isPostgres ? `"${name}"` : `\`${name}\``);
  let server: DatabaseServer;
  beforeAll(async () => {
    server = await start();
  });
  afterAll(async () => server.stop());

  const makeTable = (database: string, table: string) => {
    const flag = (isOn: boolean) => (isPostgres ? `BOOLEAN DEFAULT ${isOn}` : `TINYINT(1) DEFAULT ${isOn ? 1 : 0}`);
    const columns = [
      'id VARCHAR(64) NOT NULL PRIMARY KEY',
      'f_port INTEGER NOT NULL',
      'f_message_max_size INTEGER DEFAULT NULL',
      ...FLAGS.map((name) => `f_${name} ${flag(false)}`),
      ...NUMBERS.map((name) => `f_${name} INTEGER DEFAULT 0`),
      ...TEXTS.map((name) => `f_${name} TEXT DEFAULT NULL`),
      `f_enabled ${flag(true)}`,
      `f_is_default ${flag(false)}`,
    ];
    return server.run(database, `CREATE TABLE ${table} (${columns.join(', ')})`);
  };
  const read = (database: string, more: object = {}) => {
    const url = `jdbc:${server.url(database).replace('postgres:', 'postgresql:')}`;
    return readFluxmqEndpoints({ url, username: server.username, password: server.password, ...more });
  };

  test('reads the endpoints and lists the rows left out', async () => {
    const database = await server.createDatabase();
    await makeTable(database, quote('EndpointConfig'));
    const on = isPostgres ? 'TRUE' : '1';
    await server.run(
      database,
      `INSERT INTO ${quote('EndpointConfig')} (id, f_port, f_enable_auth, f_use_websocket, f_max_connection_size, f_path, f_child_options, f_update_time, f_is_default) VALUES
        ('first', 1883, ${on}, NULL, 5000, NULL, '{"tcpNodelay":true}', '2025-01-01', ${on}),
        ('twin', 1883, NULL, NULL, 0, NULL, NULL, '2024-01-01', NULL),
        ('web ü', 8083, NULL, ${on}, 0, '/mqtt', NULL, NULL, NULL),
        ('broken', 99999, NULL, NULL, 0, NULL, NULL, NULL, NULL)`,
    );
    const { configs, leftOut, warnings } = await read(database);
    expect(configs).toMatchObject([
      {
        id: 'first',
        port: 1883,
        enableAuth: true,
        maxConnectionSize: 5000,
        childOptions: { tcpNodelay: true },
        isDefault: true,
        enabled: true,
      },
      { id: 'mqtt-8083', port: 8083, useWebsocket: true, path: '/mqtt' },
    ]);
    expect(leftOut).toMatchObject([
      { id: 'twin', port: 1883, reason: 'port 1883 is taken by first' },
      { id: 'broken', port: 99999, reason: expect.stringContaining('port') },
    ]);
    expect(warnings).toEqual([expect.stringContaining('mqtt-8083')]);
  });

  test('finds the table with other capitals, and in the schema that the URL names', async () => {
    const database = await server.createDatabase();
    await makeTable(database, 'endpointconfig');
    expect(await read(database)).toEqual({ configs: [], leftOut: [], warnings: [] });
    if (!isPostgres) return;
    await server.run(database, 'CREATE SCHEMA flux');
    await makeTable(database, 'flux."EndpointConfig"');
    await server.run(database, `INSERT INTO flux."EndpointConfig" (id, f_port) VALUES ('there', 1)`);
    const { configs, warnings } = await read(database, { url: `${server.url(database)}?currentSchema=flux&ApplicationName=x` });
    expect([configs, warnings]).toMatchObject([[{ id: 'there' }], ['the database URL: ApplicationName: no effect here']]);
  });

  test('says why it cannot read', async () => {
    const database = await server.createDatabase();
    await expect(read(database)).rejects.toMatchObject({
      kind: 'not-found',
      message: expect.stringMatching(/no table EndpointConfig in database db/),
    });
    await expect(read(database, { password: 'wrong' })).rejects.toMatchObject({
      kind: 'unavailable',
      message: expect.stringContaining('refuses the login'),
    });
    await expect(read(database, { url: 'jdbc:oracle:x' })).rejects.toMatchObject({ kind: 'invalid' });
  });
});
