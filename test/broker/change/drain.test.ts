/** Clients of an endpoint that is removed, disabled or rebound: told why and where to go, over the time asked for; and that this can be called off. */

import { rmSync } from 'node:fs';
import { afterAll, expect, test } from 'vitest';
import { startBroker } from '../../kit/broker.ts';
import { Authority, certificateFolder } from '../../kit/certificates.ts';
import type { PacketOf } from '../../kit/decode.ts';
import { freePort } from '../../kit/free-port.ts';
import { connected, useBroker } from '../../kit/lanes.ts';
import { RawClient } from '../../kit/raw-client.ts';
import { openSecure } from '../../kit/transport.ts';
import { uid, until } from '../../kit/until.ts';

const WIDE = { enableAuth: false, maxConnectionSize: 10_000, maxConnectionPerSecond: 100_000, maxSessionSize: 10_000 };
const folder = certificateFolder();
afterAll(() => rmSync(folder, { recursive: true }));
const serverTls = () => {
  const { chain, key } = Authority.root(folder).issue('server');
  return { cert: chain, key };
};
const held = useBroker(() => ({ endpoints: [WIDE] }));

interface Status {
  state: string;
  connections: number;
  draining: { total: number; left: number; until: string } | null;
}

async function add(extra: Record<string, unknown> = {}): Promise<number> {
  const port = await freePort();
  const { status, body } = await held.broker.api('POST', '/api/endpoints/add', { ...WIDE, port, host: '127.0.0.1', ...extra });
  expect(status, JSON.stringify(body)).toBe(200);
  return port;
}

async function change(action: string, body: Record<string, unknown>): Promise<void> {
  const answer = await held.broker.api('POST', `/api/endpoints/${action}`, body);
  expect(answer.status, JSON.stringify(answer.body)).toBe(200);
}

async function statusOf(port: number): Promise<Status | undefined> {
  const { body } = await held.broker.api('GET', `/api/endpoints/status?port=${port}`);
  return (body as { data: Status[] | null }).data?.[0];
}

async function goodbye(client: RawClient): Promise<PacketOf<'disconnect'>> {
  const last = (await client.closed(10_000)).at(-1);
  if (last?.type !== 'disconnect') throw new Error(`DISCONNECT expected, got ${JSON.stringify(last)}`);
  return last;
}

test.each(['remove', 'disable', 'rebind'])(
  '%s with redirect: 0x9C and the Server Reference for MQTT 5, an end for the others',
  async (how) => {
    const port = await add({ serverOptions: { workerGroupSize: 2 } });
    const five = [await connected('tcp', port, 5), await connected('tcp', port, 5)];
    const four = await connected('tcp', port, 4);
    const options = { port, redirect: 'mqtt.example:8883' };
    if (how === 'rebind') await change('update', { ...options, newPort: await freePort() });
    else await change(how, options);
    for (const client of five) {
      const { code, properties } = await goodbye(client);
      expect([code, properties.serverReference]).toEqual([0x9c, 'mqtt.example:8883']);
    }
    expect(await four.closed()).toEqual([]);
  },
);

test.each([
  ['drainMs', { drainMs: 1500 }, 1500],
  ['drainRate', { drainRate: 20 }, 1500],
] as const)('%s spreads the end of 30 clients over two workers, and status tells how far it is', async (_name, options, lasts) => {
  const port = await add({ serverOptions: { workerGroupSize: 2 } });
  const clients = await Promise.all(Array.from({ length: 30 }, () => connected('tcp', port, 5)));
  const ends: number[] = [];
  const startedAt = Date.now();
  for (const client of clients) client.transport.onClose(() => ends.push(Date.now() - startedAt));
  await change('remove', { port, ...options });
  const status = await statusOf(port);
  expect(status).toMatchObject({ state: 'draining', draining: { total: 30 } });
  expect(Math.abs(Date.parse(status!.draining!.until) - startedAt - lasts)).toBeLessThan(1000);
  expect(status!.draining!.left).toBeGreaterThan(15);
  await until('half of them are gone', async () => ((await statusOf(port))?.draining?.left ?? 0) <= 15, 10_000, 10);
  await until('all are gone', () => ends.length === 30, 10_000);
  expect((await Promise.all(clients.map(goodbye))).every(({ code }) => code === 0x98)).toBe(true);
  // Evenly: at no time were many more gone than their share.
  ends.sort((a, b) => a - b);
  expect(ends.at(-1)).toBeGreaterThanOrEqual(lasts - 100);
  const early = ends.filter((at, index) => at < ((index + 1) / 30) * lasts - 250);
  expect(early).toEqual([]);
  await until('nothing of it is left', async () => (await statusOf(port)) === undefined);
});

