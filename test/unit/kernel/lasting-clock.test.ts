/** Time over a restart: forward by the wall clock, within bounds; the steady clock alone while the process lives. */

import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { steadyNow } from '../../../src/kernel/clock.ts';
import { AWAY_MS_MAX, type ClockNote, EARLIEST_WALL_MS, LastingClock, NOTE_AGE_MS, timeAway } from '../../../src/kernel/lasting-clock.ts';

const HOUR = 3_600_000;
const DAY = 24 * HOUR;
/** a day in the life of the program */
const TODAY = EARLIEST_WALL_MS + 300 * DAY;

let wall = TODAY;
beforeEach(() => {
  wall = TODAY;
  vi.spyOn(Date, 'now').mockImplementation(() => wall);
});
afterEach(() => void vi.restoreAllMocks());

/** The note that a process would have written by now. */
function kept(clock: LastingClock, before: ClockNote | null): ClockNote {
  const due = clock.due();
  if (due !== null) clock.keep(due);
  const note = due ?? before;
  if (note === null) throw new Error('a new clock has nothing to keep');
  return note;
}

/** Milliseconds that a span of `ms`, begun before a restart in which the wall clock moves by `jump`, has left after it. */
function left(ms: number, jump: number, jumpWhileAlive = 0): number {
  const clock = new LastingClock(null);
  let note = kept(clock, null);
  const end = clock.toLasting(steadyNow() + ms);
  wall += jumpWhileAlive;
  note = kept(clock, note);
  wall += jump;
  return new LastingClock(note).toSteady(end) - steadyNow();
}

test.each([
  ['the clock advances', 5 * HOUR, 19 * HOUR],
  ['no time passes', 0, DAY],
  ['the clock has gone back', -HOUR, DAY],
  ['the clock has gone back by years', -3650 * DAY, DAY],
  ['the clock is at 1970', -TODAY + 10_000, DAY],
])('over a restart, %s', (_, jump, expected) => {
  expect(left(DAY, jump)).toBeCloseTo(expected, -4);
});

test.each([
  ['back', -HOUR],
  ['forward', HOUR],
  ['back by years', -4000 * DAY],
  ['forward by years', 4000 * DAY],
])('a clock that is set %s while the process lives takes nothing and gives nothing', (_, jump) => {
  expect(left(DAY, 0, jump)).toBeCloseTo(DAY, -4);
  wall = TODAY;
  expect(left(DAY, HOUR, 0)).toBeCloseTo(23 * HOUR, -4);
});

test('a machine without a battery: 1970 at the start, set while the process lives, an hour without it', () => {
  wall = 10_000;
  expect(left(DAY, HOUR, TODAY - 10_000)).toBeCloseTo(23 * HOUR, -4);
});

test('one that is set between two processes ends nothing', () => {
  for (const early of [10_000, 946_684_800_000]) {
    wall = early;
    expect(left(DAY, TODAY - early)).toBeCloseTo(DAY, -4);
  }
});

test('one wrong start takes a year at most', () => {
  expect(timeAway(TODAY, TODAY + 20 * AWAY_MS_MAX)).toBe(AWAY_MS_MAX);
  expect(left(2 * AWAY_MS_MAX, 20 * AWAY_MS_MAX)).toBeCloseTo(AWAY_MS_MAX, -4);
});

test('the time adds up over many restarts', () => {
  let note: ClockNote | null = null;
  const first = new LastingClock(null);
  note = kept(first, null);
  const begun = first.toLasting(steadyNow());
  for (let start = 0; start < 10; start++) {
    wall += HOUR;
    note = kept(new LastingClock(note), note);
  }
  expect(steadyNow() - new LastingClock(note).toSteady(begun)).toBeCloseTo(10 * HOUR, -4);
});

test('what is kept is kept again when the wall clock has left it, and when it is old', () => {
  const clock = new LastingClock(null);
  const note = kept(clock, null);
  expect(clock.due()).toBeNull();
  wall += 500;
  expect(clock.due()).toBeNull();
  wall += 5_000;
  expect(clock.due()).toMatchObject({ wall: note.wall + 5_500 });
  expect(kept(clock, note)).not.toBe(note);
  expect(clock.due()).toBeNull();
  vi.spyOn(performance, 'now').mockReturnValue(performance.now() + NOTE_AGE_MS);
  wall += NOTE_AGE_MS;
  expect(clock.due()).not.toBeNull();
});

test('0 stands for none, in both directions, and a file without a note is of the wall clock', () => {
  const clock = new LastingClock(null);
  expect([clock.toLasting(0), clock.toSteady(0)]).toEqual([0, 0]);
  expect(steadyNow() - clock.toSteady(TODAY - HOUR)).toBeCloseTo(HOUR, -4);
});
