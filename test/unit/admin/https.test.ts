/** The admin API with `http.ssl`: served by HTTPS alone, with a certificate that is tried at the start. */

import { readFileSync } from 'node:fs';
import { get, request } from 'node:https';
import { afterEach, expect, test } from 'vitest';
import { type AdminServer, startAdmin } from '../../../src/admin/server.ts';
import { silentLogger } from '../../../src/kernel/logger.ts';
import type { Settings } from '../../../src/settings/settings.ts';
import { Authority, certificateFolder, type Issued } from '../../kit/certificates.ts';
import { settingsWith, standInControl } from './stand-in.ts';

const root = Authority.root(certificateFolder());
const { cert, key } = root.issue('localhost');
const open: AdminServer[] = [];
afterEach(async () => {
  for (const server of open.splice(0)) await server.close();
});

async function start(given: { crt: string; key: string | null; ca?: string }, more: Partial<Settings['http']> = {}): Promise<number> {
  const ssl = { ca: null, ...given };
  const { control } = standInControl({});
  const staticRoot = new URL('file:///nonexistent/');
  const server = await startAdmin({ settings: settingsWith({ ssl, ...more }), control, logger: silentLogger, staticRoot });
  open.push(server);
  return server.port;
}

test('HTTPS is answered, HTTP is not', async () => {
  const port = await start({ crt: cert, key });
  const options = { host: '127.0.0.1', port, path: '/api/endpoints/list', ca: readFileSync(root.cert), agent: false };
  const status = await new Promise((resolve, reject) => {
    get(options, (response) => response.resume().once('end', () => resolve(response.statusCode))).once('error', reject);
  });
  expect(status).toBe(200);
  await expect(fetch(`http://127.0.0.1:${port}/health`)).rejects.toThrow();
});

test('what cannot work does not start, and is named as in the settings', async () => {
  const other = root.issue('other');
  await expect(start({ crt: cert, key: other.key })).rejects.toMatchObject({ issues: [{ path: 'http.ssl.key' }] });
  await expect(start({ crt: '/nowhere', key })).rejects.toThrow(/Admin API: .*http\.ssl\.crt cannot be read/);
  await expect(start({ crt: cert, key: null })).rejects.toThrow(/http\.ssl\.key is needed: http\.ssl\.crt holds no private key/);
});

test('a client certificate is a login: its common name names an account; others log in otherwise', async () => {
  const ca = Authority.root(certificateFolder(), 'people');
  const strangers = Authority.root(certificateFolder(), 'strangers');
  const http = { username: 'root', password: 'correct horse', viewers: [{ username: 'eve', password: 'look' }] };
  const port = await start({ crt: cert, key, ca: ca.cert }, http);
  const ask = (client: { cert: string; key: string } | null, method = 'GET', headers: Record<string, string> = {}): Promise<number> =>
    new Promise((resolve, reject) => {
      const own = client === null ? {} : { cert: readFileSync(client.cert), key: readFileSync(client.key) };
      const path = method === 'GET' ? '/api/endpoints/list' : '/api/endpoints/validate-config';
      const options = { host: '127.0.0.1', port, path, method, headers, ca: readFileSync(root.cert), agent: false, ...own };
      request(options, (response) => response.resume().once('end', () => resolve(response.statusCode ?? 0)))
        .once('error', reject)
        .end(method === 'GET' ? undefined : '{}');
    });
  const [admin, eve, nobody] = ['root', 'eve', 'nobody'].map((name) => ca.issue(name, { kind: 'client' })) as [Issued, Issued, Issued];
  const json = { 'content-type': 'application/json' };
  expect([await ask(admin), await ask(admin, 'POST', json), await ask(eve), await ask(eve, 'POST', json)]).toEqual([200, 200, 200, 403]);
  expect([await ask(null), await ask(nobody), await ask(strangers.issue('root', { kind: 'client' }))]).toEqual([401, 401, 401]);
  expect(await ask(ca.issue('root', { kind: 'client', from: -10, to: -1 }))).toBe(401);
  // A header is what the client means.
  const basic = (text: string) => ({ authorization: `Basic ${Buffer.from(text).toString('base64')}` });
  expect([await ask(null, 'GET', basic('eve:look')), await ask(admin, 'GET', basic('eve:wrong'))]).toEqual([200, 401]);
});
