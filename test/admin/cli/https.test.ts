/** `fluxmq` over https: certificates that are trusted, and those that are not. */

import { readFileSync } from 'node:fs';
import { createServer, type Server } from 'node:https';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { Authority, certificateFolder, type Issued } from '../../kit/certificates.ts';
import { useBroker } from '../../kit/lanes.ts';
import { fluxmq, printed } from './command.ts';

const held = useBroker(() => ({ endpoints: [{ id: 'first', enableAuth: false }] }));
const fronts: Server[] = [];
let cacert: string;
let issued: Issued;

/** Something in front of the broker that speaks https, under a path of its own. */
async function openFront(host: string): Promise<string> {
  const front = createServer({ key: readFileSync(issued.key), cert: readFileSync(issued.cert) }, (incoming, outgoing) => {
    const path = incoming.url?.replace(/^\/broker/, '') ?? '';
    held.broker.api('GET', path).then(({ status, body }) => outgoing.writeHead(status).end(JSON.stringify(body)));
  });
  fronts.push(front);
  await new Promise<void>((resolve) => front.listen({ port: 0, host }, resolve));
  return `https://${host}:${(front.address() as AddressInfo).port}/broker/`;
}

/** Its certificate names localhost and 127.0.0.1. */
let url: string;

beforeAll(async () => {
  const authority = Authority.root(certificateFolder());
  cacert = authority.cert;
  issued = authority.issue('front');
  url = await openFront('127.0.0.1');
});

afterAll(() => {
  for (const front of fronts) front.close();
});

test('a certificate that nobody vouches for is refused, and trusted by --cacert or FLUXMQ_API_CACERT', async () => {
  const refused = await fluxmq(['endpoint', 'list', '--api', url], { ownProcess: true });
  expect(refused).toMatchObject({ code: 3, stdout: '' });
  expect(refused.stderr).toContain('--cacert FILE names the certificates to trust');
  expect(printed(await fluxmq(['endpoint', 'list', '-q', '--api', url, '--cacert', cacert]))).toBe('first\n');
  expect(printed(await fluxmq(['endpoint', 'list', '-q'], { env: { FLUXMQ_API: url, FLUXMQ_API_CACERT: cacert } }))).toBe('first\n');
});

test('another name than the one in the certificate is refused', async () => {
  const other = await fluxmq(['endpoint', 'list', '--api', await openFront('127.0.0.2'), '--cacert', cacert]);
  expect(other).toMatchObject({ code: 3, stderr: expect.stringContaining('127.0.0.2') });
});

test('https where http is spoken, and a file that is no certificate', async () => {
  expect(await fluxmq(['endpoint', 'list', '--api', held.broker.admin.replace('http:', 'https:')])).toMatchObject({
    code: 3,
    stderr: expect.stringContaining('the port does not speak https'),
  });
  expect((await fluxmq(['endpoint', 'list', '--api', held.broker.admin, '--cacert', cacert])).code).toBe(2);
  expect(await fluxmq(['endpoint', 'list', '--api', url, '--cacert', `${cacert}.none`])).toMatchObject({ code: 2 });
  expect(await fluxmq(['endpoint', 'list', '--api', url, '--cacert', issued.key])).toMatchObject({ code: 2, stdout: '' });
});