test('disabled and enabled again: who is left stays, and new clients come', async () => {
  const port = await add();
  const clients = await Promise.all(Array.from({ length: 10 }, () => connected('tcp', port, 5)));
  await change('disable', { port, drainMs: 60_000 });
  expect((await statusOf(port))!.draining).toMatchObject({ total: 10 });
  await change('enable', { port });
  expect(await statusOf(port)).toMatchObject({ state: 'running', draining: null });
  const left = clients.filter((client) => !client.isClosed);
  expect(left.length).toBeGreaterThan(5);
  for (const client of left) await client.ping();
  await (await connected('tcp', port, 5)).ping();
  // A cancelled drain can be requested again.
  await change('disable', { port });
  for (const client of left) expect((await goodbye(client)).code).toBe(0x98);
});

test('removed and added again: who is left stays', async () => {
  const port = await add({ id: 'comes-back' });
  const client = await connected('tcp', port, 5);
  await change('remove', { port, drainMs: 60_000 });
  await change('add', { ...WIDE, port, host: '127.0.0.1', id: 'comes-back' });
  expect(await statusOf(port)).toMatchObject({ state: 'running', connections: 1, draining: null });
  await client.ping();
});

test.each([
  ['a live key', { maxConnectionSize: 77 }],
  ['nothing', {}],
])('a drain that is asked for with a change of %s disconnects nobody, and the answer says so, as the plan does', async (_name, body) => {
  const port = await add();
  const client = await connected('tcp', port, 5);
  for (const [action, extra] of [
    ['plan', { action: 'update' }],
    ['update', {}],
  ] as const) {
    const answer = await held.broker.api('POST', `/api/endpoints/${action}`, { port, ...body, ...extra, drainMs: 10 });
    expect(answer.status).toBe(200);
    expect((answer.body as { data: { warnings: string[] } }).data.warnings.join()).toContain('have no effect here');
  }
  const moved = await held.broker.api('POST', '/api/endpoints/plan', { action: 'update', port, newPort: await freePort(), drainMs: 10 });
  expect(moved.body).toMatchObject({ data: { warnings: [], clientsAffected: 1 } });
  await client.ping();
});

test('a rebind is drained while the new listener accepts; enable calls that off', async () => {
  const port = await add();
  const clients = await Promise.all(Array.from({ length: 10 }, () => connected('tcp', port, 5)));
  const moved = await freePort();
  await change('update', { port, newPort: moved, drainMs: 60_000 });
  await (await connected('tcp', moved, 5)).ping();
  expect(await statusOf(moved)).toMatchObject({ state: 'running', draining: { total: 10 } });
  await change('enable', { port: moved });
  expect((await statusOf(moved))!.draining).toBeNull();
  for (const client of clients.filter((each) => !each.isClosed)) await client.ping();
});

test.each([
  ['a new port', async () => ({ newPort: await freePort() })],
  ['another pool', async () => ({ exclusivePool: false })],
  ['another namespace on the same socket', async () => ({ namespace: uid('n') })],
  ['fewer workers', async () => ({ serverOptions: { workerGroupSize: 1 } })],
  ['disabled', async () => ({ enabled: false })],
] as const)('%s, with a drain: who stayed through earlier changes goes too', async (_name, body) => {
  const first = await add({ serverOptions: { workerGroupSize: 2 } });
  const port = await freePort();
  const clients = [await connected('tcp', first, 5), await connected('tcp', first, 5)];
  await change('update', { port: first, newPort: port });
  clients.push(await connected('tcp', port, 5));
  await change('update', { port, namespace: uid('n') });
  for (const client of clients) await client.ping();
  const patch = { port, ...(await body()), drainMs: 500 };
  const planned = await held.broker.api('POST', '/api/endpoints/plan', { action: 'update', ...patch });
  expect(planned.body).toMatchObject({ data: { clientsAffected: 3 } });
  await change('update', patch);
  for (const client of clients) expect((await goodbye(client)).code).toBe(0x98);
});

test('a newer drain takes the place of the one under way, and a change without one leaves that as it is', async () => {
  const first = await add();
  const [second, third, fourth] = [await freePort(), await freePort(), await freePort()];
  const clients = await Promise.all(Array.from({ length: 20 }, () => connected('tcp', first, 5)));
  await change('update', { port: first, newPort: second, drainMs: 600_000 });
  const { until: slow } = (await statusOf(second))!.draining!;
  clients.push(await connected('tcp', second, 5));
  await change('update', { port: second, newPort: third });
  expect((await statusOf(third))!.draining).toMatchObject({ total: 20, until: slow });
  const startedAt = Date.now();
  await change('update', { port: third, newPort: fourth, drainMs: 1500 });
  const answeredAt = Date.now();
  const { total, until: end } = (await statusOf(fourth))!.draining!;
  expect(total).toBe(clients.length);
  // It begins at some time during the change.
  expect(Date.parse(end)).toBeGreaterThanOrEqual(startedAt + 1500);
  expect(Date.parse(end)).toBeLessThanOrEqual(answeredAt + 1500);
  for (const client of clients) expect((await goodbye(client)).code).toBe(0x98);
  expect(Date.now() - startedAt).toBeGreaterThanOrEqual(1400);
  await until('the drain is over', async () => (await statusOf(fourth))!.draining === null);
});

