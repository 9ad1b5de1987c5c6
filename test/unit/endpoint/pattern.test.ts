/** Patterns of filters: as V8 decides, in linear time; what could take longer is refused with its reason. */

import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { PATTERN_TEXT_MAX, Pattern, patternProblem } from '../../../src/endpoint/pattern/pattern.ts';

const whole = (source: string) => new RegExp(`^(?:${source})$`, 's');

describe('Pattern', () => {
  test.each([
    'device-.*',
    'a|bc|',
    '(a+)+',
    '(?:a|ab)(c|bcd)(d*)',
    'a{2}b{1,3}c{0,}d{0,2}',
    'x*?y+?z??',
    '[a-c\\d_-]+',
    '[^a]{2,}',
    '[]a]|[^]b',
    '\\x41\\u0042\\cJ?\\t?\\0?',
    '^a$|^$|a^b',
    '\\ba\\b b\\B',
    '(?<name>a)b',
    'a{|}|{1|]',
    '.\\.',
    '\\/\\-\\_\\@',
    '(a?){3}a{3}',
    '(|a)+b',
    '\\w+@\\w+\\.[a-z]{2,}',
    '((a|b)*c){2}',
    '\\S\\s\\D\\W',
    'é+ü?',
  ])('decides as V8 does: %s', (source) => {
    const [pattern, expression] = [new Pattern(source), whole(source)];
    const unit = fc.constantFrom(...'abcdxyzAB10_-@./ {}]\n\0é€');
    fc.assert(
      fc.property(fc.array(unit, { maxLength: 9 }), (units) => {
        const text = units.join('');
        expect([text, pattern.matches(text)]).toEqual([text, expression.test(text)]);
      }),
      { numRuns: 400 },
    );
  });

  test('decides as V8 does, whatever the expression', () => {
    const atom = fc.constantFrom('a', 'b', '.', '[ab]', '[^a]', '\\w', '\\b', '^', '$', '(a|b)', '(?:ab|)', '(b*)');
    const term = fc.tuple(atom, fc.constantFrom('', '', '*', '+', '?', '{2}', '{0,2}', '{1,}')).map(([one, many]) => {
      const isAssertion = one === '^' || one === '$' || one === '\\b';
      return isAssertion ? one : one + many;
    });
    const source = fc.array(term, { minLength: 1, maxLength: 5 }).map((terms) => terms.join(''));
    const either = fc.tuple(source, source).map(([one, other]) => `(?:${one}|${other}){0,2}`);
    fc.assert(
      fc.property(fc.oneof(source, either), fc.stringMatching(/^[abc ]{0,7}$/), (expression, text) => {
        expect([expression, text, new Pattern(expression).matches(text)]).toEqual([expression, text, whole(expression).test(text)]);
      }),
      { numRuns: 3000 },
    );
  });

  test.each([
    ['(?=device)(\\w+\\d*)+\\1-x', 'look-around (?= at character 1'],
    ['a(?!b)', 'look-around (?! at character 2'],
    ['(?<=a)b', 'look-around (?<= at character 1'],
    ['(?<!a)b', 'look-around (?<! at character 1'],
    ['(a)b\\1', 'back reference \\1 at character 5'],
    ['(?<n>a)\\k<n>', 'back reference \\k'],
    ['\\p{L}', 'the escape \\p'],
    ['(', 'Unterminated group'],
    ['a{600}', 'more than 512 states'],
    ['((a{30}){30})', 'more than 512 states'],
    ['((((?:){1000}){1000}){1000}){1000}', 'more than 512 states'],
    ['(?:){1000000000}', 'more than 512 states'],
    [`a${'|a'.repeat(600)}`, 'at most 1024 characters'],
  ])('refuses %s', (source, reason) => {
    expect(patternProblem(source)).toContain(reason);
  });

  /** Milliseconds of processor time that a match takes, the least of three: a busy machine does not count. */
  function cost(pattern: Pattern, text: string): number {
    const times = [0, 1, 2].map(() => {
      const before = process.cpuUsage();
      pattern.matches(text);
      const { user, system } = process.cpuUsage(before);
      return (user + system) / 1000;
    });
    return Math.min(...times);
  }

  // A few milliseconds each; V8 needs years for some of these.
  test.each([
    ['(a+)+', 'a'],
    ['(\\w+\\d*)+-x', 'a'],
    ['(a{1,15}){1,15}', 'a'],
    ['(.*a){100}', 'a'],
    ['(a|b)*a(a|b){120}', 'ab'],
    ['(.*.*.*.*.*.*)*x', 'a'],
  ])('takes no name for long: %s', (source, unit) => {
    const pattern = new Pattern(source);
    const name = (length: number) => `${unit.repeat(length / unit.length - 1)}!`;
    const quarter = cost(pattern, name(PATTERN_TEXT_MAX / 4));
    // Linear is 4 times as much, whatever the machine; the square of the length would be 16 times.
    expect(cost(pattern, name(PATTERN_TEXT_MAX))).toBeLessThan(10 * quarter + 5);
  });

  test('matches no name beyond the bound', () => {
    expect(new Pattern('a*').matches('a'.repeat(PATTERN_TEXT_MAX))).toBe(true);
    expect(new Pattern('a*').matches('a'.repeat(PATTERN_TEXT_MAX + 1))).toBe(false);
  });
});
