/** Bans in the broker: who is refused, who is disconnected, on which thread, transport and address, until when. */

import { mkdtempSync, readFileSync } from 'node:fs';
import { connect as connectTcp } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { startBroker } from '../../kit/broker.ts';
import { Authority, certificateFolder } from '../../kit/certificates.ts';
import { clockEnv, setClock } from '../../kit/clock-file.ts';
import type { Version } from '../../kit/encode.ts';
import { connected, useBroker } from '../../kit/lanes.ts';
import { RawClient } from '../../kit/raw-client.ts';
import { uid, until } from '../../kit/until.ts';

const BANNED = 0x8a;
const HOUR = 3_600_000;
const clock = join(mkdtempSync(join(tmpdir(), 'fluxmq-bans-')), 'clock');
const held = useBroker(() => {
  const issued = Authority.root(certificateFolder()).issue('server');
  const sslConfig = { cert: readFileSync(issued.cert, 'utf8'), key: readFileSync(issued.key, 'utf8') };
  return {
    env: clockEnv(clock),
    config: { flapping: { connects: 8, seconds: 60, banSeconds: 3_600 } },
    endpoints: [
      { enableAuth: false, host: '::', serverOptions: { workerGroupSize: 2 } },
      { enableAuth: false, host: '0.0.0.0', useWebsocket: true, namespace: 'other' },
      { enableAuth: false, host: '0.0.0.0', sslConfig },
      { authConfig: { users: [{ username: 'ann', password: 'pw' }] }, namespace: 'guarded' },
    ],
  };
});

async function bans(method: string, path: string, body?: unknown) {
  const answer = await held.broker.api(method, `/api/bans${path}`, body);
  return { status: answer.status, data: (answer.body as { data: Record<string, unknown> }).data };
}

async function code(clientId: string, { port = 0, version = 5 as Version, host = '127.0.0.1', username = '' } = {}) {
  const client = await RawClient.open(port === 1 ? 'ws' : 'tcp', held.broker.ports[port]!, version, host);
  try {
    return (await client.handshake({ clientId, ...(username === '' ? {} : { username, password: 'x' }) })).code;
  } finally {
    client.destroy();
  }
}

async function refused(port: number): Promise<number> {
  const { body } = await held.broker.api('GET', `/api/endpoints/metrics?port=${held.broker.ports[port]}&format=prometheus`);
  return Number(/connection_errors_total\{[^}]*error_code="banned"\} (\d+)/.exec(String(body))?.[1]);
}

test('a banned client is disconnected on whichever thread it is, and refused in every version', async () => {
  const before = await refused(0);
  const clients = await Promise.all(
    Array.from({ length: 8 }, (_, index) =>
      connected('tcp', held.broker.ports[0]!, index % 2 === 0 ? 5 : 4, { clientId: `bot-${index}`, username: 'eve' }),
    ),
  );
  const stays = await connected('tcp', held.broker.ports[0]!, 5, { clientId: 'stays' });
  const { status, data } = await bans('POST', '', { bans: [{ clientId: 'bot-0' }, { clientIdPattern: 'b?t-1' }] });
  expect([status, data['nodes']]).toMatchObject([200, [{ state: 'applied' }]]);
  // Only CONNACK has 0x8A in the standard.
  expect((await clients[0]!.closed()).map((packet) => (packet as { code: number }).code)).toEqual([0x98]);
  await bans('POST', '', { username: 'eve', reason: 'bot net' });
  for (const [index, client] of clients.entries()) if (index > 0) expect((await client.closed()).length).toBe(index % 2 === 0 ? 1 : 0);
  await stays.ping();
  expect([await code('bot-0'), await code('bot-0', { version: 4 }), await code('bot-0', { version: 3 })]).toEqual([BANNED, 5, 5]);
  expect([await code('new', { username: 'eve' }), await code('new', { username: 'ann' })]).toEqual([BANNED, 0]);
  expect((await refused(0)) - before).toBe(12);
  const causes = [/ban of username eve/, /ban of clientId bot-0/, /ban of clientIdPattern b\?t-1/];
  await until('the log names the causes', async () => {
    const log = await held.broker.log();
    return causes.every((cause) => cause.test(log));
  });
  await bans('DELETE', '?username=eve');
  expect((await bans('DELETE', '?username=eve')).status).toBe(404);
  expect(await code('new', { username: 'eve' })).toBe(0);
});

test('namespaces and patterns, over WebSocket too', async () => {
  await bans('POST', '', {
    bans: [
      { clientIdPattern: 'wsp-*', namespace: 'other' },
      { clientId: 'wsp', namespace: 'default' },
    ],
  });
  expect([await code('wsp-1'), await code('wsp-1', { port: 1 }), await code('wsp'), await code('wsp', { port: 1 })]).toEqual([
    0,
    BANNED,
    BANNED,
    0,
  ]);
});

