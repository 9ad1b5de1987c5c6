/** The admin API with `http.ssl`: served by HTTPS alone, with a certificate that is tried at the start. */

import { readFileSync } from 'node:fs';
import { get } from 'node:https';
import { afterEach, expect, test } from 'vitest';
import { type AdminServer, startAdmin } from '../../../src/admin/server.ts';
import { silentLogger } from '../../../src/kernel/logger.ts';
import { Authority, certificateFolder } from '../../kit/certificates.ts';
import { settingsWith, standInControl } from './stand-in.ts';

const root = Authority.root(certificateFolder());
const { cert, key } = root.issue('localhost');
const open: AdminServer[] = [];
afterEach(async () => {
  for (const server of open.splice(0)) await server.close();
});

async function start(ssl: { crt: string; key: string | null }): Promise<number> {
  const { control } = standInControl({});
  const staticRoot = new URL('file:///nonexistent/');
  const server = await startAdmin({ settings: settingsWith({ ssl }), control, logger: silentLogger, staticRoot });
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
