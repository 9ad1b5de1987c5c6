/** A member of a shared group that moves is counted by two workers for a moment, and chosen at its new place alone. */

import { expect, test } from 'vitest';
import type { Peer } from '../../../workers/shared/routing/peer.ts';
import { NO_MEMBERS, ShareGroup } from '../../../workers/shared/routing/share-group.ts';

const peer = (id: number): Peer => ({ id, isKnown: true, isOverloaded: false, publish() {}, publishRun() {} });
const AWAY = { connected: 0, away: 1, durable: 1 };

const chosen = (group: ShareGroup, times: number): (Peer | null)[] =>
  Array.from({ length: times }, () => group.choose(null) as Peer | null);

test('the old place is not chosen once the new one is known, unless nobody else is left', () => {
  const group = new ShareGroup('default', 'a', 'g');
  const [before, after] = [peer(1), peer(2)];
  group.setRemote(before, AWAY);
  group.setRemote(after, AWAY);
  group.memberMoves(before);
  expect(chosen(group, 3)).toEqual([after, after, after]);
  expect(group.choosePeer(7, null)).toBe(after);
  // The new place has ended.
  group.setRemote(after, NO_MEMBERS);
  expect(chosen(group, 2)).toEqual([before, before]);
});

test('other members of the old place keep their turns, and its next report ends the move', () => {
  const group = new ShareGroup('default', 'a', 'g');
  const [before, after] = [peer(1), peer(2)];
  group.setRemote(before, { connected: 0, away: 2, durable: 0 });
  group.setRemote(after, AWAY);
  group.memberMoves(before);
  expect(chosen(group, 4).filter((each) => each === before)).toHaveLength(2);
  group.setRemote(before, { connected: 0, away: 3, durable: 0 });
  expect(chosen(group, 4).filter((each) => each === before)).toHaveLength(3);
});
