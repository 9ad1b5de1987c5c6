/** A process that may open few files: clients are refused before the node itself can open nothing more, and nothing ends when it cannot. */

import { afterEach, expect, test } from 'vitest';
import { connected, useBroker } from '../../kit/lanes.ts';
import { limitOpenFiles, openFiles } from '../../kit/open-files.ts';
import type { RawClient } from '../../kit/raw-client.ts';
import { sleep, uid, until } from '../../kit/until.ts';

const base = { enableAuth: false, maxConnectionPerSecond: 100_000, maxConnectionSize: 10_000, maxSessionSize: 10_000 };
/** The node reads its limit each second. */
const LIMIT_READ_MS = 1500;
/** With a limit of less than 192, the node keeps this many descriptors for itself. */
const RESERVED = 24;
/** Ceiling of the limit outside the tests. */
const ENOUGH = 4096;
const held = useBroker(() => ({
  endpoints: [
    { ...base, id: 'one' },
    { ...base, serverOptions: { workerGroupSize: 3 } },
    { ...base, useWebsocket: true },
  ],
}));
const clients: RawClient[] = [];
afterEach(() => {
  limitOpenFiles(held.broker.pid, ENOUGH);
  for (const client of clients.splice(0)) client.destroy();
});

/** Opens `count` clients, one after the other. @returns how many got in */
async function open(transport: 'tcp' | 'ws', port: number, count: number): Promise<number> {
  let inside = 0;
  for (let n = 0; n < count; n++) {
    const client = await connected(transport, port, 5, { clientId: uid('c') }).catch(() => null);
    if (client === null) continue;
    clients.push(client);
    inside++;
  }
  return inside;
}

test.each([
  ['tcp', 0],
  ['tcp', 1],
  ['ws', 2],
] as const)(
  'few file descriptors, %s, endpoint %i: the last ones are for the node, and the clients inside stay',
  async (transport, index) => {
    const { broker } = held;
    const port = broker.ports[index]!;
    await broker.api('GET', '/health');
    const limit = openFiles(broker.pid) + RESERVED + 20;
    limitOpenFiles(broker.pid, limit);
    await sleep(LIMIT_READ_MS);
    const inside = await open(transport, port, 35);
    expect(inside).toBeGreaterThan(5);
    expect(inside).toBeLessThanOrEqual(25);
    expect(openFiles(broker.pid)).toBeLessThan(limit - RESERVED / 2);
    for (const client of clients) await client.ping();
    expect((await broker.api('GET', '/health')).status).toBe(200);
    const change = { id: 'one', maxConnectionSize: 9000 + index };
    expect((await broker.api('POST', '/api/endpoints/update', change)).status).toBe(200);
    const metrics = String((await broker.api('GET', '/public/metrics')).body);
    const counted = new RegExp(`fluxmq_endpoint_connection_errors_total\\{[^}]*port="${port}"[^}]*connection_limit[^}]*\\} [1-9]`);
    expect(metrics).toMatch(counted);
    await until('the log line', async () =>
      (await broker.log()).includes(`Endpoint ${port}: Connection limit reached: the process may open no more files (ulimit -n)`),
    );
    for (const client of clients.splice(0)) client.destroy();
    await until('room again', async () => (await open(transport, port, 1)) === 1);
  },
);

test('a process that can open nothing at all for seconds lives, and serves again', async () => {
  const { broker } = held;
  const port = broker.ports[1]!;
  await open('tcp', port, 3);
  limitOpenFiles(broker.pid, 20);
  const strangers = Array.from({ length: 40 }, () => connected('tcp', port, 5, { clientId: uid('s') }).catch(() => null));
  const requests = Array.from({ length: 10 }, () => broker.api('GET', '/health').catch(() => null));
  await sleep(3000);
  for (const client of clients) await client.ping();
  limitOpenFiles(broker.pid, ENOUGH);
  for (const client of await Promise.all(strangers)) client?.destroy();
  await Promise.all(requests);
  await sleep(LIMIT_READ_MS);
  await until('a client', async () => (await open('tcp', port, 1)) === 1);
  expect((await broker.api('GET', '/health')).status).toBe(200);
  const { body } = await broker.api('GET', '/api/system/health');
  expect((body as { data: { workerRestarts: number } }).data.workerRestarts).toBe(0);
});
