/** Authenticators that read users from stores, in the broker: logins of all versions, counters, changed credentials, no secret outside. */

import { afterAll, describe, expect, test } from 'vitest';
import { makeHash } from '../../../src/kernel/logins/make-hash.ts';
import { startPostgres } from '../../kit/databases/postgres.ts';
import { REDIS_PASSWORD, startRedis } from '../../kit/databases/redis.ts';
import type { Version } from '../../kit/encode.ts';
import { useBroker } from '../../kit/lanes.ts';
import { RawClient } from '../../kit/raw-client.ts';
import { uid } from '../../kit/until.ts';

const PASSWORD = 'pa55-never-shown';
const CHANGED = 'chang3d-never-shown';
const hash = await makeHash('argon2id', PASSWORD);

const redis = await startRedis(['--requirepass', REDIS_PASSWORD]);
await redis.run('ACL', 'SETUSER', 'reader', 'on', `>${REDIS_PASSWORD}`, '~mqtt:*', '+hmget', '+ping');
afterAll(() => redis.stop());
for (const name of ['ann', 'a"b\r\nSET hacked 1', '漢字 x'])
  await redis.run('HSET', `mqtt:${name}`, 'password', hash, 'acl', '{"sub":["own/${username}"]}');

const postgres = await startPostgres();
afterAll(() => postgres.stop());
const database = await postgres.createDatabase();
await postgres.run(
  database,
  `CREATE TABLE users (username text, password text, acl jsonb); CREATE ROLE reader LOGIN PASSWORD '${REDIS_PASSWORD}';
   GRANT SELECT ON users TO reader;
   INSERT INTO users SELECT name, '${hash}', '{"sub":["own/\${username}"]}' FROM unnest(ARRAY['ann', E'a"b\\r\\nSET hacked 1', '漢字 x']) AS name`,
);
const datasource = { url: postgres.url(database), username: 'reader', password: REDIS_PASSWORD };
const authSql = 'SELECT password, acl FROM users WHERE username = ${username}';

const quick = { maxConnectionPerSecond: 100_000, maxConnectionSize: 10_000 };
const command = 'hmget mqtt:${username} password salt is_superuser acl';
const kinds = [
  {
    name: 'redis',
    authConfig: {
      authType: 'redis',
      redis: { host: '127.0.0.1', port: redis.port, username: 'reader', password: REDIS_PASSWORD },
      command,
    },
    /** gives the broker's account another password */
    changeLogin: () => redis.run('ACL', 'SETUSER', 'reader', 'resetpass', `>${CHANGED}`),
    changed: { redis: { host: '127.0.0.1', port: redis.port, username: 'reader', password: CHANGED } },
  },
  {
    name: 'database',
    authConfig: { authType: 'database', datasource, authSql },
    // A session of the old login lives on; the new one is made by the changed configuration.
    changeLogin: () => postgres.run('', `ALTER ROLE reader PASSWORD '${CHANGED}'`),
    changed: { datasource: { ...datasource, password: CHANGED } },
  },
] as const;

const held = useBroker(() => ({
  endpoints: kinds.map(({ name, authConfig }, at) => ({
    ...quick,
    id: name,
    useWebsocket: at === 1,
    authConfig: [authConfig, { authType: 'fixed', users: [{ username: 'next', password: hash, encrypt: 'auto' }] }],
    serverOptions: { workerGroupSize: 2 },
  })),
}));

async function open(at: number, username: string, password: string, version: Version = 5) {
  const client = await RawClient.open(at === 1 ? 'ws' : 'tcp', held.broker.ports[at]!, version);
  const { code } = await client.handshake({ clientId: uid('c'), username, password });
  return { client, code };
}

async function code(...args: Parameters<typeof open>) {
  const opened = await open(...args);
  opened.client.destroy();
  return opened.code;
}

describe.each(kinds.map((kind, at) => ({ ...kind, at })))('$name', ({ name, at, changeLogin, authConfig, changed }) => {
  test('allows, denies, leaves strangers to the next authenticator, and gives rights', async () => {
    for (const version of [5, 4, 3] as const) {
      const denied = version === 5 ? 0x86 : 4;
      expect(await code(at, 'ann', PASSWORD, version)).toBe(0);
      expect(await code(at, 'ann', 'wrong', version)).toBe(denied);
      expect(await code(at, 'next', PASSWORD, version)).toBe(0);
      expect(await code(at, "' OR '1'='1", PASSWORD, version)).toBe(denied);
    }
    for (const user of ['a"b\r\nSET hacked 1', '漢字 x']) expect(await code(at, user, PASSWORD)).toBe(0);
    const { client } = await open(at, 'ann', PASSWORD);
    const filters = ['own/ann', 'own/bob'].map((filter) => ({ filter, qos: 0 as const }));
    expect((await client.subscribeRaw(filters)).codes).toEqual([0, 0x87]);
    client.destroy();
    const metrics = await (await fetch(`${held.broker.admin}/public/metrics`)).text();
    expect(metrics).toMatch(
      new RegExp(`results_total\\{port="${held.broker.ports[at]}"[^}]*authenticator="${name}",result="allowed"\\} [1-9]`),
    );
  });

  test('another login of the broker at the store is used from the next CONNECT on; the mask keeps the old one', async () => {
    const port = held.broker.ports[at]!;
    const update = (config: object) => held.broker.api('POST', '/api/endpoints/update', { port, authConfig: [config] });
    const { body } = await held.broker.api('GET', `/api/endpoints/get?port=${port}`);
    const [shown] = (body as { data: { endpoint: { authConfig: object[] } } }).data.endpoint.authConfig;
    expect(JSON.stringify(shown)).toContain('******');
    expect((await update({ ...shown, timeout: 2_000 })).status).toBe(200);
    expect(await code(at, 'ann', PASSWORD)).toBe(0);
    await changeLogin();
    expect((await update({ ...authConfig, timeout: 2_001 })).status).toBe(200);
    expect(await code(at, 'ann', PASSWORD)).toBe(0x88);
    expect((await update({ ...authConfig, ...changed })).status).toBe(200);
    expect(await code(at, 'ann', PASSWORD)).toBe(0);
  });
});

test('no password shows in the log, the metrics or the answers', async () => {
  const api = async (path: string) => JSON.stringify((await held.broker.api('GET', path)).body);
  const texts = [
    await held.broker.log(),
    await (await fetch(`${held.broker.admin}/public/metrics`)).text(),
    await api('/api/endpoints/list'),
    await api('/api/endpoints/history'),
    await api('/api/endpoints/export'),
  ];
  expect(texts[0]).toContain('gives no answer');
  for (const text of texts) for (const secret of [PASSWORD, CHANGED, REDIS_PASSWORD]) expect(text).not.toContain(secret);
});
