/** A process that may open few files: clients are refused before the node itself can open nothing more, and nothing ends when it cannot. */

import { afterEach, describe, expect, test } from 'vitest';
import { type Broker, startBroker } from '../../kit/broker.ts';
import { connected } from '../../kit/lanes.ts';
import { limitOpenFiles, openFiles } from '../../kit/open-files.ts';
import type { RawClient } from '../../kit/raw-client.ts';
import { sleep, uid, until } from '../../kit/until.ts';

const base = { enableAuth: false, maxConnectionPerSecond: 100_000, maxConnectionSize: 10_000, maxSessionSize: 10_000 };
/** The node reads its limit each second. */
const LIMIT_READ_MS = 1500;
/** With a limit of less than 192, the node keeps this many descriptors for itself. */
const RESERVED = 24;
let broker: Broker;
const clients: RawClient[] = [];
afterEach(async () => {
  for (const client of clients.splice(0)) client.destroy();
  await broker.stop();
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

describe.each([
  ['tcp', base],
  ['tcp', { ...base, serverOptions: { workerGroupSize: 3 } }],
  ['ws', { ...base, useWebsocket: true }],
] as const)('few file descriptors, %s, %o', (transport, endpoint) => {
  test('the last ones are for the node: it answers, changes and counts, and the clients inside stay', async () => {
    broker = await startBroker({ endpoints: [{ ...endpoint, id: 'main' }] });
    const port = broker.ports[0]!;
    await broker.api('GET', '/health');
    const limit = openFiles(broker.pid) + RESERVED + 20;
    limitOpenFiles(broker.pid, limit);
    await sleep(LIMIT_READ_MS);
    const inside = await open(transport, port, 60);
    expect(inside).toBeGreaterThan(5);
    expect(inside).toBeLessThanOrEqual(25);
    expect(openFiles(broker.pid)).toBeLessThan(limit - RESERVED / 2);
    for (const client of clients) await client.ping();
    expect((await broker.api('GET', '/health')).status).toBe(200);
    expect((await broker.api('POST', '/api/endpoints/update', { id: 'main', maxConnectionSize: 9000 })).status).toBe(200);
    const metrics = String((await broker.api('GET', '/public/metrics')).body);
    expect(metrics).toMatch(/fluxmq_endpoint_connection_errors_total\{[^}]*connection_limit[^}]*\} [1-9]/);
    await until('the log line', async () => (await broker.log()).includes('the process may open no more files (ulimit -n)'));
    for (const client of clients.splice(0)) client.destroy();
    await until('room again', async () => (await open(transport, port, 1)) === 1);
  });
});

test('a process that can open nothing at all for seconds lives, and serves again', async () => {
  broker = await startBroker({ endpoints: [{ ...base, id: 'main', serverOptions: { workerGroupSize: 2 } }] });
  const port = broker.ports[0]!;
  await open('tcp', port, 3);
  limitOpenFiles(broker.pid, 20);
  const strangers = Array.from({ length: 40 }, () => connected('tcp', port, 5, { clientId: uid('s') }).catch(() => null));
  const requests = Array.from({ length: 10 }, () => broker.api('GET', '/health').catch(() => null));
  await sleep(3000);
  for (const client of clients) await client.ping();
  limitOpenFiles(broker.pid, 4096);
  for (const client of await Promise.all(strangers)) client?.destroy();
  await Promise.all(requests);
  await sleep(LIMIT_READ_MS);
  await until('a client', async () => (await open('tcp', port, 1)) === 1);
  expect((await broker.api('GET', '/health')).status).toBe(200);
  const { body } = await broker.api('GET', '/api/system/health');
  expect((body as { data: { workerRestarts: number } }).data.workerRestarts).toBe(0);
});
