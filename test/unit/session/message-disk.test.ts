/** What the file of durable sessions keeps over a restart, and that a file of the first version is taken over. */

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import Database from 'better-sqlite3';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { steadyNow } from '../../../src/kernel/clock.ts';
import type { WireSubscription } from '../../../workers/mesh/controls.ts';
import { EMPTY, Message, toWireMessage } from '../../../workers/routing/message.ts';
import type { SessionState } from '../../../workers/session/disk/codec.ts';
import { MessageDisk } from '../../../workers/session/message-disk.ts';

const STATE: SessionState = {
  namespace: 'default',
  clientId: 'c',
  endpoint: 'e',
  expirySeconds: 60,
  disconnectedAt: 0,
  isDurable: true,
  maxQueued: 1000,
  nextPacketId: 7,
  will: null,
};
const subscription = (filter: string, group: string | null = null): WireSubscription => ({
  filter,
  group,
  qos: 1,
  noLocal: false,
  retainAsPublished: true,
  retainHandling: 2,
  identifier: 3,
});

let folder = '';
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'fluxmq-disk-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

/** What is there after the file was closed and opened again. */
function reopened(disk: MessageDisk): WireSubscription[] {
  disk.close();
  const again = new MessageDisk(folder);
  const filters = again.load('default', 'c')?.subscriptions ?? [];
  again.close();
  return filters.toSorted((a, b) => (a.filter + a.group < b.filter + b.group ? -1 : 1));
}

test('subscriptions are kept one by one: added, replaced, removed; a shared one and an ordinary one of a filter are two', () => {
  const disk = new MessageDisk(folder);
  disk.putSession(STATE);
  for (const each of [subscription('a/+'), subscription('b'), subscription('b', 'g'), subscription('gone')])
    disk.putSubscription('default', 'c', each);
  disk.putSubscription('default', 'c', { ...subscription('a/+'), qos: 2 });
  disk.deleteSubscription('default', 'c', 'gone');
  disk.putSubscription('default', 'other', subscription('not of c'));
  // The state of the session says nothing of them.
  disk.putSession({ ...STATE, nextPacketId: 8 });
  expect(reopened(disk)).toEqual([{ ...subscription('a/+'), qos: 2 }, subscription('b', 'g'), subscription('b')]);
});

test('they go with their session', () => {
  const disk = new MessageDisk(folder);
  disk.putSession(STATE);
  disk.putSubscription('default', 'c', subscription('a'));
  disk.deleteSession('default', 'c');
  disk.putSession(STATE);
  expect(reopened(disk)).toEqual([]);
});

test('a file of version 1, which had them within the session, is taken over once', () => {
  new MessageDisk(folder).close();
  const file = new Database(join(folder, 'messages.db'));
  file.exec('DROP TABLE subscription; PRAGMA user_version = 1;');
  const state = { ...STATE, subscriptions: [subscription('a/+'), subscription('b', 'g')] };
  file.prepare('INSERT INTO session VALUES (?, ?, ?)').run('default', 'c', JSON.stringify(state));
  file.close();
  const disk = new MessageDisk(folder);
  const loaded = disk.load('default', 'c')!;
  expect({ ...loaded, subscriptions: new Set(loaded.subscriptions) }).toEqual({
    ...STATE,
    subscriptions: new Set(state.subscriptions),
    deliveries: [],
    received: [],
  });
  disk.deleteSubscription('default', 'c', 'a/+');
  expect(reopened(disk)).toEqual([subscription('b', 'g')]);
});

test('a file of a later version is refused', () => {
  new MessageDisk(folder).close();
  const file = new Database(join(folder, 'messages.db'));
  file.pragma('user_version = 99');
  file.close();
  expect(() => new MessageDisk(folder)).toThrow('version 99');
});

test('moments are kept over a restart in which the wall clock goes on, goes back, or was not set', () => {
  const HOUR = 3_600_000;
  const message = (expiresAt: number): Message => new Message('t', Buffer.from('x'), 1, true, EMPTY, expiresAt, '');
  const clock = vi.spyOn(Date, 'now');
  const today = Date.UTC(2026, 10, 29);
  for (const [after, away] of [
    [today + HOUR, HOUR],
    [today - HOUR, 0],
    [10_000, 0],
  ] as const) {
    clock.mockReturnValue(today);
    const disk = new MessageDisk(folder);
    const now = steadyNow();
    disk.putSession({ ...STATE, disconnectedAt: now - 600_000 });
    disk.putRetained('default', message(now + 2 * HOUR));
    disk.putDelivery('default', 'c', {
      message: toWireMessage(message(now + 3 * HOUR)),
      qos: 1,
      retain: false,
      identifiers: [],
      packetId: 0,
      isReleased: false,
      group: null,
    });
    expect(disk.keepTime()).toBe(true);
    expect(disk.keepTime()).toBe(false);
    disk.commit();
    clock.mockReturnValue(after);
    const again = new MessageDisk(folder);
    const [retained] = [...again.retained()];
    const session = again.load('default', 'c')!;
    expect(steadyNow() - session.disconnectedAt).toBeCloseTo(600_000 + away, -4);
    expect(session.deliveries[0]!.message.expiresAt - steadyNow()).toBeCloseTo(3 * HOUR - away, -4);
    expect(retained!.message.expiresAt - steadyNow()).toBeCloseTo(2 * HOUR - away, -4);
    again.close();
    disk.close();
    rmSync(folder, { recursive: true, force: true });
  }
  clock.mockRestore();
});
