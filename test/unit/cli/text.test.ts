/** Tables, suggestions and harmless output of the command line. */

import { expect, test } from 'vitest';
import { printTable } from '../../../src/cli/print/table.ts';
import { nearestWord } from '../../../src/cli/suggest.ts';
import { printable, type Terminal } from '../../../src/cli/terminal.ts';

function table(width: number | null, rows: string[][]): string[] {
  const lines: string[] = [];
  const terminal = { width, color: false, out: (text: string) => lines.push(text) } as unknown as Terminal;
  printTable(
    terminal,
    [
      { title: 'ID', flexible: true },
      { title: 'N', align: 'right' },
      { title: 'WHY', flexible: true },
    ],
    rows,
  );
  return lines;
}

test('columns are as wide as needed; empty cells show a dash; no line ends with spaces', () => {
  expect(
    table(null, [
      ['a', '1', ''],
      ['bcd', '20', 'x y'],
    ]),
  ).toEqual(['ID    N  WHY', 'a     1  -', 'bcd  20  x y']);
  expect(table(null, [])).toEqual(['ID  N  WHY']);
});

test('the widest flexible column is cut to the terminal; wide characters count twice', () => {
  expect(table(20, [['sensors', '7', 'a very long reason']])).toEqual(['ID       N  WHY', 'sensors  7  a very …']);
  expect(table(20, [['sensors', '7', '説明説明説明説明']])).toEqual(['ID       N  WHY', 'sensors  7  説明説…']);
});

test('what others have named cannot steer the terminal', () => {
  expect(printable('a\u001b[2Jb\nc\u202ed')).toBe('a\\u001b[2Jb\\u000ac\\u202ed');
  expect(table(null, [['\u001b[31mred', '1', '']])[1]).toBe('\\u001b[31mred  1  -');
});

test('suggestions: swapped, missing and wrong letters, nothing far away', () => {
  const known = ['list', 'get', 'remove', 'maxConnectionSize'];
  expect(nearestWord('lsit', known)).toBe('list');
  expect(nearestWord('remov', known)).toBe('remove');
  expect(nearestWord('MAXCONNECTIONSIZE', known)).toBe('maxConnectionSize');
  expect(nearestWord('maxConectonSize', known)).toBe('maxConnectionSize');
  expect(nearestWord('xyz', known)).toBeUndefined();
});
