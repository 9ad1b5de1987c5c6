/** The file of durable sessions survives a restart, and a file of the first version is migrated. */

import { cpSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import Database from 'better-sqlite3';
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { steadyNow } from '../../../src/kernel/clock.ts';
import { createHeartbeat, readHeartbeat, startHeartbeat } from '../../../src/thread/heartbeat.ts';
import { START_MAX } from '../../../src/thread/message-numbers.ts';
import type { SessionState } from '../../../workers/host/disk/codec.ts';
import { MessageDisk } from '../../../workers/host/disk/message-disk.ts';
import { EMPTY, Message, toWireMessage } from '../../../workers/shared/messages/message.ts';
import type { WireDelivery, WireSubscription } from '../../../workers/shared/wire/controls.ts';
import { oldFile } from './old-file.ts';

const STATE: SessionState = {
  namespace: 'default',
  clientId: 'c',
  holder: { user: 'ann', username: 'ann', address: '127.0.0.1' },
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

/** The content after a close and a new open of the file. */
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
  const file = oldFile(folder, 1);
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

test('a session that was stored before holders were recorded has none', () => {
  new MessageDisk(folder).close();
  const file = new Database(join(folder, 'messages.db'));
  const { holder: _holder, ...state } = STATE;
  file.prepare('INSERT INTO session VALUES (?, ?, ?)').run('default', 'c', JSON.stringify(state));
  file.close();
  const disk = new MessageDisk(folder);
  expect(disk.load('default', 'c')).toMatchObject({ clientId: 'c', holder: null });
  disk.close();
});

test('a file of a later version is refused', () => {
  new MessageDisk(folder).close();
  const file = new Database(join(folder, 'messages.db'));
  file.pragma('user_version = 99');
  file.close();
  expect(() => new MessageDisk(folder)).toThrow('version 99');
});

test('moments are kept over a restart in which the wall clock advances, goes back, or was not set', () => {
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
    // A killed process leaves the file like this.
    const left = mkdtempSync(join(tmpdir(), 'fluxmq-disk-'));
    cpSync(folder, left, { recursive: true });
    const again = new MessageDisk(left);
    const [retained] = [...again.retained()];
    const session = again.load('default', 'c')!;
    expect(steadyNow() - session.disconnectedAt).toBeCloseTo(600_000 + away, -4);
    expect(session.deliveries[0]!.message.expiresAt - steadyNow()).toBeCloseTo(3 * HOUR - away, -4);
    expect(retained!.message.expiresAt - steadyNow()).toBeCloseTo(2 * HOUR - away, -4);
    again.close();
    disk.close();
    for (const each of [folder, left]) rmSync(each, { recursive: true, force: true });
  }
  clock.mockRestore();
});

const delivery = (text: string, serial: number, group: WireDelivery['group'] = null): WireDelivery => ({
  message: {
    topic: 't',
    payload: Buffer.from(text),
    qos: 1,
    retain: false,
    forward: Buffer.alloc(0),
    expiresAt: 0,
    from: '',
    source: 2,
    serial,
  },
  qos: 1,
  retain: false,
  identifiers: [],
  packetId: 0,
  isReleased: false,
  group,
});
const texts = (disk: MessageDisk): string[] =>
  disk.load('default', 'c')!.deliveries.map(({ message }) => Buffer.from(message.payload).toString());

test('each start has a number that no message on disk has, also when the counter begins anew', () => {
  let disk = new MessageDisk(folder);
  expect(disk.claimStart()).toBe(1);
  expect(disk.claimStart()).toBe(2);
  disk.close();
  // Whatever was not committed when the process died, the number was.
  const file = new Database(join(folder, 'messages.db'));
  file.prepare('UPDATE start SET count = ?').run(START_MAX - 1);
  file.close();
  disk = new MessageDisk(folder);
  disk.putSession(STATE);
  expect(disk.claimStart()).toBe(START_MAX);
  disk.putDelivery('default', 'c', delivery('of the last start', 7));
  disk.commit();
  expect(disk.claimStart()).toBe(1);
  let conflicts = 0;
  disk.onConflict = () => conflicts++;
  disk.putDelivery('default', 'c', delivery('of the first one', 7));
  expect([texts(disk), conflicts]).toEqual([['of the last start', 'of the first one'], 0]);
  disk.close();
});

test('a message that is said again is one; another one with its number is kept too, and told of', () => {
  const disk = new MessageDisk(folder);
  const conflicts: string[] = [];
  disk.onConflict = (namespace, client, topic) => conflicts.push(`${namespace} ${client} ${topic}`);
  disk.putSession(STATE);
  disk.putDelivery('default', 'c', delivery('one', 7));
  disk.setPacketId('default', 'c', { source: 2, serial: 7, group: null }, 3, false);
  disk.putDelivery('default', 'c', delivery('one', 7));
  expect([texts(disk), conflicts]).toEqual([['one'], []]);
  for (const text of ['other', 'third']) disk.putDelivery('default', 'c', delivery(text, 7));
  expect(conflicts).toEqual(['default c t', 'default c t']);
  expect(disk.deleteDelivery('default', 'c', { source: 2, serial: 7, group: null })).toBe(true);
  expect(disk.deleteDelivery('default', 'c', { source: 2, serial: 7, group: null })).toBe(false);
  disk.close();
  const again = new MessageDisk(folder);
  expect(texts(again)).toEqual(['other', 'third']);
  again.close();
});

test('reading one session with very many messages shows progress', () => {
  const heartbeat = createHeartbeat();
  startHeartbeat(heartbeat);
  const disk = new MessageDisk(folder);
  disk.putSession(STATE);
  for (let serial = 1; serial <= 5_500; serial++) disk.putDelivery('default', 'c', delivery(`${serial}`, serial));
  const before = readHeartbeat(heartbeat);
  expect(texts(disk)).toHaveLength(5_500);
  expect(readHeartbeat(heartbeat) - before).toBe(5);
  disk.close();
});

test('a message that comes by itself and by shared groups is one delivery for each', () => {
  const disk = new MessageDisk(folder);
  let conflicts = 0;
  disk.onConflict = () => conflicts++;
  disk.putSession(STATE);
  const groups = [null, { filter: 't', name: 'g' }, { filter: 't', name: 'h' }, { filter: '#', name: 'g' }];
  for (const group of groups) disk.putDelivery('default', 'c', delivery('m', 7, group));
  expect(disk.setPacketId('default', 'c', { source: 2, serial: 7, group: groups[1]! }, 9, true)).toBe(true);
  expect(disk.deleteDelivery('default', 'c', { source: 2, serial: 7, group: null })).toBe(true);
  disk.close();
  const again = new MessageDisk(folder);
  const left = again.load('default', 'c')!.deliveries.map(({ group, packetId }) => [group, packetId]);
  expect([left, conflicts]).toEqual([
    [
      [groups[1], 9],
      [groups[2], 0],
      [groups[3], 0],
    ],
    0,
  ]);
  again.close();
});

test('a file of version 4 keeps its messages; none of them is taken for one of now', () => {
  const file = oldFile(folder, 4);
  file.prepare('INSERT INTO session VALUES (?, ?, ?)').run('default', 'c', JSON.stringify(STATE));
  const put = file.prepare("INSERT INTO delivery VALUES (NULL, 'default', 'c', 2, ?, 0, 0, 1, 0, '[]', NULL, NULL, 't', 1, 0, x'', 0, ?)");
  const serial = 2 ** 42 + 1;
  put.run(serial, Buffer.from('old'));
  file.close();
  const disk = new MessageDisk(folder);
  let conflicts = 0;
  disk.onConflict = () => conflicts++;
  expect(disk.claimStart()).toBe(1);
  disk.putDelivery('default', 'c', delivery('new', serial));
  expect([texts(disk), conflicts]).toEqual([['old', 'new'], 0]);
  disk.close();
});

/** A session with more rows than one step deletes: subscriptions, messages, received identifiers. */
function putLarge(disk: MessageDisk, name = 'old'): void {
  disk.putSession(STATE);
  for (let n = 0; n < 600; n++) disk.putSubscription('default', 'c', subscription(`${name}/${n}`));
  for (let n = 0; n < 600; n++) disk.putDelivery('default', 'c', waiting(n + 1));
  for (let n = 0; n < 600; n++) disk.putReceived('default', 'c', n + 1);
}

function waiting(serial: number): WireDelivery {
  const message = toWireMessage(new Message('t', Buffer.from(`${serial}`), 1, false, EMPTY, 0, ''));
  return {
    message: { ...message, source: 1, serial },
    qos: 1,
    retain: false,
    identifiers: [],
    packetId: 0,
    isReleased: false,
    group: null,
  };
}

/** Rows of all tables that belong to some session. */
function rows(): number {
  const file = new Database(join(folder, 'messages.db'));
  const count = ['session', 'subscription', 'delivery', 'received', 'stored_as', 'leftover']
    .map((table) => (file.prepare(`SELECT count(*) AS count FROM ${table}`).get() as { count: number }).count)
    .reduce((sum, each) => sum + each, 0);
  file.close();
  return count;
}

/** @returns the steps that it took */
function clean(disk: MessageDisk): number {
  let steps = 0;
  for (; disk.hasLeftovers; steps++) disk.cleanSome();
  return steps;
}

describe('a session with many rows that ends', () => {
  test('is gone at once, its rows go in steps, and after kill -9 in between the next process continues with them', () => {
    const disk = new MessageDisk(folder);
    putLarge(disk);
    disk.commit();
    disk.deleteSession('default', 'c');
    disk.cleanSome();
    disk.close();
    expect(rows()).toBeGreaterThan(600);
    const again = new MessageDisk(folder);
    expect(again.sessions()).toEqual([]);
    expect(clean(again)).toBeGreaterThan(3);
    again.close();
    expect(rows()).toBe(0);
  });

  test.each(['in this process', 'after kill -9'])('leaves nothing to one of the same name that begins before they are gone: %s', (when) => {
    let disk = new MessageDisk(folder);
    putLarge(disk);
    disk.deleteSession('default', 'c');
    // It ends before the rows of the first one are gone, too, and a third one begins.
    putLarge(disk, 'second');
    disk.deleteSession('default', 'c');
    disk.putSession({ ...STATE, nextPacketId: 9 });
    disk.putSubscription('default', 'c', subscription('old/1'));
    disk.putSubscription('default', 'c', subscription('third'));
    disk.putDelivery('default', 'c', waiting(2));
    disk.putReceived('default', 'c', 3);
    const isKilled = when !== 'in this process';
    for (const step of ['before', 'in the middle', 'after']) {
      if (step === 'in the middle') for (let n = 0; n < 3; n++) disk.cleanSome();
      if (step === 'after') clean(disk);
      if (isKilled) {
        disk.close();
        disk = new MessageDisk(folder);
        expect(disk.sessions()).toEqual([{ namespace: 'default', client: 'c' }]);
      }
      const loaded = disk.load('default', 'c')!;
      expect(loaded.subscriptions.map(({ filter }) => filter)).toEqual(['old/1', 'third']);
      expect(loaded.deliveries.map(({ message }) => message.serial)).toEqual([2]);
      expect(loaded).toMatchObject({ received: [3], nextPacketId: 9 });
    }
    // Its own rows still are found one by one.
    expect(disk.setPacketId('default', 'c', { source: 1, serial: 2, group: null }, 5, false)).toBe(true);
    expect(disk.deleteDelivery('default', 'c', { source: 1, serial: 2, group: null })).toBe(true);
    disk.deleteReceived('default', 'c', 3);
    disk.deleteSubscription('default', 'c', 'third');
    expect(disk.load('default', 'c')).toMatchObject({ deliveries: [], received: [], subscriptions: [{ filter: 'old/1' }] });
    disk.deleteSession('default', 'c');
    clean(disk);
    disk.close();
    expect(rows()).toBe(0);
  });

  test('goes as a whole while the disk is full, which needs the room', () => {
    const disk = new MessageDisk(folder);
    putLarge(disk);
    disk.deleteSession('default', 'c');
    putLarge(disk, 'second');
    disk.commit();
    disk.suspend();
    disk.deleteSession('default', 'c');
    disk.cleanSome();
    expect(disk.hasLeftovers).toBe(false);
    expect(disk.retry()).toBeNull();
    disk.resume();
    disk.close();
    expect(rows()).toBe(0);
  });
});

describe('a session that is written in pieces', () => {
  test('is found once it is whole', () => {
    const disk = new MessageDisk(folder);
    disk.beginSession('default', 'c');
    putLarge(disk);
    expect(disk.isUnfinished('default', 'c')).toBe(true);
    disk.finishSession('default', 'c');
    expect(disk.isUnfinished('default', 'c')).toBe(false);
    disk.close();
    const again = new MessageDisk(folder);
    expect(again.sessions()).toHaveLength(1);
    expect(again.load('default', 'c')!.subscriptions).toHaveLength(600);
    expect(again.hasLeftovers).toBe(false);
    again.close();
  });

  test('is not found after kill -9 before that, and leaves nothing to the next one', () => {
    const disk = new MessageDisk(folder);
    disk.beginSession('default', 'c');
    putLarge(disk);
    disk.close();
    const again = new MessageDisk(folder);
    expect(again.sessions()).toEqual([]);
    again.putSession(STATE);
    again.putSubscription('default', 'c', subscription('new'));
    clean(again);
    expect(again.load('default', 'c')!.subscriptions.map(({ filter }) => filter)).toEqual(['new']);
    again.close();
  });

  test('may end before that', () => {
    const disk = new MessageDisk(folder);
    disk.beginSession('default', 'c');
    putLarge(disk);
    disk.deleteSession('default', 'c');
    disk.beginSession('default', 'c');
    disk.putSession(STATE);
    disk.deleteSession('default', 'c');
    clean(disk);
    disk.close();
    expect(rows()).toBe(0);
  });
});
