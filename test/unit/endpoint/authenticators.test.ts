/** Authenticators that are asked, as configured: their normal form, what is refused, and where their secrets show. */

import { describe, expect, test } from 'vitest';
import { authWarnings } from '../../../src/endpoint/access/authenticators/warnings.ts';
import { readSqlTemplate, sqlTemplateProblem } from '../../../src/endpoint/access/sql-template.ts';
import { mergeEndpoint, parseAuthList, parseEndpoint, toPublicEndpoint } from '../../../src/endpoint/schema.ts';
import { readableDiff } from '../../../src/endpoint/secrets/readable-diff.ts';
import { mapSecrets, maskSecrets, secretPathsOf } from '../../../src/endpoint/secrets/secrets.ts';
import { FluxError } from '../../../src/kernel/errors.ts';

const MASK = '******';

function pathsRefused(work: () => unknown): string[] {
  try {
    work();
  } catch (error) {
    if (error instanceof FluxError) return error.issues.map(({ path }) => path);
    throw error;
  }
  return [];
}

const DEFAULTS = {
  filter: {},
  timeout: 5_000,
  maxRequests: 64,
  onUnavailable: 'deny',
  cacheSeconds: 0,
};

describe('http', () => {
  const url = 'https://auth.example/check';

  test('gets its defaults', () => {
    expect(parseAuthList([{ authType: 'http', url }])).toEqual([
      {
        authType: 'http',
        ...DEFAULTS,
        url,
        method: 'POST',
        headers: {},
        body: {
          clientId: '${clientId}',
          username: '${username}',
          password: '${password}',
          ip: '${ip}',
          endpoint: '${endpoint}',
        },
        answer: 'auto',
        ca: null,
      },
    ]);
    expect(parseAuthList([{ authType: 'http', url, method: 'GET' }])).toMatchObject([{ body: null }]);
  });

  test.each([
    [{}, 'url'],
    [{ url: 'auth.example' }, 'url'],
    [{ url: 'ftp://auth.example' }, 'url'],
    [{ url: 'http://${username}.example/' }, 'url'],
    [{ url: 'http://user:pass@auth.example/' }, 'url'],
    [{ url: 'http://auth.example/#x' }, 'url'],
    [{ url: 'http://auth.example/a b' }, 'url'],
    [{ url: 'http://auth.example/${user}' }, 'url'],
    [{ url: 'http://:x/' }, 'url'],
    [{ url, method: 'PUT' }, 'method'],
    [{ url, method: 'GET', body: {} }, 'body'],
    [{ url, body: { a: '${toString}' } }, 'body.a'],
    [{ url, body: { a: {} } }, 'body.a'],
    [{ url, body: 'x' }, 'body'],
    [{ url, headers: { 'a b': 'x' } }, 'headers.a b'],
    [{ url, headers: { Host: 'x' } }, 'headers.Host'],
    [{ url, headers: { 'Content-Length': '1' } }, 'headers.Content-Length'],
    [{ url, headers: { a: 'x\r\ny: z' } }, 'headers.a'],
    [{ url, headers: { a: 'x', A: 'y' } }, 'headers.A'],
    [{ url, headers: { 'content-type': 'text/plain' } }, 'headers.content-type'],
    [{ url, timeout: 9_001 }, 'timeout'],
    [{ url, timeout: '5s' }, 'timeout'],
    [{ url, maxRequests: 0 }, 'maxRequests'],
    [{ url, onUnavailable: 'allow' }, 'onUnavailable'],
    [{ url, cacheSeconds: -1 }, 'cacheSeconds'],
    [{ url, users: [] }, 'users'],
  ])('refuses %j', (config, path) => {
    expect(pathsRefused(() => parseAuthList([{ authType: 'http', ...config }]))).toContain(`auth.0.${path}`);
  });

  const token = { authorization: 'Bearer s3cret', 'x-user': '${username}' };
  const body = { key: 's3cret-too', user: '${username}', mixed: 'k3y ${clientId}', n: 1 };
  const endpoint = parseEndpoint({ port: 1883, authType: 'http', authConfig: { url, headers: token, body } }).endpoint;

  test('masks what may be secret, and no placeholder that stands alone', () => {
    expect(secretPathsOf(endpoint)).toEqual(['authConfig[0].headers.authorization', 'authConfig[0].body.key', 'authConfig[0].body.mixed']);
    expect(toPublicEndpoint(endpoint)).toMatchObject({
      authType: 'http',
      authConfig: {
        url,
        headers: { authorization: MASK, 'x-user': '${username}' },
        body: { key: MASK, user: '${username}', mixed: MASK, n: 1 },
      },
    });
    const sealed = mapSecrets(endpoint, (secret) => `sealed:${secret}`);
    expect(JSON.stringify(sealed)).not.toContain('"s3cret');
    expect(mapSecrets(sealed, (secret) => secret.slice('sealed:'.length))).toEqual(endpoint);
  });

  test('an answer that is sent back changes nothing; a mask for nothing is refused', () => {
    const { authType, authConfig } = toPublicEndpoint(endpoint);
    expect(mergeEndpoint(endpoint, { authType, authConfig }).endpoint).toEqual(endpoint);
    expect(mergeEndpoint(endpoint, { authConfig }).endpoint).toEqual(endpoint);
    expect(mergeEndpoint(endpoint, { authConfig: [{ authType: 'http', ...authConfig }] }).endpoint).toEqual(endpoint);
    expect(pathsRefused(() => mergeEndpoint(endpoint, { authConfig: { headers: { 'x-new': MASK } } }))).toEqual([
      'authConfig.headers.x-new',
    ]);
    expect(pathsRefused(() => parseEndpoint({ port: 1, authType: 'http', authConfig: { url, headers: { a: MASK } } }))).toHaveLength(1);
  });

  test('an object is merged into an entry of its own kind', () => {
    const merged = mergeEndpoint(endpoint, { authConfig: { timeout: 100 } }).endpoint;
    expect(merged.authConfig).toMatchObject([{ authType: 'http', url, timeout: 100, headers: token }]);
    expect(mergeEndpoint(merged, { authConfig: { timeout: null } }).endpoint).toEqual(endpoint);
    const fixed = mergeEndpoint(endpoint, { authType: 'fixed', authConfig: { users: [{ username: 'a', password: 'b' }] } }).endpoint;
    expect(fixed.authConfig).toMatchObject([{ authType: 'fixed', users: [{ username: 'a' }] }]);
    expect(mergeEndpoint(fixed, { authType: 'http', authConfig: { url } }).endpoint.authConfig).toMatchObject([{ authType: 'http', url }]);
    expect(pathsRefused(() => mergeEndpoint(fixed, { authType: 'http' }))).toEqual(['authConfig']);
  });

  test('a difference shows that a secret changed, and never the secret', () => {
    const changed = mergeEndpoint(endpoint, {
      authConfig: { timeout: 100, headers: { ...token, authorization: 'Bearer 0ther' } },
    }).endpoint;
    const diff = readableDiff(endpoint, changed);
    expect(diff).toEqual([
      { path: 'authConfig[0].timeout', from: 5_000, to: 100 },
      { path: 'authConfig[0].headers.authorization', from: MASK, to: MASK, secret: true },
    ]);
    expect(JSON.stringify([diff, maskSecrets(changed)])).not.toMatch(/s3cret|0ther/);
  });
});

