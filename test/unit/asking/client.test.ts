/** The HTTP client of authenticators: whom it trusts, what it bounds, and connections that the server has closed. */

import { readFileSync } from 'node:fs';
import { createServer, type RequestListener } from 'node:http';
import { createServer as createSecureServer } from 'node:https';
import type { AddressInfo, Server } from 'node:net';
import { afterAll, describe, expect, test } from 'vitest';
import { openHttpClient } from '../../../workers/task/asking/http/client.ts';
import { Authority, certificateFolder } from '../../kit/certificates.ts';

const cleanups: (() => Promise<unknown>)[] = [];
afterAll(() => Promise.all(cleanups.map((cleanup) => cleanup())));

async function listen(server: Server): Promise<number> {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  cleanups.push(() => new Promise((resolve) => server.close(resolve)));
  return (server.address() as AddressInfo).port;
}

async function clientOf(origin: string, more: { ca?: string } = {}) {
  const client = await openHttpClient({ origin, connections: 2, timeoutMs: 2_000, ca: null, bytesMax: 1_000, ...more });
  cleanups.unshift(() => client.close());
  return (path = '/') => client.request({ method: 'GET', path, headers: {}, body: null }, AbortSignal.timeout(2_000));
}

describe('TLS', async () => {
  const root = Authority.root(certificateFolder());
  const { chain, key } = root.issue('localhost');
  const named = root.issue('localhost', { kind: 'named' });
  const answer: RequestListener = (_, response) => response.end('allow');
  const secure = (issued: { chain: string; key: string }) =>
    listen(createSecureServer({ cert: readFileSync(issued.chain), key: readFileSync(issued.key) }, answer));
  const [port, namedPort] = [await secure({ chain, key }), await secure(named)];

  test('a server is asked only when the configured authority has signed it, for its name', async () => {
    const origin = `https://127.0.0.1:${port}`;
    for (const ca of [root.cert, readFileSync(root.cert, 'utf8')])
      expect(await (await clientOf(origin, { ca }))()).toMatchObject({ status: 200, text: 'allow' });
    await expect((await clientOf(origin))()).rejects.toThrow(/^the server cannot be asked: .*certificate/);
    const other = Authority.root(certificateFolder(), 'other').cert;
    await expect((await clientOf(origin, { ca: other }))()).rejects.toThrow('the server cannot be asked');
    await expect((await clientOf(`https://127.0.0.1:${namedPort}`, { ca: root.cert }))()).rejects.toThrow(
      'the server cannot be asked: Hostname/IP does not match',
    );
    await expect(clientOf(origin, { ca: '/nowhere/ca.pem' })).rejects.toThrow('the certificates of ca cannot be read');
  });
});

test('bounds body and head, and follows no redirect', async () => {
  const asked: string[] = [];
  const port = await listen(
    createServer((request, response) => {
      const { url = '' } = request;
      asked.push(url);
      if (url === '/head') response.writeHead(200, { 'x-long': 'x'.repeat(100_000) });
      if (url === '/moved') response.writeHead(302, { location: '/other' });
      response.end('x'.repeat(url === '/body' ? 1_001 : 1_000));
    }),
  );
  const get = await clientOf(`http://127.0.0.1:${port}`);
  expect((await get('/')).text).toHaveLength(1_000);
  await expect(get('/body')).rejects.toThrow('more than 1000 bytes');
  await expect(get('/head')).rejects.toThrow('the server cannot be asked');
  expect(await get('/moved')).toEqual({ status: 302, contentType: '', text: '' });
  expect(asked).toEqual(['/', '/body', '/head', '/moved']);
});

test('asks once more when the server has closed an idle connection, and no more than that', async () => {
  let connections = 0;
  let requests = 0;
  const server = createServer((request, response) => {
    requests++;
    // The second request of a connection finds it closed.
    if (request.socket.bytesRead > 150) request.socket.destroy();
    else if (request.url === '/never') request.socket.destroy();
    else response.end('ok');
  });
  server.on('connection', () => connections++);
  const get = await clientOf(`http://127.0.0.1:${await listen(server)}`);
  for (let time = 0; time < 4; time++) expect((await get()).text).toBe('ok');
  expect(connections).toBeGreaterThan(1);
  requests = 0;
  await expect(get('/never')).rejects.toThrow('the server cannot be asked');
  expect(requests).toBe(2);
});
