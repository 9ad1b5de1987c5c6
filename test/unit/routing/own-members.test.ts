/** Members of this node before those of other nodes (`cluster.sharedSubscriptions: local`): of each kind, and at each place. */

import { expect, test } from 'vitest';
import type { Peer } from '../../../workers/shared/routing/peer.ts';
import { ShareGroup } from '../../../workers/shared/routing/share-group.ts';

const peer = (id: number): Peer => ({ id, isKnown: true, isOverloaded: false, publish() {}, publishRun() {} });

test('connected ones of this node, of others, then those that are away, here first', () => {
  const group = new ShareGroup('default', 'a', 'g');
  const [one, two, relay] = [peer(1), peer(2), peer(3)];
  const chosen = (far: Peer | null) => new Set(Array.from({ length: 12 }, () => group.choose(null, far)));
  const counts = (connected: number, away: number) => ({ connected, away, durable: 0 });
  group.setRemote(relay, counts(5, 1));
  group.setRemote(one, counts(1, 0));
  group.setRemote(two, counts(2, 0));
  expect(chosen(null)).toEqual(new Set([one, two, relay]));
  expect(chosen(relay)).toEqual(new Set([one, two]));
  // The one that was chosen has no member any more.
  expect(group.choose(one, relay)).toBe(two);
  for (const each of [one, two]) group.setRemote(each, counts(0, 1));
  expect(chosen(relay)).toEqual(new Set([relay]));
  group.setRemote(relay, counts(0, 5));
  expect(chosen(relay)).toEqual(new Set([one, two]));
  expect(chosen(null)).toEqual(new Set([one, two, relay]));
});
