/** The transport of WebSocket connections: the chosen one, or another one with the reason in `status`. */

import type { TLSSocket } from 'node:tls';
import { expect, test } from 'vitest';
import { lookForTransports } from '../../../src/internals/uws/load.ts';
import { Authority, certificateFolder } from '../../kit/certificates.ts';
import { freePort } from '../../kit/free-port.ts';
import { useBroker } from '../../kit/lanes.ts';
import { openTcp, openTls, upgrade } from '../../kit/transport.ts';
import { until } from '../../kit/until.ts';

const authority = Authority.root(certificateFolder());
const { cert, key } = authority.issue('localhost');
const OPEN = { enableAuth: false, useWebsocket: true };
const TLS = { enabled: true, cert, key };
/** Why this Node has no uWebSockets.js; null: it has. */
const { uws } = lookForTransports();
const lacking = uws === true ? null : uws;
const held = useBroker(() => ({ endpoints: [OPEN] }));

interface Added {
  status: { transport: string; reason: string | null } | null;
  warnings: string[];
  port: number;
}

async function add(keys: object): Promise<Added> {
  const port = await freePort();
  const added = await held.broker.api('POST', '/api/endpoints/add', { ...OPEN, ...keys, port });
  expect(added.status).toBe(200);
  const { warnings = [] } = (added.body as { data: { warnings?: string[] } }).data;
  const { body } = await held.broker.api('GET', `/api/endpoints/status?port=${port}`);
  const [status] = (body as { data: { websocket: Added['status'] }[] }).data;
  return { status: status?.websocket ?? null, warnings, port };
}

test('auto takes uWebSockets.js for TLS, and the built-in transport without', async () => {
  expect((await add({ sslConfig: TLS })).status).toEqual({ transport: lacking === null ? 'uws' : 'builtin', reason: lacking });
  expect((await add({})).status).toEqual({ transport: 'builtin', reason: expect.stringContaining('without TLS') });
  expect((await add({ useWebsocket: false })).status).toBeNull();
});

test('builtin and uws are taken at their word: answers of uWebSockets.js name it', async () => {
  const headers = async (websocketTransport: string) => {
    const { port, warnings } = await add({ websocketTransport });
    expect(warnings).toHaveLength(lacking === null || websocketTransport !== 'uws' ? 0 : 1);
    const socket = await openTcp(port);
    const answer = await upgrade(socket);
    socket.destroy();
    return answer.headers;
  };
  expect('uwebsockets' in (await headers('uws'))).toBe(lacking === null);
  expect(await headers('builtin')).not.toHaveProperty('uwebsockets');
});

/** Connections after their TLS handshake. None, when one was refused. */
async function secured(port: number, count: number): Promise<TLSSocket[]> {
  const all = await Promise.allSettled(Array.from({ length: count }, () => openTls(port, { rejectUnauthorized: false })));
  const sockets = all.flatMap((each) => (each.status === 'fulfilled' ? [each.value] : []));
  if (sockets.length === count) return sockets;
  for (const socket of sockets) socket.destroy();
  return [];
}

test('uWebSockets.js carries many connections of one address whose handshakes run together, and gives places back', async () => {
  const { port } = await add({ sslConfig: TLS, websocketTransport: 'uws', maxConnectionSize: 100, maxConnectionPerSecond: 100_000 });
  for (const socket of await secured(port, 80)) socket.destroy();
  let sockets: TLSSocket[] = [];
  await until('those that left before their request have no place', async () => {
    sockets = await secured(port, 80);
    return sockets.length > 0;
  });
  const answers = await Promise.all(sockets.toReversed().map((socket) => upgrade(socket)));
  expect(answers.filter(({ status }) => status === 101)).toHaveLength(80);
  expect(answers.filter(({ headers }) => 'uwebsockets' in headers)).toHaveLength(lacking === null ? 80 : 0);
  for (const socket of sockets) socket.destroy();
});

test.each([
  ['clientAuth', { sslConfig: { ...TLS, ca: cert, clientAuth: 'optional' } }, 'client certificates'],
  ['cipher suites', { sslConfig: { ...TLS, cipherSuites: ['TLS_AES_128_GCM_SHA256'] } }, 'cipher suites'],
  ['TLS versions', { sslConfig: { ...TLS, protocols: ['TLSv1.3'] } }, 'TLS versions'],
  ['soLinger', { childOptions: { soLinger: 0 } }, 'soLinger'],
  ['handshakeTimeout', { sslConfig: TLS, handshakeTimeout: 5000 }, 'handshakeTimeout'],
])('uws with %s: a warning, and the built-in transport serves', async (_name, keys, reason) => {
  const { status, warnings } = await add({ ...keys, websocketTransport: 'uws' });
  expect(status).toEqual({ transport: 'builtin', reason: expect.stringContaining(reason) });
  expect(warnings).toContainEqual(
    expect.stringContaining(`websocketTransport is uws, and the built-in transport serves: ${status?.reason}`),
  );
});

test('an unknown transport is refused, with the ones that there are', async () => {
  const { status, body } = await held.broker.api('POST', '/api/endpoints/add', {
    ...OPEN,
    port: await freePort(),
    websocketTransport: 'ws',
  });
  expect(status).toBe(400);
  expect(JSON.stringify(body)).toContain('builtin');
});
