/**
 * Loaded into every thread of a broker under test: a file controls its wall clock. The file `KIT_CLOCK` holds the milliseconds to add to
 * the machine's clock, or `at N`: a clock that starts at N with the process. The monotonic clock is unchanged, as on a real machine.
 */

import { readFileSync } from 'node:fs';

const RealDate = Date;
const file = process.env['KIT_CLOCK'] ?? '';
/** Shortest time between two reads of the file, milliseconds. */
const FRESH_MS = 10;
let text = '0';
let readAt = -FRESH_MS;

function now(): number {
  const at = performance.now();
  if (at - readAt >= FRESH_MS) {
    readAt = at;
    text = readFileSync(file, 'utf8').trim();
  }
  if (text.startsWith('at ')) return Number(text.slice(3)) + Math.floor(process.uptime() * 1000);
  return RealDate.now() + Number(text);
}

class WallDate extends RealDate {
  constructor(...given: [] | [string | number | Date]) {
    if (given.length === 0) super(now());
    else super(given[0]);
  }

  static override now(): number {
    return now();
  }
}

if (file !== '') globalThis.Date = WallDate as DateConstructor;
