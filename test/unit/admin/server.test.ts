/** The server on a real socket: bind errors, slow and broken clients, large bodies, close. */

import { createServer } from 'node:http';
import { type AddressInfo, connect } from 'node:net';
import { afterEach, describe, expect, test } from 'vitest';
import { type AdminServer, openAdmin, startAdmin } from '../../../src/admin/server.ts';
import { silentLogger } from '../../../src/kernel/logger.ts';
import type { Settings } from '../../../src/settings/settings.ts';
import { until } from '../../kit/until.ts';
import { type AllRequests, settingsWith, standInControl } from './stand-in.ts';

const open: { close(): unknown }[] = [];
afterEach(async () => {
  for (const server of open.splice(0)) await server.close();
});

async function start(http: Partial<Settings['http']> = {}, overrides: Partial<AllRequests> = {}): Promise<AdminServer> {
  const { control } = standInControl(overrides);
  const server = await startAdmin({
    settings: settingsWith(http),
    control,
    logger: silentLogger,
    staticRoot: new URL('file:///nonexistent/'),
  });
  open.push(server);
  return server;
}

/** Sends bytes, and returns all that comes until the server ends the connection. */
function raw(port: number, bytes: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, '127.0.0.1', () => socket.write(bytes));
    let text = '';
    socket.setTimeout(20_000, () => reject(new Error(`no end after: ${text}`)));
    socket.on('data', (data) => {
      text += data.toString();
    });
    socket.on('error', reject);
    socket.on('close', () => {
      socket.destroy();
      resolve(text);
    });
  });
}

describe('bind', () => {
  test('a taken port is named', async () => {
    const other = createServer().listen(0, '127.0.0.1');
    open.push(other);
    await new Promise((resolve) => other.once('listening', resolve));
    const { port } = other.address() as AddressInfo;
    await expect(start({ port })).rejects.toMatchObject({ kind: 'port-in-use', message: `Admin API: Port ${port} is already in use` });
  });

  test('an address of another machine is refused', async () => {
    await expect(start({ host: '192.0.2.1', password: 'x' })).rejects.toMatchObject({ kind: 'unprocessable' });
  });

  test('an open address needs a password', async () => {
    await expect(start({ host: '0.0.0.0' })).rejects.toMatchObject({ kind: 'invalid' });
  });
});

describe('requests', () => {
  test('1,000 at once are all answered', async () => {
    const { port } = await start();
    const answers = await Promise.all(Array.from({ length: 1000 }, () => fetch(`http://127.0.0.1:${port}/api/endpoints/list`)));
    expect(answers.every(({ status }) => status === 200)).toBe(true);
    await Promise.all(answers.map((answer) => answer.text()));
  });

  test('a body that announces too much is answered at once, without being read', async () => {
    const { port } = await start();
    const head = 'POST /api/endpoints/add HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nConnection: close\r\n';
    expect(await raw(port, `${head}Content-Length: 99999999\r\n\r\n{`)).toMatch(/^HTTP\/1\.1 413 /);
  });

  test('a chunked body is cut off over 1 MiB', async () => {
    const { port } = await start();
    const head =
      'POST /api/endpoints/add HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n';
    const chunk = `10000\r\n${' '.repeat(0x10000)}\r\n`;
    expect(await raw(port, head + chunk.repeat(17))).toMatch(/^HTTP\/1\.1 413 [\s\S]*"kind":"too-large"/);
  });

  test('what is not HTTP gets 400 in the envelope', async () => {
    const { port } = await start();
    expect(await raw(port, 'HELO fluxmq\r\n\r\n')).toMatch(/^HTTP\/1\.1 400 [\s\S]*\{"code":400/);
  });

  test('a client that sends its headers too slowly is let go', async () => {
    const { port } = await start();
    expect(await raw(port, 'GET / HTTP/1.1\r\nHost: loc')).toMatch(/^HTTP\/1\.1 408 /);
  }, 25_000);

  test('an answer that never comes is 503 at its deadline', async () => {
    const { port } = await start({}, { add: () => new Promise(() => {}) });
    const response = await fetch(`http://127.0.0.1:${port}/api/endpoints/add?timeout=1`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: '{}',
    });
    expect([response.status, await response.json()]).toEqual([503, expect.objectContaining({ error: { kind: 'timeout', issues: [] } })]);
  }, 15_000);
});

describe('close', () => {
  test('lets a request under way end, refuses new ones, and does not wait for idle connections', async () => {
    let release = (): void => {};
    const held = new Promise<void>((resolve) => {
      release = resolve;
    });
    let arrived = (): void => {};
    const under = new Promise<void>((resolve) => {
      arrived = resolve;
    });
    const server = await start(
      {},
      {
        prometheus: async () => {
          arrived();
          await held;
          return 'late';
        },
      },
    );
    const url = `http://127.0.0.1:${server.port}`;
    await (await fetch(`${url}/api/endpoints/list`)).text();
    const slow = fetch(`${url}/public/metrics`);
    await under;
    const closed = server.close();
    await expect(fetch(`${url}/api/endpoints/list`, { headers: { connection: 'close' } })).rejects.toThrow();
    release();
    expect(await (await slow).text()).toBe('late');
    const started = performance.now();
    await closed;
    expect(performance.now() - started).toBeLessThan(1000);
  });
});

describe('before the node is up', () => {
  test('every request gets 503 starting, and the same connection is served afterwards', async () => {
    const { control } = standInControl({});
    const options = { settings: settingsWith({}), control, logger: silentLogger, staticRoot: new URL('file:///nonexistent/') };
    const { port: place } = await start();
    await open.pop()!.close();
    const door = await openAdmin({ ...options, settings: settingsWith({ port: place }) });
    open.push(door);
    const ask = (method: string, path: string, body?: string) =>
      fetch(`http://127.0.0.1:${place}${path}`, { method, ...(body === undefined ? {} : { body }) });
    for (const [method, path, body] of [
      ['GET', '/health'],
      ['GET', '/public/metrics'],
      ['GET', '/api/endpoints/list'],
      ['POST', '/api/endpoints/add', 'x'.repeat(200_000)],
      ['GET', '/nothing'],
    ] as const) {
      const answer = await ask(method, path, body);
      expect(answer.status).toBe(503);
      expect(answer.headers.get('retry-after')).toBe('1');
      const text = await answer.text();
      expect(text.endsWith('\n')).toBe(true);
      expect(JSON.parse(text)).toMatchObject({ code: 503, data: { status: 'starting' }, error: { kind: 'unavailable', issues: [] } });
    }
    const head = await ask('HEAD', '/health');
    expect([head.status, await head.text()]).toEqual([503, '']);
    // HAProxy's plain check: no Host, HTTP/1.0.
    expect(await raw(place, 'OPTIONS /health HTTP/1.0\r\n\r\n')).toMatch(/^HTTP\/1.1 503 /);
    const socket = connect(place, '127.0.0.1');
    let heard = '';
    socket.on('data', (data) => {
      heard += data.toString();
    });
    socket.write('GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n');
    await until('the first answer', () => heard.includes('starting'));
    const server = door.serve(options);
    expect(server.port).toBe(place);
    heard = '';
    socket.write('GET /api/endpoints/list HTTP/1.1\r\nHost: localhost\r\n\r\n');
    await until('the second answer', () => heard.startsWith('HTTP/1.1 200'));
    socket.destroy();
    expect((await ask('GET', '/api/endpoints/list')).status).toBe(200);
  });
});
