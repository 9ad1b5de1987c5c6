/** Logins of the admin API: passwords, tokens, roles, the throttle, and other web sites. */

import { randomBytes, scryptSync } from 'node:crypto';
import { describe, expect, test, vi } from 'vitest';
import { FAILURES_MAX, LoginDesk } from '../../../src/admin/login/login.ts';
import { passwordCheck } from '../../../src/admin/login/password.ts';
import { TOKEN_LIFETIME_MS, TOKENS_MAX, TokenStore } from '../../../src/admin/login/tokens.ts';
import { type Logger, silentLogger } from '../../../src/kernel/logger.ts';
import { appWith, ask, basic, settingsWith } from './stand-in.ts';

const LIST = '/api/endpoints/list';
const ADD = '/api/endpoints/add';

function scryptHash(password: string, cost = 1024): string {
  const salt = randomBytes(16);
  const hash = scryptSync(password, salt, 32, { N: cost, r: 8, p: 1 });
  return `scrypt$${cost}$8$1$${salt.toString('base64')}$${hash.toString('base64')}`;
}

/** Processor time of the work, the median of five runs. */
function processorMs(work: () => void): number {
  const runs = Array.from({ length: 5 }, () => {
    const before = process.cpuUsage();
    work();
    return process.cpuUsage(before).user / 1000;
  });
  return runs.toSorted((a, b) => a - b)[2]!;
}

describe('passwords', () => {
  test.each(['clear text', scryptHash('clear text')])('%s', async (stored) => {
    const check = passwordCheck(stored, 'admin');
    expect(await check('clear text')).toBe(true);
    expect(await check('clear texT')).toBe(false);
    expect(await check('')).toBe(false);
  });

  test.each([
    'scrypt$',
    'scrypt$1000$8$1$c2FsdA==$aGFzaGhhc2hoYXNoaGFzaA==',
    'scrypt$1024$8$1$c2FsdA==$short',
    'scrypt$1073741824$8$1$c2FsdA==$aGFzaGhhc2hoYXNoaGFzaA==',
  ])('%s stops the start', (stored) => {
    expect(() => passwordCheck(stored, 'admin')).toThrow(/scrypt/);
  });
});

