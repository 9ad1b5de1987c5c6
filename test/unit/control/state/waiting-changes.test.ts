/** When a change that waits for its confirmation is undone: by the steady clock, whatever the wall clocks of the nodes say. */

import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { dueIn, WaitingChanges } from '../../../../src/control/state/waiting-changes.ts';
import { steadyNow } from '../../../../src/kernel/clock.ts';
import type { HistoryRow } from '../../../../src/storage/endpoint-store.ts';

const HOUR = 3_600_000;
const TODAY = Date.UTC(2026, 10, 29);
let wall = TODAY;
beforeEach(() => {
  wall = TODAY;
  vi.spyOn(Date, 'now').mockImplementation(() => wall);
});
afterEach(() => void vi.restoreAllMocks());

/** Milliseconds that a change of `node`, made at TODAY for an hour, has left when this process first reads it `ahead` later by its own clock. */
async function left(node: string, ahead: number, at = TODAY): Promise<number> {
  wall = TODAY + ahead;
  const waiting = new WaitingChanges('here');
  const row = { revision: 7, at, node, id: 'e', port: 1, before: null, after: null } as unknown as HistoryRow;
  await waiting.replace([{ revision: 7, until: at + HOUR }], async () => [row]);
  return waiting.list()[0]!.dueAt - steadyNow();
}

test.each([
  ['made here, read at once', 'here', 0, HOUR],
  ['made here, half an hour ago', 'here', HOUR / 2, HOUR / 2],
  ['made here, overdue', 'here', 2 * HOUR, 0],
  ['made here, the clock has gone back', 'here', -5 * HOUR, HOUR],
  ['made here, the clock is at 1970', 'here', -TODAY, HOUR],
  ['made by a node whose clock is behind', 'there', 5 * HOUR, HOUR],
  ['made by a node whose clock is ahead', 'there', -5 * HOUR, HOUR],
])('%s', async (_name, node, ahead, expected) => {
  expect(await left(node, ahead)).toBeCloseTo(expected, -4);
});

test('a clock that jumps moves nothing of what is known, in this process or in what is read again', async () => {
  const waiting = new WaitingChanges('here');
  const dueAt = dueIn(TODAY + HOUR);
  waiting.add({ revision: 7, until: TODAY + HOUR, dueAt, ids: ['e'], keys: new Set(['e']) });
  for (const jump of [-5 * HOUR, 5 * HOUR]) {
    wall = TODAY + jump;
    await waiting.replace([{ revision: 7, until: TODAY + HOUR }], async () => null);
    expect(waiting.list()[0]!.dueAt).toBe(dueAt);
  }
});

test('no wait is longer than a day, whatever a store says', async () => {
  expect(dueIn(TODAY + 9_999 * HOUR) - steadyNow()).toBeCloseTo(24 * HOUR, -4);
  expect(await left('there', 0, TODAY - 9_999 * HOUR)).toBeLessThanOrEqual(24 * HOUR);
});