describe('jwt', () => {
  const secret = 's3cret of the tokens';

  test('gets its defaults, and algorithms that fit its key', () => {
    expect(parseAuthList([{ authType: 'jwt', secret }])).toEqual([
      {
        authType: 'jwt',
        ...DEFAULTS,
        from: 'password',
        secret,
        secretEncoding: 'utf8',
        publicKey: null,
        jwksUrl: null,
        jwksRefresh: 300,
        ca: null,
        algorithms: ['HS256', 'HS384', 'HS512'],
        issuer: null,
        audience: null,
        claims: {},
        usernameClaim: null,
        clockTolerance: 0,
        disconnectAfterExpire: true,
      },
    ]);
    const [byKeys] = parseAuthList([{ authType: 'jwt', jwksUrl: 'https://issuer.example/keys' }]);
    expect(byKeys).toMatchObject({ algorithms: expect.not.arrayContaining(['HS256']) });
  });

  test.each([
    [{}, 'secret'],
    [{ secret, jwksUrl: 'https://x.example' }, 'jwksUrl'],
    [{ secret, algorithms: ['RS256'] }, 'algorithms.0'],
    [{ jwksUrl: 'https://x.example', algorithms: ['RS256', 'HS256'] }, 'algorithms.1'],
    [{ secret, algorithms: ['none'] }, 'algorithms.0'],
    [{ secret, algorithms: [] }, 'algorithms'],
    [{ secret: '%%%', secretEncoding: 'base64' }, 'secret'],
    [{ publicKey: '-----BEGIN PUBLIC KEY-----\nx\n-----END PUBLIC KEY-----' }, 'publicKey'],
    [{ publicKey: '-----BEGIN PRIVATE KEY-----' }, 'publicKey'],
    [{ jwksUrl: 'file:///etc/keys' }, 'jwksUrl'],
    [{ jwksUrl: 'https://user:pass@x.example' }, 'jwksUrl'],
    [{ secret, ca: 'x' }, 'ca'],
    [{ secret, from: 'topic' }, 'from'],
    [{ secret, claims: { sub: '${user}' } }, 'claims.sub'],
    [{ secret, claims: { sub: 7 } }, 'claims.sub'],
    [{ secret, url: 'x' }, 'url'],
  ])('refuses %j', (config, path) => {
    expect(pathsRefused(() => parseAuthList([{ authType: 'jwt', ...config }]))).toContain(`auth.0.${path}`);
  });

  test('hides its secret, and another source of keys replaces it', () => {
    const endpoint = parseEndpoint({ port: 1, authType: 'jwt', authConfig: { secret } }).endpoint;
    const shown = toPublicEndpoint(endpoint);
    expect(JSON.stringify(shown)).not.toContain(secret);
    expect(mergeEndpoint(endpoint, { authConfig: shown.authConfig }).endpoint).toEqual(endpoint);
    const moved = mergeEndpoint(endpoint, { authConfig: { jwksUrl: 'https://x.example' } }).endpoint;
    expect(moved.authConfig).toMatchObject([{ secret: null, jwksUrl: 'https://x.example', algorithms: expect.arrayContaining(['RS256']) }]);
  });

  test('warns of tokens that are good for every name, and of clear text', () => {
    const warnings = (entry: object) => authWarnings(parseAuthList([entry]), { clientAuth: 'none' });
    expect(warnings({ authType: 'jwt', secret })).toMatchObject([expect.stringContaining('every user name')]);
    for (const more of [{ usernameClaim: 'sub' }, { from: 'username' }, { claims: { sub: '${username}' } }])
      expect(warnings({ authType: 'jwt', secret, ...more })).toEqual([]);
    expect(warnings({ authType: 'http', url: 'http://auth.example:80/x' })).toMatchObject([
      expect.stringContaining('auth.example:80 in clear'),
    ]);
    for (const url of ['https://auth.example', 'http://127.0.0.1:80', 'http://localhost/x'])
      expect(warnings({ authType: 'http', url })).toEqual([]);
  });
});

