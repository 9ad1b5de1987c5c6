/** A change that cannot be made here: the old listener still accepts, the store is as it was, nothing of the same request took effect, and the answer says why. */

import { writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:net';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { freePort } from '../../kit/free-port.ts';
import { connected, useBroker } from '../../kit/lanes.ts';
import type { RawClient } from '../../kit/raw-client.ts';
import { sleep } from '../../kit/until.ts';
import { failing, failpoints, threads, WIDE } from '../faults/failing.ts';

const held = useBroker(() => failing({ endpoints: [WIDE] }));

interface Answer {
  status: number;
  message: string;
  kind: string;
}

async function update(body: Record<string, unknown>, query = ''): Promise<Answer> {
  const { status, body: answer } = await held.broker.api('POST', `/api/endpoints/update${query}`, body);
  const { message, error } = answer as { message: string; error?: { kind: string } };
  return { status, message, kind: error?.kind ?? '' };
}

const stored = async () => (await held.broker.api('GET', `/api/endpoints/get?port=${held.broker.ports[0]}`)).body;
const history = async () => (await held.broker.api('GET', '/api/endpoints/history')).body;
const threadNames = async () => (await threads(held.broker)).filter(({ endpoints }) => endpoints.length > 0).map(({ name }) => name);

/** Clients that come, one after the other, until told to stop: each is let in, and stays. */
async function keepComing(port: number, isOver: () => boolean): Promise<number> {
  const come: RawClient[] = [];
  while (!isOver()) {
    come.push(await connected('tcp', port, 5));
    await sleep(5);
  }
  for (const client of come) expect(await client.publish('a', 'x', { qos: 1 })).toBe(0x10);
  for (const client of come) client.destroy();
  return come.length;
}

/**
 * Nothing of the refused change is to be seen by a client that was there, by those that come while it is attempted, by a new one, in the
 * store, in the history or among the threads.
 */
async function leavesAll(change: () => Promise<Answer>): Promise<Answer> {
  const port = held.broker.ports[0]!;
  const there = await connected('tcp', port, 5);
  const before = [await stored(), await history(), await threadNames()];
  let isOver = false;
  const coming = Promise.all(Array.from({ length: 4 }, () => keepComing(port, () => isOver)));
  const answer = await change();
  isOver = true;
  expect(Math.min(...(await coming))).toBeGreaterThan(0);
  await there.ping();
  // Keys of the same request that take effect at once: a limit of one connection, and rules that forbid everything.
  const fresh = [await connected('tcp', port, 5), await connected('tcp', port, 5)];
  expect(await there.publish('a', 'x', { qos: 1 })).toBe(0x10);
  for (const client of [there, ...fresh]) client.destroy();
  expect([await stored(), await history(), await threadNames()]).toEqual(before);
  return answer;
}

const OTHERS = { maxConnectionSize: 1, aclType: 'config', aclConfig: { default: 'deny', rules: [] }, namespace: 'elsewhere' };

function foreign(port: number): Promise<Server> {
  const server = createServer();
  return new Promise((resolve) => server.listen({ port, host: '127.0.0.1' }, () => resolve(server)));
}

test('the port belongs to another process', async () => {
  const newPort = await freePort();
  const server = await foreign(newPort);
  const answer = await leavesAll(() => update({ port: held.broker.ports[0], newPort, ...OTHERS }));
  expect(answer).toMatchObject({ status: 409, kind: 'port-in-use' });
  expect(answer.message).toContain(`Port ${newPort} is already in use`);
  server.close();
});

test('the address is not one of this machine', async () => {
  const answer = await leavesAll(() => update({ port: held.broker.ports[0], host: '203.0.113.9', ...OTHERS }));
  expect(answer).toMatchObject({ status: 422, kind: 'unprocessable' });
  expect(answer.message).toContain('Failed to bind to address 203.0.113.9');
});

test('the TLS material does not parse', async () => {
  const answer = await leavesAll(() =>
    update({ port: held.broker.ports[0], sslConfig: { enabled: true, cert: '-----BEGIN CERTIFICATE-----\nAAAA', key: 'x' }, ...OTHERS }),
  );
  expect([400, 422]).toContain(answer.status);
});

test('a worker that does not come up within the time of the request', async () => {
  const taken = Math.max(...(await threads(held.broker)).map(({ name }) => Number(name.split('-')[1])));
  // Whatever thread is started next stands still before it is ready.
  for (let n = 1; n <= 6; n++) writeFileSync(join(failpoints, `endpoint-${taken + n}`), 'block 6000');
  const startedAt = performance.now();
  const answer = await leavesAll(() =>
    update({ port: held.broker.ports[0], serverOptions: { workerGroupSize: 4 }, ...OTHERS }, '?timeout=1500ms'),
  );
  expect(answer).toMatchObject({ kind: 'timeout' });
  expect(answer.status).toBeGreaterThanOrEqual(500);
  expect(performance.now() - startedAt).toBeLessThan(6000);
}, 30_000);
