/** Probes of one port are in nobody's way: asked many times at once, by brokers side by side too, a free port is free, a taken one taken. */

import { once } from 'node:events';
import { createServer } from 'node:net';
import { Worker } from 'node:worker_threads';
import { expect, test } from 'vitest';
import { probePort } from '../../../src/control/probe/port-probe.ts';
import { bindSocket } from '../../../src/internals/socket-passing.ts';
import { freePort } from '../../kit/free-port.ts';

test('a free port stays free for all who ask at once, on every address', async () => {
  const port = await freePort();
  const hosts = ['127.0.0.1', '0.0.0.0', '127.0.0.2', '::'];
  const outcomes = await Promise.allSettled(Array.from({ length: 40 }, (_, n) => probePort(hosts[n % 4]!, port)));
  expect(outcomes.filter(({ status }) => status === 'rejected')).toEqual([]);
});

test('two nodes of one machine that are asked at the same moment both find it free', async () => {
  const port = await freePort();
  // Another thread knows no more of us than another process does.
  const other = new Worker(new URL('./probe-thread.ts', import.meta.url), { workerData: { port }, execArgv: ['--no-warnings'] });
  let refused = 0;
  let stopped = false;
  other.once('message', (count: number) => {
    refused += count;
    stopped = true;
  });
  await once(other, 'online');
  let asked = 0;
  while (!stopped) {
    await probePort('127.0.0.1', port).catch(() => refused++);
    asked++;
    await new Promise(setImmediate);
  }
  await other.terminate();
  expect(refused).toBe(0);
  expect(asked).toBeGreaterThan(0);
});

test('who binds the port and listens is not disturbed by a probe, and seen by it once it listens', async () => {
  const port = await freePort();
  const handle = bindSocket('127.0.0.1', port);
  const server = createServer();
  try {
    await expect(probePort('127.0.0.1', port)).resolves.toBeUndefined();
    server.listen(handle);
    await once(server, 'listening');
    for (const host of ['127.0.0.1', '0.0.0.0', '::']) await expect(probePort(host, port)).rejects.toMatchObject({ kind: 'port-in-use' });
    await expect(probePort('127.0.0.2', port)).resolves.toBeUndefined();
  } finally {
    server.close();
  }
});

test('a taken port is refused to all, and free when it is let go', async () => {
  const port = await freePort();
  const holder = createServer();
  await new Promise<void>((resolve) => holder.listen({ port, host: '127.0.0.1' }, resolve));
  const outcomes = await Promise.allSettled(Array.from({ length: 5 }, () => probePort('127.0.0.1', port)));
  for (const outcome of outcomes) expect(outcome).toMatchObject({ status: 'rejected', reason: { kind: 'port-in-use' } });
  await new Promise((resolve) => holder.close(resolve));
  await expect(probePort('127.0.0.1', port)).resolves.toBeUndefined();
});