test('file', () => {
  expect(parseAuthList([{ authType: 'file', path: '/etc/passwords' }])).toEqual([
    { authType: 'file', ...DEFAULTS, path: '/etc/passwords' },
  ]);
  for (const config of [{}, { path: '' }, { path: 7 }, { path: 'a\0b' }])
    expect(pathsRefused(() => parseAuthList([{ authType: 'file', ...config }]))).toEqual(['auth.0.path']);
});

test('x509', () => {
  const read = (config: object) => parseAuthList([{ authType: 'x509', ...config }]);
  expect(read({})).toEqual([{ authType: 'x509', filter: {}, use: 'commonName', asClientId: false }]);
  expect(read({ useSubjectAsUsername: true, asClientId: true })).toEqual([
    { authType: 'x509', filter: {}, use: 'subject', asClientId: true },
  ]);
  expect(read({ use: 'dns', useCommonNameAsUsername: false })).toMatchObject([{ use: 'dns' }]);
  for (const [config, path] of [
    [{ use: 'ip' }, 'use'],
    [{ use: 'dns', useCommonNameAsUsername: true }, 'use'],
    [{ useCommonNameAsUsername: true, useSubjectAsUsername: true }, 'useSubjectAsUsername'],
    [{ timeout: 5 }, 'timeout'],
  ] as const)
    expect(pathsRefused(() => read(config))).toEqual([`auth.0.${path}`]);
  expect(authWarnings(read({}), { clientAuth: 'none' })).toMatchObject([expect.stringContaining('lets nobody in')]);
  expect(authWarnings(read({}), { clientAuth: 'optional' })).toEqual([]);
});

