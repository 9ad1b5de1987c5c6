/** A session whose Session Expiry Interval has passed is nobody's, also before the sweep ends it [MQTT-3.1.2-23]. */

import { expect, test } from 'vitest';
import { steadyNow } from '../../../src/kernel/clock.ts';
import type { SessionTable } from '../../../workers/shared/table/session-table.ts';
import { makeMesh } from './meshes.ts';
import { makeTable } from './tables.ts';

const OTHER_PEER = 2;

/** A table with one session of alice, offline for `awaySeconds` of the 10 that it has. */
function tableWith(awaySeconds: number): SessionTable {
  const mesh = makeMesh(1);
  const table = makeTable(mesh);
  const session = table.create(mesh.namespace('n'), 'device');
  session.holder = { user: 'alice', username: 'alice', address: '127.0.0.1' };
  session.expirySeconds = 10;
  session.disconnectedAt = steadyNow() - awaySeconds * 1_000;
  return table;
}

test.each(['alice', 'mallory'])('%s gets none of it once it has expired', (user) => {
  const table = tableWith(11);
  expect(table.release('n', 'device', 1, OTHER_PEER, false, { user })).toBeNull();
  expect(table.get('n', 'device')).toBeUndefined();
});

test('before that its owner resumes it, and another user is refused', () => {
  const table = tableWith(9);
  expect(table.release('n', 'device', 1, OTHER_PEER, false, { user: 'mallory' })).toBe('foreign');
  expect(table.release('n', 'device', 1, OTHER_PEER, false, { user: 'alice' })).toMatchObject({ subscriptions: [] });
});

test('the session worker itself may fetch it: its sweep decides', () => {
  const table = tableWith(11);
  expect(table.release('n', 'device', 1, OTHER_PEER, false, null)).toMatchObject({ subscriptions: [] });
});
