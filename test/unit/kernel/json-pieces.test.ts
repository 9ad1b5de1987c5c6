/** Large documents in pieces: the same values as JSON.parse has, however the bytes are cut, and the same refusals. */

import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { FluxError } from '../../../src/kernel/errors.ts';
import { PieceReader, parseJson } from '../../../src/kernel/input/json-pieces.ts';

type Path = readonly (string | number)[];

/** Root, and what lies under `list`, one level deep. */
const descends = (path: Path) => path.length === 0 || (path.length === 1 && path[0] === 'list');

/** @param cut bytes of each chunk */
function read(text: string | Buffer, cut: number): [Path, unknown][] {
  const found: [Path, unknown][] = [];
  const reader = new PieceReader(descends, (path, value) => found.push([path, parseJson(value())]));
  const bytes = Buffer.from(text);
  for (let from = 0; from < bytes.length; from += cut) reader.write(bytes.subarray(from, from + cut));
  reader.end();
  return found;
}

function wanted(value: Record<string, unknown>): [Path, unknown][] {
  return Object.entries(value).flatMap(([key, part]): [Path, unknown][] => {
    if (key !== 'list' || typeof part !== 'object' || part === null) return [[[key], part]];
    return Array.isArray(part)
      ? part.map((one, index): [Path, unknown] => [[key, index], one])
      : Object.entries(part).map(([name, one]): [Path, unknown] => [[key, name], one]);
  });
}

describe('values', () => {
  test('of any document, cut anywhere, are those of JSON.parse', () => {
    const document = fc.record({ list: fc.oneof(fc.array(fc.jsonValue()), fc.jsonValue()), other: fc.jsonValue() });
    const property = fc.property(document, fc.integer({ min: 1, max: 40 }), fc.boolean(), (value, cut, isWide) => {
      // -0 is 0 in JSON.
      const plain = JSON.parse(JSON.stringify(value)) as Record<string, unknown>;
      expect(read(JSON.stringify(value, null, isWide ? 2 : 0), cut)).toEqual(wanted(plain));
    });
    fc.assert(property, { numRuns: 300 });
  });

  test('with a byte order mark, escapes and brackets in strings', () => {
    const text = '\ufeff {"list":["]}\\"", "\\\\", {"a":"}"}, [[]], -1.5e3, true] , "x":null}\r\n';
    for (let cut = 1; cut < 9; cut++)
      expect(read(text, cut)).toEqual([
        [['list', 0], ']}"'],
        [['list', 1], '\\'],
        [['list', 2], { a: '}' }],
        [['list', 3], [[]]],
        [['list', 4], -1500],
        [['list', 5], true],
        [['x'], null],
      ]);
    expect(read('7', 1)).toEqual([[[], 7]]);
  });
});

test('what is no JSON is refused, also when it is cut off', () => {
  const whole = '{"list":[1,{"a":2}],"b":"c"}';
  for (let end = 0; end < whole.length; end++) for (const cut of [1, 5]) expect(() => read(whole.slice(0, end), cut)).toThrow(FluxError);
  const broken = [
    '{"list":[1 2]}',
    '{"list":[1,]}',
    '{,}',
    '{"a" 1}',
    '{"a":1}}',
    '{"a":1} x',
    '[1',
    '{"a":tru}',
    "{'a':1}",
    '{"a":1,}',
    ']',
    '{"list":{1:2}}',
  ];
  for (const text of broken)
    for (const cut of [1, 100]) expect([text, () => read(text, cut)]).toEqual([text, expect.toSatisfy(throwsInvalid)]);
  expect(() => read(Buffer.from([0x22, 0xff, 0x22]), 1)).toThrow('not UTF-8');
});

function throwsInvalid(work: () => unknown): boolean {
  try {
    work();
  } catch (error) {
    return error instanceof FluxError && error.kind === 'invalid';
  }
  return false;
}