describe('with a password', () => {
  const secret = { password: scryptHash('right'), viewers: [{ username: 'eve', password: 'look' }] };

  test('no credentials are 401 with WWW-Authenticate, before the body is read', async () => {
    const { status, headers, body } = await ask(appWith(secret).app, 'POST', ADD, { body: 'no json' });
    expect([status, body.error?.kind]).toEqual([401, 'unauthorized']);
    expect(headers.get('www-authenticate')).toMatch(/^Basic realm="fluxmq"/);
  });

  test('Basic: the actor of a change is the login', async () => {
    const { app, seen } = appWith(secret);
    const { status } = await ask(app, 'POST', ADD, { body: {}, headers: basic('admin', 'right') });
    expect([status, seen[0]?.context?.actor]).toEqual([200, 'admin']);
  });

  test.each([
    ['wrong password', basic('admin', 'wrong')],
    ['unknown user', basic('nobody', 'right')],
    ["another account's password", basic('eve', 'right')],
    ['no colon', { authorization: `Basic ${Buffer.from('admin').toString('base64')}` }],
    ['unknown scheme', { authorization: 'Digest right' }],
    ['unknown token', { authorization: 'Bearer abc' }],
  ])('%s is 401', async (_what, headers) => {
    expect((await ask(appWith(secret).app, 'GET', LIST, { headers })).status).toBe(401);
  });

  test('a viewer may GET, and nothing else', async () => {
    const { app, seen } = appWith(secret);
    const headers = basic('eve', 'look');
    expect((await ask(app, 'GET', LIST, { headers })).status).toBe(200);
    expect((await ask(app, 'POST', ADD, { headers, body: {} })).body.error?.kind).toBe('forbidden');
    expect((await ask(app, 'POST', '/api/endpoints/plan', { headers, body: {} })).status).toBe(403);
    expect(seen).toEqual([]);
  });

  test('a token stands for its login', async () => {
    const { app, seen } = appWith(secret);
    const login = await ask(app, 'POST', '/public/login', { body: { username: 'admin', password: 'right' } });
    const { token, expires } = login.body.data as { token: string; expires: string };
    expect(Date.parse(expires)).toBeGreaterThan(Date.now());
    const { status } = await ask(app, 'POST', ADD, { body: {}, headers: { authorization: `Bearer ${token}` } });
    expect([status, seen[0]?.context?.actor]).toEqual([200, 'admin']);
  });

  test('a wrong login gets no token, an unknown key is refused', async () => {
    const { app } = appWith(secret);
    expect((await ask(app, 'POST', '/public/login', { body: { username: 'admin', password: 'wrong' } })).status).toBe(401);
    expect((await ask(app, 'POST', '/public/login', { body: { username: 'admin', password: 'right', otp: 1 } })).status).toBe(400);
  });

  test('/public/metrics needs no login, /docs and /openapi.json do', async () => {
    const { app } = appWith(secret);
    const paths = ['/public/metrics', '/', '/docs', '/openapi.json', LIST];
    const statuses = await Promise.all(paths.map(async (path) => (await ask(app, 'GET', path)).status));
    expect(statuses).toEqual([200, 302, 401, 401, 401]);
  });

  test('too many failures of an address are 429 with Retry-After, and a right credential that is known still passes', async () => {
    const { app } = appWith(secret);
    const from = (address: string) => ({ incoming: { socket: { remoteAddress: address } } });
    const get = (password: string, address: string) =>
      app.request(LIST, { headers: { host: 'localhost', ...basic('admin', password) } }, from(address));
    expect((await get('right', '192.0.2.1')).status).toBe(200);
    for (let failure = 0; failure < FAILURES_MAX; failure++) expect((await get(`wrong ${failure}`, '192.0.2.1')).status).toBe(401);
    const refused = await get('wrong again', '192.0.2.1');
    expect(refused.status).toBe(429);
    expect(Number(refused.headers.get('retry-after'))).toBeGreaterThan(0);
    expect((await get('right', '192.0.2.1')).status).toBe(200);
    expect((await get('wrong', '192.0.2.2')).status).toBe(401);
  });

  test('guesses side by side wait for their check, and right logins of others pass them', async () => {
    const { app } = appWith({ ...secret, password: 'right' });
    const started = performance.now();
    const attempts = Array.from({ length: 14 }, (_value, index) => ask(app, 'GET', LIST, { headers: basic('admin', `guess ${index}`) }));
    expect((await ask(app, 'GET', LIST, { headers: basic('eve', 'look') })).status).toBe(200);
    expect(performance.now() - started).toBeLessThan(900);
    const statuses = (await Promise.all(attempts)).map(({ status }) => status);
    expect(statuses.filter((status) => status === 401)).toHaveLength(FAILURES_MAX);
    expect(statuses.filter((status) => status === 429)).toHaveLength(14 - FAILURES_MAX);
    expect(performance.now() - started).toBeGreaterThan(2_900);
    expect((await ask(app, 'GET', LIST, { headers: basic('admin', 'right') })).status).toBe(200);
  }, 15_000);

  test('a poller with an old password shuts nobody out', async () => {
    const { app } = appWith(secret);
    for (let time = 0; time < 30; time++) {
      expect((await ask(app, 'GET', LIST, { headers: basic('admin', 'old') })).status).toBe(time < FAILURES_MAX ? 401 : 429);
    }
    expect((await ask(app, 'POST', '/public/login', { body: { username: 'admin', password: 'right' } })).status).toBe(200);
  });

  test('1,000 requests at once with one credential hash it once', async () => {
    const { app } = appWith({ password: scryptHash('right', 16384) });
    const oneHashMs = processorMs(() => void scryptHash('right', 16384));
    const before = process.cpuUsage();
    const answers = await Promise.all(Array.from({ length: 1000 }, () => ask(app, 'GET', LIST, { headers: basic('admin', 'right') })));
    expect(answers.every(({ status }) => status === 200)).toBe(true);
    // The requests themselves take as much as some tens of hashes.
    expect(process.cpuUsage(before).user / 1000).toBeLessThan(500 * oneHashMs);
  });

  test('neither passwords nor tokens reach the log', async () => {
    const lines: unknown[] = [];
    const keep = (message: string, fields?: unknown): void => void lines.push([message, fields]);
    const logger: Logger = { debug: keep, info: keep, warn: keep, error: keep };
    const { app } = appWith({ ...secret, accessLog: true }, {}, logger);
    const login = await ask(app, 'POST', '/public/login', { body: { username: 'admin', password: 'right' } });
    const { token } = login.body.data as { token: string };
    await ask(app, 'GET', LIST, { headers: { authorization: `Bearer ${token}` } });
    await ask(app, 'GET', LIST, { headers: basic('admin', 'wrong-secret') });
    const text = JSON.stringify(lines);
    expect(text).toContain('Auth');
    for (const hidden of [token, 'wrong-secret', '"right"']) expect(text).not.toContain(hidden);
  });

  test('a page of another site cannot change anything, but a link to the API works', async () => {
    const { app } = appWith(secret);
    const headers = { ...basic('admin', 'right'), 'sec-fetch-site': 'cross-site' };
    expect((await ask(app, 'POST', ADD, { headers, body: {} })).status).toBe(403);
    expect((await ask(app, 'GET', LIST, { headers })).status).toBe(200);
  });
});

