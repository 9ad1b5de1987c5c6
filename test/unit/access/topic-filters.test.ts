/** Covers and intersects, against the definition: all topics over a small alphabet. */

import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { filterCovers, filterMatches, filtersIntersect, toLevels } from '../../../src/endpoint/access/rules/topic-filters.ts';

/** Every topic of 1..4 levels, one more level and word than the filters have. The empty topic is among them: no filter is judged laxer for it. */
const WORDS = ['a', 'b', '', '$s', 'other'];
const TOPICS = [1, 2, 3, 4].flatMap((length) => {
  let topics: string[][] = [[]];
  for (let level = 0; level < length; level += 1) topics = topics.flatMap((topic) => WORDS.map((word) => [...topic, word]));
  return topics;
});

const filters = fc
  .tuple(fc.array(fc.constantFrom('a', 'b', '', '$s', '+'), { minLength: 0, maxLength: 3 }), fc.boolean())
  .map(([levels, hasHash]) => [...levels, ...(hasHash ? ['#'] : [])].join('/'))
  .filter((filter) => filter !== '');

/** The rule of the standard, written the plain way: a regular expression. */
function matchesByRegex(filter: string, topic: string): boolean {
  if (/^[+#]/.test(filter) && topic.startsWith('$')) return false;
  const escaped = filter.replaceAll('$', '\\$').replaceAll('+', '[^/]*');
  const source = escaped === '#' ? '.*' : escaped.replace(/\/#$/, '(/.*)?');
  return new RegExp(`^${source}$`).test(topic);
}

describe('topic filters', () => {
  test('match as the standard says', () => {
    fc.assert(
      fc.property(filters, fc.constantFrom(...TOPICS), (filter, topic) => {
        expect(filterMatches(toLevels(filter), topic)).toBe(matchesByRegex(filter, topic.join('/')));
      }),
      { numRuns: 2000 },
    );
  });

  test('cover exactly when no topic of the inner one is outside the outer one', () => {
    fc.assert(
      fc.property(filters, filters, (outer, inner) => {
        const [left, right] = [toLevels(outer), toLevels(inner)];
        const isCovered = TOPICS.every((topic) => !filterMatches(right, topic) || filterMatches(left, topic));
        expect([outer, inner, filterCovers(left, right)]).toEqual([outer, inner, isCovered]);
      }),
      { numRuns: 1500 },
    );
  });

  test('intersect exactly when a topic matches both', () => {
    fc.assert(
      fc.property(filters, filters, (one, other) => {
        const [left, right] = [toLevels(one), toLevels(other)];
        const hasCommon = TOPICS.some((topic) => filterMatches(left, topic) && filterMatches(right, topic));
        expect([one, other, filtersIntersect(left, right)]).toEqual([one, other, hasCommon]);
        expect(filtersIntersect(right, left)).toBe(hasCommon);
      }),
      { numRuns: 1500 },
    );
  });

  test.each([
    ['a/#', 'a', true],
    ['a/#', 'a/+/#', true],
    ['#', '$SYS/x', false],
    ['+/#', '#', true],
    ['a/+', 'a/#', false],
    ['a/+', 'a/b', true],
    ['a/b', 'a/+', false],
  ])('%s covers %s: %s', (outer, inner, wanted) => {
    expect(filterCovers(toLevels(outer), toLevels(inner))).toBe(wanted);
  });
});
