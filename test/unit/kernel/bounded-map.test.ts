/** A bounded map: the oldest entry makes room, and a set makes an entry young again. */

import { expect, test } from 'vitest';
import { BoundedMap } from '../../../src/kernel/bounded-map.ts';

test('evicts the oldest entry for a new one', () => {
  const map = new BoundedMap<string, number>(2).set('a', 1).set('b', 2).set('c', 3);
  expect([...map]).toEqual([
    ['b', 2],
    ['c', 3],
  ]);
});

test('evicts nothing for a key that it has, and counts its age anew', () => {
  const map = new BoundedMap<string, number>(2).set('a', 1).set('b', 2).set('a', 3);
  expect([...map.keys()]).toEqual(['b', 'a']);
  map.get('b');
  map.set('c', 4);
  expect([...map]).toEqual([
    ['a', 3],
    ['c', 4],
  ]);
});

test('evicts nothing after a delete has made room, and takes undefined as a key', () => {
  const map = new BoundedMap<string | undefined, number>(2).set(undefined, 1).set('b', 2);
  map.delete('b');
  expect([...map.set('c', 3).keys()]).toEqual([undefined, 'c']);
  expect([...map.set('d', 4).keys()]).toEqual(['c', 'd']);
});
