/** A head from the past is refused; what stays in the past for long, or begins a new life, is the new truth. */

import { expect, test } from 'vitest';
import { Freshness } from '../../../src/storage/jetstream/freshness.ts';

const older = expect.objectContaining({ kind: 'unavailable' });

test('what is older than before is refused, also when it is nothing', () => {
  const freshness = new Freshness();
  freshness.check('', 0, 0);
  freshness.check('a', 5, 0);
  freshness.check('a', 9, 0);
  expect(() => freshness.check('a', 8, 100)).toThrow(older);
  expect(() => freshness.check('', 0, 200)).toThrow(older);
  freshness.check('a', 9, 300);
});

test('it is the truth after ten seconds in which nothing newer was seen', () => {
  const freshness = new Freshness();
  freshness.check('a', 9, 0);
  expect(() => freshness.check('a', 8, 1_000)).toThrow(older);
  freshness.check('a', 9, 9_000);
  expect(() => freshness.check('a', 8, 11_000)).toThrow(older);
  expect(() => freshness.check('a', 8, 20_900)).toThrow(older);
  freshness.check('a', 8, 21_100);
  freshness.check('a', 8, 21_200);
});

test('a bucket that was made anew is taken at once', () => {
  const freshness = new Freshness();
  freshness.check('a', 9, 0);
  freshness.check('b', 1, 100);
  expect(() => freshness.check('b', 0, 200)).toThrow(older);
});
