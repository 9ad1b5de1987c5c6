/** Behind reverse proxies: rewritten Host, forwarded addresses, path prefixes; and probes that name any Host or none. */

import { connect } from 'node:net';
import { afterEach, describe, expect, test } from 'vitest';
import { Proxies } from '../../../src/admin/http/proxies.ts';
import { type AdminServer, startAdmin } from '../../../src/admin/server.ts';
import { silentLogger } from '../../../src/kernel/logger.ts';
import type { Settings } from '../../../src/settings/settings.ts';
import { appWith, settingsWith, standInControl } from './stand-in.ts';

const open: AdminServer[] = [];
afterEach(async () => {
  for (const server of open.splice(0)) await server.close();
});

async function start(http: Partial<Settings['http']>): Promise<number> {
  const { control } = standInControl({ health: () => HEALTHY });
  const staticRoot = new URL('file:///nonexistent/');
  const server = await startAdmin({ settings: settingsWith(http), control, logger: silentLogger, staticRoot });
  open.push(server);
  return server.port;
}

const HEALTHY = {
  status: 'ok' as const,
  node: 'n1',
  version: '0',
  uptimeSeconds: 1,
  store: { type: 'MEMORY', ok: true, reason: null, refused: [] },
  messages: { ok: true, reason: null, refused: 0, lost: 0 },
  nats: null,
  crossing: null,
  endpoints: { total: 0, running: 0, failed: [] },
  workerRestarts: 0,
  blockedWorkers: [],
};

/** Sends bytes on a connection of their own; all that comes until it ends. */
function raw(port: number, bytes: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, '127.0.0.1', () => socket.write(bytes));
    let text = '';
    socket.setTimeout(10_000, () => reject(new Error(`no end after: ${text}`)));
    socket.on('data', (data) => {
      text += data.toString();
    });
    socket.on('error', reject);
    socket.on('close', () => resolve(text));
  });
}

const statusOf = (answer: string) => Number(answer.split(' ')[1]);

describe('probes', () => {
  test.each(['', 'fluxmq_node_1:18083', 'a b', 'fluxmq..svc', '10.1.2.3:18083', '[2001:db8::1]:18083'])('Host %j', async (host) => {
    for (const login of [{}, { password: 'secret' }]) {
      const port = await start(login);
      for (const path of ['/health', '/public/metrics'])
        for (const method of ['GET', 'HEAD'])
          for (const version of ['1.0', '1.1']) {
            const request = `${method} ${path} HTTP/${version}\r\nHost: ${host}\r\nConnection: close\r\n\r\n`;
            expect([request, statusOf(await raw(port, request))]).toEqual([request, 200]);
          }
    }
  });

  test('without a Host header; other routes need one', async () => {
    const port = await start({});
    expect(statusOf(await raw(port, 'GET /health HTTP/1.0\r\n\r\n'))).toBe(200);
    expect(statusOf(await raw(port, 'GET /health HTTP/1.1\r\nConnection: close\r\n\r\n'))).toBe(200);
    expect(statusOf(await raw(port, 'GET /api/endpoints/list HTTP/1.0\r\n\r\n'))).toBe(403);
    const refused = await raw(port, 'GET /api/endpoints/list HTTP/1.1\r\nConnection: close\r\n\r\n');
    expect([statusOf(refused), JSON.parse(refused.split('\r\n\r\n')[1]!).code]).toEqual([400, 400]);
    const expecting = await raw(port, 'GET /health HTTP/1.1\r\nHost: x\r\nExpect: magic\r\n\r\n');
    expect(expecting).toMatch(/^HTTP\/1.1 417 (?:.|\s)*"code":417/);
  });

  test('a name that is no loopback name still opens nothing but the probes', async () => {
    const port = await start({});
    const answer = await raw(port, 'GET /api/endpoints/list HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n');
    expect(statusOf(answer)).toBe(403);
  });
});

const headersOf = (entries: Record<string, string>) => new Headers(entries);

describe('forwarded headers', () => {
  const proxies = new Proxies(['10.0.0.0/8', '127.0.0.1', '2001:db8::/32'], '/own');
  const headers = headersOf({
    host: 'upstream',
    'x-forwarded-for': '203.0.113.9, 198.51.100.7:4711, 10.9.9.9',
    'x-forwarded-host': 'mqtt.example.org, inner',
    'x-forwarded-prefix': '/fluxmq/',
  });

  test('of a trusted proxy: the nearest address that is none, the outermost host, the prefix', () => {
    const wanted = { address: '198.51.100.7', host: 'mqtt.example.org', prefix: '/fluxmq' };
    for (const peer of ['10.1.2.3', '127.0.0.1', '::ffff:10.1.2.3', '2001:db8::5']) expect(proxies.read(peer, headers)).toEqual(wanted);
  });

  test('of anybody else: not believed', () => {
    for (const peer of ['198.51.100.1', '::1', '::ffff:192.0.2.1'])
      expect(proxies.read(peer, headers)).toEqual({ address: peer, host: 'upstream', prefix: '/own' });
  });

  test('nonsense in them is left out', () => {
    const odd = headersOf({ host: 'h', 'x-forwarded-for': 'unknown, <script>', 'x-forwarded-prefix': '//evil.example' });
    expect(proxies.read('10.0.0.1', odd)).toEqual({ address: '10.0.0.1', host: 'h', prefix: '/own' });
    const all = headersOf({ host: 'h', 'x-forwarded-for': '10.0.0.7, [2001:db8::1]:80' });
    expect(proxies.read('10.0.0.1', all).address).toBe('10.0.0.7');
  });
});