describe('redis', () => {
  const command = 'hmget mqtt:${username} password salt';
  const read = (redis: unknown, more: object = {}) => parseAuthList([{ authType: 'redis', redis, command, ...more }]);

  test('gets its defaults, and reads its own normal form', () => {
    const normal = {
      authType: 'redis',
      ...DEFAULTS,
      encrypt: 'auto',
      saltMode: 'prefix',
      command,
      redis: {
        mode: 'single',
        servers: ['localhost:6379'],
        master: null,
        username: '',
        password: '',
        sentinelPassword: '',
        database: 0,
        tls: false,
        ca: null,
      },
    };
    expect(read({})).toEqual([normal]);
    expect(parseAuthList([normal])).toEqual([normal]);
    expect(read({ host: '::1', port: 7 })).toMatchObject([{ redis: { servers: ['[::1]:7'] } }]);
    expect(read({ mode: 'cluster', servers: ['a', '[::1]:7'] })).toMatchObject([{ redis: { servers: ['a:6379', '[::1]:7'] } }]);
    expect(read({ mode: 'sentinel', servers: ['a'], master: 'm', sentinelPassword: 'x' })).toMatchObject([{ redis: { master: 'm' } }]);
  });

  test.each<[unknown, object, string]>([
    [undefined, {}, 'redis'],
    ['localhost', {}, 'redis'],
    [{ host: 'a', servers: ['b'] }, {}, 'redis.host'],
    [{ servers: ['a', 'b'] }, {}, 'redis.servers'],
    [{ servers: ['redis://a'] }, {}, 'redis.servers.0'],
    [{ servers: ['a:0'] }, {}, 'redis.servers.0'],
    [{ mode: 'sentinel', servers: ['a'] }, {}, 'redis.master'],
    [{ master: 'm' }, {}, 'redis.master'],
    [{ mode: 'cluster', database: 1 }, {}, 'redis.database'],
    [{ username: 'a' }, {}, 'redis.password'],
    [{ sentinelPassword: 'a' }, {}, 'redis.sentinelPassword'],
    [{ ca: 'x' }, {}, 'redis.ca'],
    [{ port: '6379' }, {}, 'redis.port'],
    [{ url: 'x' }, {}, 'redis.url'],
    [{ password: MASK }, {}, 'redis.password'],
    [{}, { saltMode: 'suffix' }, 'saltMode'],
    [{}, { encrypt: 'rot13' }, 'encrypt'],
    [{}, { command: 'hmget mqtt password' }, 'command'],
    [{}, { command: 'hmget mqtt:${user} password' }, 'command'],
    [{}, { command: 'hmget mqtt:${username} salt' }, 'command'],
    [{}, { command: 'hmget mqtt:${username} password password' }, 'command'],
    [{}, { command: 'hmget mqtt:${username} password ${clientId}' }, 'command'],
    [{}, { command: 'del mqtt:${username}' }, 'command'],
    [{}, { command: 'get mqtt:${username} x' }, 'command'],
    [{}, { command: 'hgetall "mqtt ${username}"' }, 'command'],
    [{}, { command: '' }, 'command'],
  ])('refuses %j %j', (redis, more, path) => {
    expect(pathsRefused(() => read(redis, more))).toEqual([`auth.0.${path}`]);
  });

  test('its passwords are secrets, and hashes that cross unprotected are warned of', () => {
    const endpoint = parseEndpoint({ port: 1, authType: 'redis', authConfig: { redis: { password: 'x', host: 'a' }, command } }).endpoint;
    expect(secretPathsOf(endpoint)).toEqual(['authConfig[0].redis.password']);
    expect(authWarnings(read({ host: 'far' }), { clientAuth: 'none' })).toMatchObject([expect.stringContaining('use tls')]);
    for (const near of [{}, { host: '127.0.0.1' }, { host: '::1' }, { host: 'far', tls: true }])
      expect(authWarnings(read(near), { clientAuth: 'none' })).toEqual([]);
  });
});

