/** Change after change of one endpoint while clients connect and messages flow: nobody is refused, dropped or told less (a short form of `npm run chaos`). */

import { expect, test } from 'vitest';
import { CHANGES, rebindUnderLoad } from '../../chaos/rebind.ts';

test('every kind of rebind, under connections and traffic: none refused, no client dropped, no message lost or overtaken', async () => {
  // Three rounds: a fast machine is done with one before much has connected.
  const report = await rebindUnderLoad({ changes: 3 * CHANGES.length, connectionsPerSecond: 50, messagesPerSecond: 500 });
  expect(report.faults).toEqual([]);
  expect(report.storm.failures).toEqual({});
  // At ports that are given up, in six of the 51 changes.
  expect(report.storm.resetAtTheEnd).toBeLessThan(report.storm.attempts / 10);
  expect(report.storm.connected).toBeGreaterThan(100);
  expect(report.messages).toBeGreaterThan(500);
  expect(report.dropped).toBe(0);
}, 90_000);
