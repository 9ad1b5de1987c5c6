/** Login, roles, the description and load on the real broker with a password. */

import { randomBytes, scryptSync } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Access, accessOf } from '../../src/admin/login/access-table.ts';
import { type Broker, startBroker } from '../kit/broker.ts';
import { freePort } from '../kit/free-port.ts';

const PASSWORD = 'correct horse';
let broker: Broker;
beforeAll(async () => {
  const salt = randomBytes(16);
  const hash = scryptSync(PASSWORD, salt, 32, { N: 16384, r: 8, p: 1 });
  const password = `scrypt$16384$8$1$${salt.toString('base64')}$${hash.toString('base64')}`;
  const viewers = [{ username: 'eve', password: 'look' }];
  const http = { host: '127.0.0.1', port: await freePort(), username: 'admin', password, viewers, accessLog: true };
  broker = await startBroker({ endpoints: [{ enableAuth: false }], config: { http } });
});
afterAll(async () => {
  await broker.stop();
});

function basic(username: string, password: string): Record<string, string> {
  return { authorization: `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}` };
}
const ADMIN = basic('admin', PASSWORD);
const VIEWER = basic('eve', 'look');

/** Every documented operation, and every alias of one, which the description leaves out. */
async function operations(): Promise<{ method: string; path: string; isPublic: boolean }[]> {
  const { body } = await broker.api('GET', '/openapi.json', undefined, ADMIN);
  const { paths } = body as { paths: Record<string, Record<string, { security: unknown[] }>> };
  return Object.entries(paths).flatMap(([path, methods]) =>
    Object.entries(methods).flatMap(([method, { security }]) => {
      const aliases = path.startsWith('/api/endpoints/') ? [path.replace('/api', '')] : [];
      return [path, ...aliases].map((each) => ({ method: method.toUpperCase(), path: each, isPublic: security.length === 0 }));
    }),
  );
}

describe('login', () => {
  test('every route that is not public is 401 without credentials', async () => {
    const all = await operations();
    expect(all.length).toBeGreaterThan(40);
    for (const { method, path, isPublic } of all) {
      const response = await fetch(broker.admin + path, { method, redirect: 'manual' });
      await response.arrayBuffer();
      if (isPublic) expect([method, path, response.status]).not.toEqual([method, path, 401]);
      else expect([method, path, response.status]).toEqual([method, path, 401]);
    }
  });

  test('a viewer and an operator are 403 on exactly those routes that need a higher role', async () => {
    await broker.api('POST', '/api/admins', { username: 'olga', password: 'operates', role: 'operator' }, ADMIN);
    const { body } = await broker.api('POST', '/public/login', { username: 'olga', password: 'operates' });
    const operator = { authorization: `Bearer ${(body as { data: { token: string } }).data.token}` };
    const ranks: Record<Access, number> = { public: -1, viewer: 0, operator: 1, admin: 2 };
    const all = await operations();
    for (const { method, path } of all) {
      // A stream has no end, and a probe takes its time.
      if (/watch$|health$/.test(path)) continue;
      const access = accessOf({ method, path: path.replace(/^\/endpoints/, '/api/endpoints') });
      const isWriting = method === 'POST' || method === 'PUT';
      for (const [headers, rank] of [
        [VIEWER, 0],
        [operator, 1],
      ] as const) {
        // A body that no route takes: what is allowed is refused for another reason.
        const { status } = await broker.api(method, path, isWriting ? { '': null } : undefined, headers);
        expect([method, path, rank, status === 403]).toEqual([method, path, rank, ranks[access] > rank]);
      }
    }
    expect(all.filter(({ method, path }) => method !== 'GET' && !path.startsWith('/public')).map(({ path }) => path)).toContain(
      '/api/keys',
    );
  });

  test('every route that writes is beyond viewers', async () => {
    for (const { method, path, isPublic } of await operations()) {
      if (method === 'GET' || isPublic) continue;
      expect([path, accessOf({ method, path: path.replace(/^\/endpoints/, '/api/endpoints') })]).not.toEqual([path, 'viewer']);
    }
  });

  test('a token works as the password does; the actor is the login', async () => {
    const login = await broker.api('POST', '/public/login', { username: 'admin', password: PASSWORD });
    const { token } = (login.body as { data: { token: string } }).data;
    const port = await freePort();
    const add = await broker.api('POST', '/api/endpoints/add', { port, host: '127.0.0.1' }, { authorization: `Bearer ${token}` });
    expect(add.status).toBe(200);
    const { body } = await broker.api('GET', `/api/endpoints/history?port=${port}`, undefined, ADMIN);
    expect(body).toMatchObject({ data: [{ actor: 'admin', source: 'http' }] });
    const log = await broker.log();
    expect(log).toContain('HTTP POST /api/endpoints/add 200');
    for (const secret of [token, PASSWORD]) expect(log).not.toContain(secret);
  });

  test('a request id is kept, in the answer and in the log', async () => {
    const { headers } = await broker.api('GET', '/api/endpoints/get?port=1', undefined, { ...ADMIN, 'x-request-id': 'find-me-9' });
    expect(headers.get('x-request-id')).toBe('find-me-9');
    expect(await broker.log()).toContain('find-me-9');
  });
});

describe('description and load', () => {
  test('/docs and its files are served by the broker itself', async () => {
    const page = await broker.api('GET', '/docs', undefined, ADMIN);
    for (const [, file] of String(page.body).matchAll(/(?:src|href)="([^"]+)"/g)) {
      // Relative links work below a path prefix as well.
      const { pathname } = new URL(file!, `${broker.admin}/docs`);
      const { status } = await broker.api('GET', pathname, undefined, ADMIN);
      expect([file, status]).toEqual([file, 200]);
    }
  });

  test('1,000 reads at once, with a hashed password', async () => {
    const started = performance.now();
    const answers = await Promise.all(Array.from({ length: 1000 }, () => broker.api('GET', '/api/endpoints/list', undefined, ADMIN)));
    expect(answers.filter(({ status }) => status !== 200)).toEqual([]);
    expect(performance.now() - started).toBeLessThan(15_000);
  });

  test('1,000 changes of one endpoint at once: each is done or refused by rule, and the revision counts those done', async () => {
    const [port] = broker.ports;
    const list = async (): Promise<number> =>
      Number((await broker.api('GET', '/api/endpoints/list', undefined, ADMIN)).headers.get('etag')?.replaceAll('"', ''));
    const before = await list();
    const answers = await Promise.all(
      Array.from({ length: 1000 }, (_value, index) =>
        broker.api('POST', '/api/endpoints/update', { port, maxConnectionSize: 100 + index }, ADMIN),
      ),
    );
    const done = answers.filter(({ status }) => status === 200).length;
    expect(answers.filter(({ status }) => ![200, 409, 412].includes(status))).toEqual([]);
    expect(done).toBeGreaterThan(0);
    expect((await list()) - before).toBe(done);
  });
});