describe('database', () => {
  const authSql = 'SELECT password FROM users WHERE username = ${username}';
  const datasource = { url: 'jdbc:postgresql://db.example:5432/users', username: 'reader', password: 'word' };
  const read = (config: object) => parseAuthList([{ authType: 'database', datasource, authSql, ...config }]);

  test('gets its defaults, and its password is a secret', () => {
    const normal = { authType: 'database', ...DEFAULTS, encrypt: 'auto', saltMode: 'prefix', authSql };
    expect(read({})).toEqual([{ ...normal, datasource: { ...datasource, connections: 4 } }]);
    const { endpoint } = parseEndpoint({ port: 1, authType: 'database', authConfig: { datasource, authSql } });
    expect(secretPathsOf(endpoint)).toEqual(['authConfig[0].datasource.password']);
  });

  test('placeholders become parameters, whatever stands around them', () => {
    const sql = "SELECT 'it''s', \"a\" FROM u -- why?\n WHERE a = ${username} AND b=${clientid} AND a <> ${username};";
    expect(readSqlTemplate(sql, 'postgres')).toEqual({
      sql: "SELECT * FROM (SELECT 'it''s', \"a\" FROM u -- why?\n WHERE a = $1 AND b=$2 AND a <> $3\n) AS fluxmq_user LIMIT 2",
      parameters: ['username', 'clientId', 'username'],
    });
    expect(readSqlTemplate(sql, 'mysql').sql).toContain('WHERE a = ? AND b=? AND a <> ?');
    for (const kind of ['postgres', 'mysql'] as const) expect(sqlTemplateProblem(sql, kind)).toBeNull();
    expect(sqlTemplateProblem('SELECT a ? b, c FROM u WHERE a = ${ip}', 'postgres')).toBeNull();
  });

  test.each<[object, string]>([
    [{ datasource: undefined }, 'datasource'],
    [{ datasource: 'x' }, 'datasource'],
    [{ datasource: { ...datasource, url: 'oracle://x' } }, 'datasource.url'],
    [{ datasource: { ...datasource, url: 'postgres://me:word@x/users' } }, 'datasource.url'],
    [{ datasource: { ...datasource, connections: 65 } }, 'datasource.connections'],
    [{ datasource: { ...datasource, password: MASK } }, 'datasource.password'],
    [{ datasource: { url: datasource.url } }, 'datasource.username'],
    ...[
      'DELETE FROM users WHERE a = ${username}',
      'SELECT password FROM users',
      "SELECT password FROM users WHERE a = '${username}'",
      'SELECT password FROM users -- ${username}',
      'SELECT password FROM users WHERE a = ${user}',
      'SELECT 1; DROP TABLE users WHERE a = ${username}',
      "SELECT ' FROM users WHERE a = ${username}",
      'SELECT 1 /* FROM users WHERE a = ${username}',
      'SELECT ${username FROM users WHERE a = ${username}',
      '',
    ].map((sql): [object, string] => [{ authSql: sql }, 'authSql']),
    [{ datasource: { ...datasource, url: 'mysql://x/users' }, authSql: 'SELECT ? FROM u WHERE a = ${username}' }, 'authSql'],
  ])('refuses %j', (config, path) => {
    expect(pathsRefused(() => read(config))).toEqual([`auth.0.${path}`]);
  });
});