describe('browsers behind a proxy', () => {
  const login = { authorization: `Basic ${Buffer.from('admin:secret').toString('base64')}`, 'content-type': 'application/json' };
  const post = async (headers: Record<string, string>, trustedProxies: string[] = []) => {
    const { app } = appWith({ password: 'secret', trustedProxies });
    const init = { method: 'POST', headers: { ...login, ...headers }, body: '{"port":5}' };
    return (await app.request('/api/endpoints/add', init, { incoming: { socket: { remoteAddress: '10.0.0.1' } } })).status;
  };
  const origin = 'https://mqtt.example.org';

  test('the same host with and without the port of its scheme', async () => {
    expect(await post({ host: 'mqtt.example.org', origin })).toBe(200);
    expect(await post({ host: 'MQTT.example.org:443', origin })).toBe(200);
    expect(await post({ host: 'mqtt.example.org', origin: `${origin}:443` })).toBe(200);
    expect(await post({ host: 'mqtt.example.org:80', origin })).toBe(403);
    expect(await post({ host: 'mqtt.example.org', origin: 'null' })).toBe(403);
  });

  test('a rewritten Host: the browser says same-origin, or the trusted proxy names the host', async () => {
    expect(await post({ host: 'fluxmq:18083', origin, 'sec-fetch-site': 'same-origin' })).toBe(200);
    expect(await post({ host: 'fluxmq:18083', origin, 'x-forwarded-host': 'mqtt.example.org' }, ['10.0.0.0/8'])).toBe(200);
    expect(await post({ host: 'fluxmq:18083', origin, 'x-forwarded-host': 'mqtt.example.org' })).toBe(403);
  });

  test('another site stays outside', async () => {
    const evil = { host: 'fluxmq:18083', origin: 'https://evil.example', 'x-forwarded-host': 'mqtt.example.org' };
    expect(await post(evil, ['10.0.0.0/8'])).toBe(403);
    expect(await post({ ...evil, 'sec-fetch-site': 'cross-site' }, ['10.0.0.0/8'])).toBe(403);
    expect(await post({ host: 'mqtt.example.org', origin, 'sec-fetch-site': 'same-site' })).toBe(403);
  });

  test('without a login a trusted proxy that was asked for a public name is refused', async () => {
    const { app } = appWith({ trustedProxies: ['127.0.0.1'] });
    const bindings = { incoming: { socket: { remoteAddress: '127.0.0.1' } } };
    const ask = async (headers: Record<string, string>) => (await app.request('/api/endpoints/list', { headers }, bindings)).status;
    expect(await ask({ host: '127.0.0.1:18083' })).toBe(200);
    expect(await ask({ host: '127.0.0.1:18083', 'x-forwarded-host': 'mqtt.example.org' })).toBe(403);
  });
});

describe('a path prefix', () => {
  const from = async (path: string, http: Partial<Settings['http']>, headers: Record<string, string> = {}) => {
    const { app } = appWith(http);
    const bindings = { incoming: { socket: { remoteAddress: '127.0.0.1' } } };
    return app.request(path, { headers: { host: 'localhost', ...headers } }, bindings);
  };

  test('that the proxy keeps is http.basePath, or comes with the request', async () => {
    expect((await from('/fluxmq/public/metrics', {})).status).toBe(404);
    expect((await from('/fluxmq/public/metrics', { basePath: '/fluxmq' })).status).toBe(200);
    expect((await from('/public/metrics', { basePath: '/fluxmq' })).status).toBe(200);
    expect((await from('/fluxmqx/public/metrics', { basePath: '/fluxmq' })).status).toBe(404);
    const prefix = { 'x-forwarded-prefix': '/fluxmq' };
    expect((await from('/fluxmq/public/metrics', { trustedProxies: ['127.0.0.1'] }, prefix)).status).toBe(200);
    expect((await from('/fluxmq/public/metrics', {}, prefix)).status).toBe(404);
  });

  test('no link of the pages loses it', async () => {
    const location = async (...given: Parameters<typeof from>) => (await from(...given)).headers.get('location');
    expect(await location('/', {})).toBe('./docs');
    expect(await location('/fluxmq', { basePath: '/fluxmq' })).toBe('/fluxmq/docs');
    expect(await location('/', { trustedProxies: ['127.0.0.1'] }, { 'x-forwarded-prefix': '/broker' })).toBe('/broker/docs');
    const links = async (path: string, base: string) =>
      [...(await (await from(path, {})).text()).matchAll(/(?:href|src)="([^"]+)"/g)].map(([, link]) => new URL(link!, base).pathname);
    expect(await links('/docs', 'http://x/fluxmq/docs')).toContain('/fluxmq/docs/start.js');
    expect(await links('/docs/', 'http://x/fluxmq/docs/')).toContain('/fluxmq/docs/start.js');
    expect((await links('/docs', 'http://x/fluxmq/docs')).filter((link) => !link.startsWith('/fluxmq/docs/'))).toEqual([]);
  });
});
