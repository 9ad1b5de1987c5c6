/** The newest change of a retained topic counts, in whatever order the nodes of a cluster learn of the changes, and over a restart. */

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import Database from 'better-sqlite3';
import fc from 'fast-check';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { MessageDisk } from '../../../../workers/host/disk/message-disk.ts';
import { DELETIONS, RetainedStore } from '../../../../workers/host/retained/store.ts';
import { AHEAD_MS, isNewer, stampAt } from '../../../../workers/shared/messages/stamp.ts';
import { contentOf, foreign as message, NO_LIMIT, NO_SYNC, retainedNode, TODAY } from './node-kit.ts';

let folder = '';
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'newest-'));
});
afterEach(() => rmSync(folder, { recursive: true }));

test('nodes that learn of the same changes in any order have the same, the newest of each topic, and equal digests', () => {
  const changes = fc.array(
    fc.record({ topic: fc.constantFrom('a', 'b/c', 'd'), text: fc.constantFrom('', 'x', 'yy'), at: fc.nat(20), by: fc.nat(2) }),
    { minLength: 1, maxLength: 30 },
  );
  fc.assert(
    fc.property(changes, fc.func(fc.integer()), (all, order) => {
      // Nobody gives a stamp twice.
      const given = new Map(all.map(({ topic, text, at, by }) => [`${at} ${by}`, { topic, text, stamp: { at: stampAt(TODAY) + at, by } }]));
      const [one, other] = [retainedNode(), retainedNode()];
      for (const { topic, text, stamp } of given.values()) one.keeper.retain('d', message(topic, text, stamp));
      const shuffled = [...given].sort(([a], [b]) => order(a) - order(b));
      for (const [, { topic, text, stamp }] of [...shuffled, ...shuffled]) other.keeper.retain('d', message(topic, text, stamp));
      const expected: Record<string, string> = {};
      for (const { topic, text, stamp } of [...given.values()].sort((a, b) => (isNewer(a.stamp, b.stamp) ? 1 : -1))) {
        if (text === '') delete expected[topic];
        else expected[topic] = text;
        expect(stamp.at).toBeGreaterThan(0);
      }
      expect(one.content()).toEqual(expected);
      expect(other.content()).toEqual(expected);
      expect(other.store.replica('d')?.digest).toEqual(one.store.replica('d')?.digest);
    }),
    { numRuns: 200 },
  );
});

test('what is deleted or has expired stays away, over a restart too, for a day', async () => {
  const at = stampAt(TODAY);
  let disk = new MessageDisk(folder);
  const before = retainedNode({ disk });
  before.keeper.retain('d', message('deleted', 'x', { at, by: 1 }));
  before.keeper.retain('d', message('deleted', '', { at: at + 9, by: 1 }));
  before.keeper.retain('d', message('expired', 'x', { at: at + 9, by: 1 }, 5));
  before.keeper.retain('d', message('stays', 'new', { at: at + 9, by: 1 }));
  await before.store.sweep(10, TODAY);
  disk.close();
  disk = new MessageDisk(folder);
  const after = retainedNode({ disk });
  after.keeper.restore(disk);
  expect(after.store.replica('d')?.digest).toEqual(before.store.replica('d')?.digest);
  for (const topic of ['deleted', 'expired', 'stays']) after.keeper.retain('d', message(topic, 'old', { at: at + 8, by: 2 }));
  expect(after.content()).toEqual({ stays: 'new' });
  expect(after.keeper.count(NO_SYNC).cluster).toMatchObject({ deletions: 2, refused: 0, ahead: 0 });
  await after.store.sweep(10, TODAY + DELETIONS.ms + 1_000);
  expect(after.keeper.count(NO_SYNC).cluster).toMatchObject({ deletions: 0 });
  expect([...disk.deletions()]).toEqual([]);
  after.keeper.retain('d', message('deleted', 'again', { at: at + 10, by: 2 }));
  disk.close();
  disk = new MessageDisk(folder);
  expect([...disk.retained()].map(({ message: { topic, stamp } }) => [topic, stamp.at - at])).toEqual([
    ['stays', 9],
    ['deleted', 10],
  ]);
  disk.close();
});

