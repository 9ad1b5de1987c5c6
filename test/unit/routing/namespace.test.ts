/** The cache of topic entries is bounded by number and by length, entries that were dropped go stale, and none keeps a session that has ended. */

import { expect, test } from 'vitest';
import { EMPTY, Message } from '../../../workers/shared/messages/message.ts';
import { Namespace } from '../../../workers/shared/routing/namespace.ts';
import { Router } from '../../../workers/shared/routing/router.ts';
import type { Subscriber } from '../../../workers/shared/routing/subscriber.ts';
import { collectGarbage } from '../../kit/garbage.ts';

/** Distinct topics of that many characters. */
const topics = (count: number, length: number) => Array.from({ length: count }, (_, index) => `${index}/`.padEnd(length, 'x'));

test('topics of ordinary length are kept by their number', () => {
  const namespace = new Namespace('default');
  const all = topics(2000, 60);
  for (const topic of all) namespace.entry(topic);
  expect(all.filter((topic) => namespace.known(topic) !== undefined)).toHaveLength(2000);
});

test('topics that are as long as a topic can be are kept within 16 MiB, whatever their number', () => {
  const namespace = new Namespace('default');
  const all = topics(2000, 65_535);
  const first = namespace.entry(all[0]!);
  let most = 0;
  for (const topic of all) {
    const entry = namespace.entry(topic);
    expect(entry.topic).toBe(topic);
    expect(namespace.isCurrent(entry)).toBe(true);
  }
  for (const topic of all) if (namespace.known(topic) !== undefined) most += topic.length;
  expect(most).toBeGreaterThan(0);
  expect(most).toBeLessThanOrEqual(16 * 1024 * 1024);
  // A holder of a dropped entry finds out that the entry is stale.
  expect(namespace.isCurrent(first)).toBe(false);
});

/** A subscriber that is only referred to from here and from the namespace. */
function subscriberOf(namespace: Namespace, filter: string): { gone: WeakRef<Subscriber>; end: () => void } {
  let subscriber: Subscriber | null = {
    key: filter,
    isConnected: true,
    isLeaving: false,
    isDurable: false,
    deliver: () => null,
    deliverRun: () => true,
  };
  namespace.subscribe(subscriber, {
    filter,
    group: null,
    qos: 1,
    noLocal: false,
    retainAsPublished: false,
    retainHandling: 0,
    identifier: 0,
  });
  return {
    gone: new WeakRef(subscriber),
    end() {
      namespace.unsubscribe(subscriber!, filter);
      subscriber = null;
    },
  };
}

test.each([
  ['exact', ''],
  ['wildcard', '/#'],
])('an entry that nobody uses any more keeps no session that has ended: %s filters', async (_name, suffix) => {
  const namespace = new Namespace('default');
  const all = topics(2_000, 20);
  const ended = all.map((topic) => {
    const { gone, end } = subscriberOf(namespace, topic + suffix);
    expect(namespace.entry(topic).targets).toHaveLength(1);
    end();
    return gone;
  });
  await collectGarbage();
  // The entries are found in turn, some with each loss.
  expect(ended.filter((each) => each.deref() !== undefined).length).toBeLessThan(all.length / 4);
});

test('an entry that was found before its topic lost a subscriber reaches the others', () => {
  const namespace = new Namespace('default');
  const router = new Router(1, { onPeerOverload() {}, onRetainedPublish() {} });
  const heard: string[] = [];
  const listener: Subscriber = {
    key: 'stays',
    isConnected: true,
    isLeaving: false,
    isDurable: false,
    deliver({ topic }) {
      heard.push(topic);
      return null;
    },
    deliverRun: () => true,
  };
  const subscription = {
    filter: 't',
    group: null,
    qos: 1,
    noLocal: false,
    retainAsPublished: false,
    retainHandling: 0,
    identifier: 0,
  } as const;
  namespace.subscribe(listener, subscription);
  const other = subscriberOf(namespace, 't');
  const entry = namespace.entry('t');
  other.end();
  expect(router.route(namespace, entry, new Message('t', EMPTY, 1, false, EMPTY, 0, '')).hasReceivers).toBe(true);
  expect(heard).toEqual(['t']);
});

test('the bytes of a topic keep nothing else in memory', () => {
  const { bytes } = new Namespace('default').entry('a/b');
  expect(bytes.toString()).toBe('a/b');
  expect(bytes.buffer.byteLength).toBe(3);
});
