/** Authenticators that are asked, as configured: their normal form, what is refused, and where their secrets show. */

import { describe, expect, test } from 'vitest';
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