test('disabled with a drain, then removed with a shorter one: the shorter one counts', async () => {
  const port = await add();
  const clients = await Promise.all(Array.from({ length: 4 }, () => connected('tcp', port, 5)));
  await change('disable', { port, drainMs: 60_000 });
  await change('remove', { port, drainMs: 300 });
  for (const client of clients) expect((await goodbye(client)).code).toBe(0x98);
  await until('nothing of it is left', async () => (await statusOf(port)) === undefined);
});

test('another namespace on the same socket: with drainMs the clients of the old one go, those of the new one stay', async () => {
  const port = await add({ id: uid('ns') });
  const old = await Promise.all(Array.from({ length: 4 }, () => connected('tcp', port, 5)));
  await change('update', { port, namespace: uid('n'), drainMs: 600 });
  const fresh = await connected('tcp', port, 5);
  expect((await statusOf(port))!.draining).toMatchObject({ total: 4 });
  for (const client of old) expect((await goodbye(client)).code).toBe(0x98);
  await until('the drain is over', async () => (await statusOf(port))!.draining === null);
  await fresh.ping();
});

test.each([
  ['TCP to WebSocket', () => ({ useWebsocket: true }), 'ws'],
  ['TLS on', () => ({ sslConfig: serverTls() }), 'tls'],
  ['the backlog', () => ({ serverOptions: { soBacklog: 64 } }), 'tcp'],
] as const)(
  '%s, on the existing socket: earlier clients are drained, clients that come during the drain stay',
  async (_name, body, transport) => {
    const port = await add({ maxConnectionSize: 100 });
    const clients = await Promise.all(Array.from({ length: 4 }, () => connected('tcp', port, 5)));
    await change('update', { port, ...body(), drainMs: 1000, redirect: 'elsewhere:1' });
    expect(await statusOf(port)).toMatchObject({ state: 'running', draining: { total: 4 } });
    const newcomer =
      transport === 'tls'
        ? RawClient.over(await openSecure('tcp', port, { rejectUnauthorized: false }), 5)
        : await RawClient.open(transport, port, 5);
    await newcomer.handshake({ clientId: uid('c') });
    for (const client of clients) expect((await goodbye(client)).properties.serverReference).toBe('elsewhere:1');
    await until('the drain is over', async () => (await statusOf(port))!.draining === null);
    await newcomer.ping();
  },
);

test('sessions stay, and are resumed over another endpoint of the namespace', async () => {
  const port = await add();
  const [other] = held.broker.ports;
  const clientId = uid('s');
  const topic = uid('t/');
  const client = await connected('tcp', port, 5, { clientId, clean: false, properties: { sessionExpiry: 300 } });
  await client.subscribe(topic, 1);
  await change('remove', { port, redirect: `127.0.0.1:${other}` });
  expect((await goodbye(client)).code).toBe(0x9c);
  await (await connected('tcp', other!, 5)).publish(topic, 'while away', { qos: 1 });
  const back = await connected('tcp', other!, 5, { clientId, clean: false, properties: { sessionExpiry: 300 } });
  expect(back.connack!.sessionPresent).toBe(true);
  expect((await back.take()).payload.toString()).toBe('while away');
});

test('killed during a drain: what was removed does not come back, what was disabled stays disabled', async () => {
  let broker = await startBroker({ endpoints: [WIDE, WIDE, WIDE] });
  const [gone, off] = broker.ports as [number, number];
  const clients = [await connected('tcp', gone, 5), await connected('tcp', off, 5)];
  for (const [action, port] of [
    ['remove', gone],
    ['disable', off],
  ] as const) {
    expect((await broker.api('POST', `/api/endpoints/${action}`, { port, drainMs: 60_000 })).status).toBe(200);
  }
  await broker.kill('SIGKILL');
  for (const client of clients) await client.closed();
  broker = await startBroker({ dir: broker.dir });
  try {
    const { body } = await broker.api('GET', '/api/endpoints/status');
    const states = (body as { data: { port: number; state: string; draining: null }[] }).data.map(({ port, state, draining }) => [
      port,
      state,
      draining,
    ]);
    expect(states.sort()).toEqual(
      [
        [off, 'stopped', null],
        [broker.ports[2], 'running', null],
      ].sort(),
    );
  } finally {
    await broker.stop();
  }
});

test('a node that stops does not wait for a drain', async () => {
  const broker = await startBroker({ endpoints: [WIDE, WIDE] });
  const client = await connected('tcp', broker.ports[0]!, 5);
  await broker.api('POST', '/api/endpoints/remove', { port: broker.ports[0], drainMs: 3_000_000 });
  const startedAt = Date.now();
  expect(await broker.stop()).toBe(0);
  expect(Date.now() - startedAt).toBeLessThan(5000);
  expect((await goodbye(client)).code).toBe(0x8b);
});
