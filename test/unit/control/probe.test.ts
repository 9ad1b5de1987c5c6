/** Probes of one port take turns: asked many times at once, a free port is free, and one that is taken is taken. */

import { createServer } from 'node:net';
import { expect, test } from 'vitest';
import { probePort } from '../../../src/control/probe/port-probe.ts';
import { freePort } from '../../kit/free-port.ts';

test('a free port stays free for all who ask at once, on every address', async () => {
  const port = await freePort();
  const hosts = ['127.0.0.1', '0.0.0.0', '127.0.0.2'];
  const outcomes = await Promise.allSettled(Array.from({ length: 30 }, (_, n) => probePort(hosts[n % 3]!, port)));
  expect(outcomes.filter(({ status }) => status === 'rejected')).toEqual([]);
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
