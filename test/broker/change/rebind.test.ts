/** Change after change of one endpoint while clients connect and messages flow: nobody is refused, dropped or told less (a short form of `npm run chaos`). */

import { expect, test } from 'vitest';
import { CHANGES, rebindUnderLoad } from '../../chaos/rebind.ts';

test('every kind of rebind, under connections and traffic: none refused, no client dropped, no message lost or overtaken', async () => {
  const report = await rebindUnderLoad({ changes: CHANGES.length * 2, connectionsPerSecond: 100, messagesPerSecond: 500 });
  const { ECONNRESET: resets = 0, ...others } = report.storm.failures;
  expect(others).toEqual({});
  // Two of the changes close one of several sockets on a port, and without net.ipv4.tcp_migrate_req the kernel may reset who comes in that microsecond.
  expect(resets).toBeLessThanOrEqual(1);
  expect(report.storm.connected).toBeGreaterThan(100);
  expect(report.messages).toBeGreaterThan(500);
  expect(report.dropped).toBe(0);
}, 90_000);