test('the oldest deletions are forgotten when there are too many, of their namespace alone', async () => {
  const { keeper, store } = retainedNode();
  keeper.retain('other', message('deleted', '', { at: stampAt(TODAY), by: 1 }));
  for (let n = 0; n < DELETIONS.max * 1.2; n++) keeper.retain('d', message(`t/${n}`, '', { at: stampAt(TODAY) + 100 + n, by: 1 }));
  await store.sweep(0, TODAY);
  expect(store.replica('d')?.dead.size).toBe(DELETIONS.max);
  expect(store.replica('d')?.stampOf(`t/${DELETIONS.max * 0.2 - 1}`)).toBeNull();
  expect(store.replica('d')?.stampOf(`t/${DELETIONS.max * 0.2}`)).not.toBeNull();
  expect(store.replica('other')?.dead.size).toBe(1);
});

test('a time that is over a minute ahead is not believed, logged once, and counted; what the node publishes itself is newer than what it knows', () => {
  const { keeper, clock, content, lines } = retainedNode();
  const ahead = stampAt(TODAY + AHEAD_MS);
  keeper.retain('d', message('skewed', 'x', { at: ahead, by: 1 }));
  for (let n = 1; n < 4; n++) keeper.retain('d', message(`wrong/${n}`, 'x', { at: ahead + n, by: 1 }));
  expect(content()).toEqual({ skewed: 'x' });
  expect(keeper.count(NO_SYNC).cluster).toMatchObject({ ahead: 3 });
  expect(lines.filter(({ message: text }) => text.includes('clock is ahead'))).toHaveLength(1);
  const own = clock.next();
  expect(own.at).toBe(ahead + 1);
  expect(clock.next().at).toBe(ahead + 2);
  const answer = message('skewed', 'answer', own);
  answer.source = 1;
  keeper.retain('d', answer);
  expect(content()).toEqual({ skewed: 'answer' });
});

test('messages of a file without times, or with a time that is still to come, are older than any other; their content decides among them', () => {
  const disk = new MessageDisk(folder);
  disk.putRetained('d', message('without', 'old', { at: 0, by: 0 }));
  disk.putRetained('d', message('ahead', 'old', { at: stampAt(TODAY + 10 * AHEAD_MS), by: 1 }));
  disk.close();
  const file = new Database(join(folder, 'messages.db'));
  expect(file.pragma('user_version', { simple: true })).toBeGreaterThanOrEqual(8);
  file.close();
  const again = new MessageDisk(folder);
  const [one, other] = [retainedNode(), retainedNode()];
  for (const each of [one, other]) each.keeper.restore(again);
  expect(one.content()).toEqual({ without: 'old', ahead: 'old' });
  expect(one.store.replica('d')?.digest).toEqual(other.store.replica('d')?.digest);
  const known = one.store.replica('d')!.stampOf('without')!;
  expect(known).toMatchObject({ at: 0 });
  expect(known.by).toBeGreaterThan(0);
  for (const topic of ['without', 'ahead']) one.keeper.retain('d', message(topic, 'new', { at: stampAt(TODAY - 86_400_000), by: 1 }));
  expect(one.content()).toEqual({ without: 'new', ahead: 'new' });
  again.close();
});

test('without a cluster the last publish counts, whatever its time, and no deletion is remembered', () => {
  const store = new RetainedStore(null, NO_LIMIT);
  store.retain('d', message('a', 'first', { at: 9, by: 1 }));
  store.retain('d', message('a', 'second', { at: 8, by: 1 }));
  expect(contentOf(store)).toEqual({ a: 'second' });
  store.retain('d', message('a', '', { at: 7, by: 1 }));
  expect(contentOf(store)).toEqual({});
  expect(store.count().deletions).toBe(0);
});