describe('without a password', () => {
  test.each(['localhost', 'localhost:18083', '127.0.0.1:18083', '[::1]:18083', 'LOCALHOST'])('Host: %s is served', async (host) => {
    expect((await ask(appWith().app, 'GET', LIST, { headers: { host } })).status).toBe(200);
  });

  test.each(['example.org', 'localhost.example.org', '127.0.0.1.example.org', '10.0.0.1:18083', ''])('Host: %s is 403', async (host) => {
    for (const path of [LIST, '/openapi.json']) expect((await ask(appWith().app, 'GET', path, { headers: { host } })).status).toBe(403);
  });

  test.each([
    { 'sec-fetch-site': 'cross-site' },
    { 'sec-fetch-site': 'same-site' },
    { origin: 'http://example.org' },
    { origin: 'http://localhost:3000' },
    { origin: 'null' },
  ])("another site's request with %j is 403", async (headers) => {
    const host = { host: 'localhost:18083' };
    expect((await ask(appWith().app, 'POST', ADD, { body: {}, headers: { ...host, ...headers } })).status).toBe(403);
    expect((await ask(appWith().app, 'GET', LIST, { headers: { ...host, ...headers } })).status).toBe(403);
  });

  test.each([{ 'sec-fetch-site': 'same-origin', origin: 'http://localhost:18083' }, { 'sec-fetch-site': 'none' }])(
    'its own page with %j is served',
    async (own) => {
      const headers = { host: 'localhost:18083', ...own };
      expect((await ask(appWith().app, 'POST', ADD, { body: {}, headers })).status).toBe(200);
    },
  );

  test('no answer allows another origin to read it', async () => {
    const { headers } = await ask(appWith().app, 'GET', LIST);
    expect([...headers.keys()].filter((name) => name.startsWith('access-control'))).toEqual([]);
    expect(headers.get('x-content-type-options')).toBe('nosniff');
    expect(headers.get('content-security-policy')).toContain("default-src 'none'");
  });

  test('viewers need an administrator', () => {
    expect(() => new LoginDesk(settingsWith({ viewers: [{ username: 'eve', password: 'x' }] }).http, silentLogger)).toThrow(
      /http.password/,
    );
  });
});

describe('tokens', () => {
  test('expire', () => {
    const now = vi.fn(() => 0);
    const store = new TokenStore(now);
    const { token } = store.issue({ name: 'admin', role: 'admin' }, '');
    now.mockReturnValue(TOKEN_LIFETIME_MS - 1);
    expect(store.find(token)).toMatchObject({ login: { name: 'admin' }, stamp: '' });
    now.mockReturnValue(TOKEN_LIFETIME_MS);
    expect(store.find(token)).toBeNull();
  });

  test('are bounded: the oldest gives way', () => {
    const store = new TokenStore(Date.now);
    const tokens = Array.from({ length: TOKENS_MAX + 1 }, () => store.issue({ name: 'admin', role: 'admin' }, '').token);
    expect(store.find(tokens[0]!)).toBeNull();
    expect(store.find(tokens[1]!)).not.toBeNull();
    expect(store.find(tokens[TOKENS_MAX]!)).not.toBeNull();
  });
});