test('addresses: IPv4, also inside IPv6, networks, IPv6, WebSocket; TLS is closed before its handshake', async () => {
  await bans('POST', '', { bans: [{ address: '127.0.0.66' }, { address: '127.9.0.0/16' }, { address: '::1' }] });
  const asked = [{ host: '127.0.0.66' }, { host: '127.0.0.67' }, { host: '127.9.8.7' }, { host: '127.10.0.1' }, { host: '::1' }];
  const codes = [];
  for (const at of asked) codes.push(await code(uid('c'), at));
  expect(codes).toEqual([BANNED, 0, BANNED, 0, BANNED]);
  expect(await code(uid('c'), { host: '127.0.0.66', version: 4 })).toBe(5);
  expect(await code(uid('c'), { host: '127.0.0.66', port: 1 })).toBe(BANNED);
  const before = await refused(2);
  const socket = connectTcp({ port: held.broker.ports[2]!, host: '127.0.0.66', localAddress: '127.0.0.66' });
  await new Promise((resolve) => socket.on('close', resolve).on('error', () => undefined));
  expect([socket.bytesWritten, (await refused(2)) - before]).toEqual([0, 1]);
  const others = await connected('tcp', held.broker.ports[0]!, 5);
  await bans('POST', '', { address: '::ffff:127.0.0.0/120' });
  await others.closed();
  // The health check, which comes from 127.0.0.1, learns that the endpoint works.
  for (const port of [0, 2])
    expect((await held.broker.api('GET', `/api/endpoints/health?port=${held.broker.ports[port]}`)).status).toBe(200);
  await bans('DELETE', '?address=127.0.0.0%2F24');
  expect(await code(uid('c'))).toBe(0);
});

test('a ban ends by the clock, vanishes, and may be renewed', async () => {
  const end = new Date(Date.now() + HOUR).toISOString();
  await bans('POST', '', { clientId: 'late', until: end, reason: 'an hour' });
  const { data } = await bans('GET', '?search=late');
  expect(data['bans']).toMatchObject([{ clientId: 'late', namespace: null, until: end, reason: 'an hour', author: 'local' }]);
  expect(await code('late')).toBe(BANNED);
  setClock(clock, String(2 * HOUR));
  await until('the end', async () => (await code('late')) === 0);
  expect((await bans('GET', '?search=late')).data['bans']).toEqual([]);
  expect((await bans('DELETE', '?clientId=late')).status).toBe(404);
  const isGone = async () => /the bans have ended/.test(readFileSync(join(held.broker.dir, 'data/documents.db-wal'), 'latin1'));
  await until('its document is removed', isGone, 30_000, 200);
  setClock(clock, '0');
  expect(await code('late')).toBe(0);
  await bans('POST', '', { clientId: 'late', until: Date.now() + HOUR });
  expect(await code('late')).toBe(BANNED);
});

test('bad requests change nothing, and name every problem', async () => {
  const before = (await bans('GET', '')).data;
  const bad: [unknown, number][] = [
    [{}, 400],
    [{ clientId: 'a', username: 'b' }, 400],
    [{ address: '10.0.0.0/33' }, 400],
    [{ clientId: 'a', until: '2001-01-01' }, 400],
    [{ clientId: 'a', reasn: 'x' }, 400],
    [{ bans: [] }, 400],
    [{ bans: [{ clientId: 'good' }, { clientId: '' }] }, 400],
    [{ bans: [{ clientId: 'a' }, { clientId: 'a' }] }, 400],
    [{ bans: Array.from({ length: 301 }, (_, index) => ({ clientIdPattern: `p${index}*` })) }, 413],
  ];
  for (const [body, status] of bad) expect([body, (await bans('POST', '', body)).status]).toEqual([body, status]);
  expect((await bans('GET', '')).data).toMatchObject({ bans: before['bans'], total: before['total'] });
});

test('a client that connects too often is banned, over all threads; one whose login is wrong is not', async () => {
  const codes = [];
  for (let connect = 0; connect < 9; connect++) codes.push(await code('flap'));
  expect(codes).toEqual([...Array<number>(8).fill(0), BANNED]);
  const listed = await until('the ban is in the store', async () => ((await bans('GET', '?search=flap')).data['bans'] as unknown[])[0]);
  expect(listed).toMatchObject({
    clientId: 'flap',
    namespace: 'default',
    author: 'flapping',
    reason: 'flapping: more than 8 connects in 60 s',
  });
  expect([await code('flap'), await code('flap', { port: 1 })]).toEqual([BANNED, 0]);
  const login = async (password: string) => {
    const client = await RawClient.open('tcp', held.broker.ports[3]!, 5);
    const { code: answer } = await client.handshake({ clientId: 'victim', username: 'ann', password });
    client.destroy();
    return answer;
  };
  expect(await Promise.all(Array.from({ length: 12 }, () => login('guess')))).toEqual(Array(12).fill(0x86));
  expect(await login('pw')).toBe(0);
});

test('ten thousand in one change, pages, a new thread, kill -9', async () => {
  const many = Array.from({ length: 10_000 }, (_, index) => ({ clientId: `many-${index}` }));
  expect((await bans('POST', '', { bans: many })).status).toBe(200);
  const page = (await bans('GET', '?search=many-99&by=clientId&limit=100')).data as { bans: unknown[]; next: string | null };
  expect([page.bans.length, page.next === null]).toEqual([100, false]);
  const rest = (await bans('GET', `?search=many-99&by=clientId&limit=100&after=${page.next}`)).data as {
    bans: unknown[];
    next: string | null;
  };
  expect([rest.bans.length, rest.next]).toEqual([11, null]);
  const id = 'mqtt-late';
  const port = Number(held.broker.ports[2]) + 1;
  const added = await held.broker.api('POST', '/api/endpoints/add', { id, port, host: '127.0.0.1', enableAuth: false });
  expect(added.status).toBe(200);
  const client = await RawClient.open('tcp', port, 5);
  expect((await client.handshake({ clientId: 'many-1' })).code).toBe(BANNED);
  await held.broker.kill('SIGKILL');
  held.broker = await startBroker({ dir: held.broker.dir, env: clockEnv(clock) });
  expect([await code('many-9999'), await code('bot-0'), await code('many-x')]).toEqual([BANNED, BANNED, 0]);
}, 60_000);
