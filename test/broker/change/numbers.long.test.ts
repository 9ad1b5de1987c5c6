/** The numbers of a change that can be held on any machine: memory of an endpoint, and that everybody stays (a short form of `npm run chaos`). */

import { expect, test } from 'vitest';
import { rebindWithClients } from '../../chaos/big-rebind.ts';
import { addMany } from '../../chaos/density.ts';
import { changeLimits } from '../../chaos/live-limit.ts';

test('an endpoint with 300 clients is moved: none dropped, none refused', async () => {
  const report = await rebindWithClients(300, 100);
  expect(report).toMatchObject({ dropped: 0, refused: 0 });
  expect(report.acceptingAfterMs).toBeLessThanOrEqual(report.answeredAfterMs + 1000);
}, 60_000);

test('a limit is changed on endpoints of four workers each', async () => {
  expect((await changeLimits(2, 4, 3)).updates).toBe(6);
}, 60_000);

test('endpoints with a thread of their own all answer, and their memory is bounded', async () => {
  const report = await addMany(10, true);
  expect(report.healthy).toBe(10);
  // 14 MiB over 200 of them; the first ones pay for what the later ones share.
  expect(report.mibEach).toBeLessThan(25);
}, 60_000);

test('endpoints that share threads cost at most half a MiB, and all answer', async () => {
  const report = await addMany(200, false);
  expect(report.healthy).toBe(200);
  expect(report.mibEach).toBeLessThan(0.5);
}, 60_000);
