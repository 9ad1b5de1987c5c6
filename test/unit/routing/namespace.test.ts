/** The cache of topic entries is bounded by number and by length, and entries that were dropped go stale. */

import { expect, test } from 'vitest';
import { Namespace } from '../../../workers/routing/namespace.ts';

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
  // Who still holds an entry that was dropped finds out that it is not current any more.
  expect(namespace.isCurrent(first)).toBe(false);
});
