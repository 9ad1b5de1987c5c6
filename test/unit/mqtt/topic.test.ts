/** Rules of topic names and filters, their latin1 form, and matching. */

import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  checkTopicFilter,
  checkTopicName,
  fromLatin1,
  isValidTopicBytes,
  matchesFilter,
  parseSharedFilter,
  toLatin1,
} from '../../../src/mqtt/topic.ts';

const wellFormed = fc.string({ unit: 'binary' });
const name = fc.array(fc.constantFrom('a', 'b', '', '$s', 'é', '日本'), { minLength: 1, maxLength: 4 }).map((levels) => levels.join('/'));
const filter = fc
  .tuple(fc.array(fc.constantFrom('a', 'b', '', '$s', 'é', '+'), { minLength: 1, maxLength: 4 }), fc.boolean())
  .map(([levels, hash]) => levels.join('/') + (hash ? '/#' : ''));

describe('checkTopicName', () => {
  test.each(['a', '/', ' ', '$SYS/x', 'a//b', 'é', '\ufeff', 'x'.repeat(65_535)])('allows %j', (topic) => {
    expect(checkTopicName(topic)).toBe(true);
  });
  test.each(['', 'a\0', '+', 'a/#', 'a+b', '\ud800', 'a\udc00b', 'x'.repeat(65_536), 'é'.repeat(32_768)])('refuses %j', (topic) => {
    expect(checkTopicName(topic)).toBe(false);
  });
});

describe('checkTopicFilter', () => {
  test.each(['#', '+', '/', '/+', '+/', '+/+/#', 'a/#', 'a/+/b', '$SYS/#', 'é'.repeat(32_767)])('allows %j', (text) => {
    expect(checkTopicFilter(text)).toBe(true);
  });
  test.each(['', '##', '#/', 'a#', 'a/#/b', 'a/b#', '+a', 'a+', 'a/+b/c', '++', '+#', 'a\0', '\udfff', 'é'.repeat(32_768)])(
    'refuses %j',
    (text) => {
      expect(checkTopicFilter(text)).toBe(false);
    },
  );
});

describe('parseSharedFilter', () => {
  test.each([
    ['a/+', null, 'a/+'],
    ['$share/g/a/#', 'g', 'a/#'],
    ['$share/g//', 'g', '/'],
    ['$share/é/+', 'é', '+'],
    ['$queue/a', '$queue', 'a'],
    ['$queue/#', '$queue', '#'],
    ['$share', null, '$share'],
    ['$queue', null, '$queue'],
    ['$shared/g/a', null, '$shared/g/a'],
  ])('%j is group %j, filter %j', (text, group, rest) => {
    expect(parseSharedFilter(text)).toEqual({ group, filter: rest });
  });
  test.each(['', '$share/', '$share/g', '$share/g/', '$share//a', '$share/+/a', '$share/g/a#', '$share/#', '$queue/', '$queue/a#', 'a#'])(
    'refuses %j',
    (text) => {
      expect(parseSharedFilter(text)).toBeNull();
    },
  );
});

describe('latin1 form', () => {
  test('has one character per byte and comes back', () => {
    fc.assert(
      fc.property(wellFormed, (text) => {
        expect(toLatin1(text)).toBe(Buffer.from(text).toString('latin1'));
        expect(fromLatin1(toLatin1(text))).toBe(text);
      }),
    );
  });
});

describe('isValidTopicBytes', () => {
  test('agrees with checkTopicName for every text', () => {
    fc.assert(
      fc.property(wellFormed, (text) => {
        const bytes = Buffer.concat([Buffer.from('\0#'), Buffer.from(text), Buffer.from('+\0')]);
        expect(isValidTopicBytes(bytes, 2, bytes.length - 2)).toBe(checkTopicName(text));
      }),
    );
  });
  test.each(['ff', 'c3', 'c328', 'eda080', 'c0af', 'f4908080', '6100', '612b', '23', ''])('refuses bytes %s', (hex) => {
    const bytes = Buffer.from(hex, 'hex');
    expect(isValidTopicBytes(bytes, 0, bytes.length)).toBe(false);
  });
});

/** The rule of section 4.7 word for word, level by level. */
function matchesByLevels(text: string, topic: string): boolean {
  if (topic.startsWith('$') && /^[+#]/.test(text)) return false;
  const filters = text.split('/');
  const levels = topic.split('/');
  for (const [i, level] of filters.entries()) {
    if (level === '#') return true;
    if (i >= levels.length || (level !== '+' && level !== levels[i])) return false;
  }
  return filters.length === levels.length;
}

describe('matchesFilter', () => {
  test.each([
    ['sport/tennis/player1/#', 'sport/tennis/player1', true],
    ['sport/tennis/player1/#', 'sport/tennis/player1/ranking', true],
    ['sport/#', 'sport', true],
    ['sport/#', 'sports', false],
    ['#', 'a/b', true],
    ['#', '/', true],
    ['sport/+', 'sport', false],
    ['sport/+', 'sport/', true],
    ['+/+', '/finance', true],
    ['/+', '/finance', true],
    ['+', '/finance', false],
    ['+/tennis/#', 'x/tennis', true],
    ['ab', 'a/b', false],
    ['a/b', 'ab', false],
    ['a/b', 'a/bc', false],
    ['ACCOUNTS', 'Accounts', false],
    ['#', '$SYS/x', false],
    ['+/x', '$SYS/x', false],
    ['$SYS/#', '$SYS/x', true],
    ['$SYS/+', '$SYS/x', true],
    ['a/+', 'a/$x', true],
  ])('%j and %j: %j', (text, topic, expected) => {
    expect(matchesFilter(text, topic)).toBe(expected);
  });

  test('agrees with a comparison level by level, as text and in latin1 form', () => {
    fc.assert(
      fc.property(filter, name, (text, topic) => {
        const expected = matchesByLevels(text, topic);
        expect(matchesFilter(text, topic)).toBe(expected);
        expect(matchesFilter(toLatin1(text), toLatin1(topic))).toBe(expected);
      }),
      { numRuns: 2000 },
    );
  });
});
