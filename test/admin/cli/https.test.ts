/** `fluxmq` over https: certificates that are trusted, and those that are not. */

import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer, type Server } from 'node:https';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { useBroker } from '../../kit/lanes.ts';
import { fluxmq, printed } from './command.ts';

const held = useBroker(() => ({ endpoints: [{ id: 'first', enableAuth: false }] }));
let folder: string;
let front: Server;
let url: string;

/** Something in front of the broker that speaks https, under a path of its own. */
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'fluxmq-https-'));
  const request = ['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2', '-subj', '/CN=front'];
  const files = ['-addext', 'subjectAltName=IP:127.0.0.1', '-keyout', join(folder, 'key.pem'), '-out', join(folder, 'cert.pem')];
  execFileSync('openssl', [...request, ...files], { stdio: 'ignore', timeout: 10_000 });
  const identity = { key: readFileSync(join(folder, 'key.pem')), cert: readFileSync(join(folder, 'cert.pem')) };
  front = createServer(identity, (incoming, outgoing) => {
    const path = incoming.url?.replace(/^\/broker/, '') ?? '';
    held.broker.api('GET', path).then(({ status, body }) => outgoing.writeHead(status).end(JSON.stringify(body)));
  });
  await new Promise<void>((resolve) => front.listen({ port: 0, host: '127.0.0.1' }, resolve));
  url = `https://127.0.0.1:${(front.address() as AddressInfo).port}/broker/`;
});

afterAll(() => {
  front.close();
  rmSync(folder, { recursive: true });
});

test('a certificate that nobody vouches for is refused, and trusted by --cacert or FLUXMQ_API_CACERT', async () => {
  const refused = await fluxmq(['endpoint', 'list', '--api', url]);
  expect(refused).toMatchObject({ code: 3, stdout: '' });
  expect(refused.stderr).toContain('--cacert FILE names the certificates to trust');
  const cacert = join(folder, 'cert.pem');
  expect(printed(await fluxmq(['endpoint', 'list', '-q', '--api', url, '--cacert', cacert]))).toBe('first\n');
  expect(printed(await fluxmq(['endpoint', 'list', '-q'], { env: { FLUXMQ_API: url, FLUXMQ_API_CACERT: cacert } }))).toBe('first\n');
});

test('another name than the one in the certificate is refused', async () => {
  const other = await fluxmq(['endpoint', 'list', '--api', url.replace('127.0.0.1', 'localhost'), '--cacert', join(folder, 'cert.pem')]);
  expect(other).toMatchObject({ code: 3, stderr: expect.stringContaining('localhost') });
});

test('https where http is spoken, and a file that is no certificate', async () => {
  expect(await fluxmq(['endpoint', 'list', '--api', held.broker.admin.replace('http:', 'https:')])).toMatchObject({
    code: 3,
    stderr: expect.stringContaining('it does not speak https there'),
  });
  expect((await fluxmq(['endpoint', 'list', '--api', held.broker.admin, '--cacert', join(folder, 'cert.pem')])).code).toBe(2);
  expect(await fluxmq(['endpoint', 'list', '--api', url, '--cacert', join(folder, 'none.pem')])).toMatchObject({ code: 2 });
  expect(await fluxmq(['endpoint', 'list', '--api', url, '--cacert', join(folder, 'key.pem')])).toMatchObject({ code: 2, stdout: '' });
});
