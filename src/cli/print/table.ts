/** Prints columns: as wide as their contents, cut to the width of a terminal. */

import { paint, printable, type Terminal } from '../terminal.ts';

export interface Column {
  title: string;
  align?: 'right';
  /** whether the column may be cut in a narrow terminal; the widest such column is cut first */
  flexible?: true;
}

const GAP = '  ';
/** Narrowest width of a cut column. */
const NARROWEST = 8;

/** Display width of a text; East Asian wide characters and emoji count twice. */
function widthOf(text: string): number {
  let width = 0;
  for (const character of text)
    width +=
      /\p{Extended_Pictographic}|[\u1100-\u115f\u2e80-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6]/u.test(
        character,
      )
        ? 2
        : 1;
  return width;
}

function cut(text: string, width: number): string {
  if (widthOf(text) <= width) return text;
  let kept = '';
  for (const character of text) {
    if (widthOf(kept + character) > width - 1) break;
    kept += character;
  }
  return `${kept}…`;
}

function pad(text: string, width: number, column: Column): string {
  const space = ' '.repeat(Math.max(0, width - widthOf(text)));
  return column.align === 'right' ? space + text : text + space;
}

/** Widths of the columns, cut until the line fits. */
function columnWidths(columns: readonly Column[], cells: readonly string[][], terminalWidth: number | null): number[] {
  const widths = columns.map(({ title }, index) => Math.max(widthOf(title), ...cells.map((row) => widthOf(row[index] ?? ''))));
  const total = (): number => widths.reduce((sum, width) => sum + width, GAP.length * (widths.length - 1));
  while (terminalWidth !== null && total() > terminalWidth) {
    const widest = columns.reduce((best, column, index) => {
      const isCandidate = column.flexible === true && widths[index]! > NARROWEST;
      return isCandidate && (best < 0 || widths[index]! > widths[best]!) ? index : best;
    }, -1);
    if (widest < 0) break;
    widths[widest]!--;
  }
  return widths;
}

/** Prints a table with a line of titles; without rows only the titles. */
export function printTable(terminal: Terminal, columns: readonly Column[], rows: readonly (readonly string[])[]): void {
  const cells = rows.map((row) => row.map((cell) => (cell === '' ? '-' : printable(cell))));
  const widths = columnWidths(columns, cells, terminal.width);
  const line = (row: readonly string[]): string =>
    columns
      .map((column, index) => pad(cut(row[index] ?? '', widths[index]!), widths[index]!, column))
      .join(GAP)
      .trimEnd();
  terminal.out(paint(terminal, 'bold', line(columns.map(({ title }) => title))));
  for (const row of cells) terminal.out(colorStates(terminal, line(row)));
}

const STATES: readonly [RegExp, 'green' | 'red' | 'yellow' | 'dim'][] = [
  [/(?<= )(running|listening|applied)(?= |$)/, 'green'],
  [/(?<= )(failed|not listening)(?= |$)/, 'red'],
  [/(?<= )(starting|draining|pending)(?= |$)/, 'yellow'],
  [/(?<= )(stopped|disabled)(?= |$)/, 'dim'],
];

function colorStates(terminal: Terminal, line: string): string {
  if (!terminal.color) return line;
  return STATES.reduce((text, [pattern, color]) => text.replace(pattern, (word) => paint(terminal, color, word)), line);
}

/** Prints names and values in two columns. */
export function printPairs(terminal: Terminal, pairs: readonly (readonly [string, string])[]): void {
  const width = Math.max(0, ...pairs.map(([name]) => widthOf(name)));
  for (const [name, value] of pairs) terminal.out(`${name}${' '.repeat(width - widthOf(name))}${GAP}${printable(value)}`);
}
