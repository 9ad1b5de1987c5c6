/** Moments that outlive the process: a clock that goes on over restarts, and what has to be kept so that it can. */

import { steadyNow, wallNow } from './clock.ts';

/** Nobody ran this program before: a wall clock that says so has not been set (1970 or 2000 on a machine without a battery). */
export const EARLIEST_WALL_MS = Date.UTC(2026, 0, 1);
/** The longest time without a process that counts: a year. So much, at most, does one wrong start take from a span. */
export const AWAY_MAX_MS = 366 * 86_400_000;
/** The wall clock may run away from the steady one by so much before that is kept. */
const DRIFT_MS = 1_000;
/** What is kept is no older than this: so much, at most, does a wall clock that is found to have gone back give to a span. */
export const NOTE_AGE_MS = 30_000;

/** What the lasting clock said when the wall clock said `wall`; both in milliseconds. */
export interface ClockNote {
  lasting: number;
  wall: number;
}

/**
 * How long no process ran, as two readings of the wall clock say; milliseconds, 0..AWAY_MAX_MS. A clock that went back, or that was not
 * set at one of the readings, says nothing: then no time has passed.
 */
export function timeAway(before: number, now: number): number {
  if (before < EARLIEST_WALL_MS || now < EARLIEST_WALL_MS) return 0;
  return Math.min(AWAY_MAX_MS, Math.max(0, now - before));
}

/**
 * While the process lives it runs by the steady clock alone. Over a restart it goes forward by timeAway(). Its first origin is the epoch,
 * by the wall clock of that moment.
 */
export class LastingClock {
  /** lasting time minus steady time, whole milliseconds */
  readonly #offset: number;
  #note: ClockNote | null;

  /** @param note what was kept last; null: nothing */
  constructor(note: ClockNote | null) {
    const wall = wallNow();
    const lasting = note === null ? Math.max(EARLIEST_WALL_MS, wall) : note.lasting + timeAway(note.wall, wall);
    this.#offset = Math.round(lasting - steadyNow());
    this.#note = note;
  }

  /** Whole milliseconds, for keeping; 0 stays 0: none. */
  toLasting(steady: number): number {
    return steady === 0 ? 0 : Math.round(steady + this.#offset);
  }

  /** What steadyNow() would have said, or will say; 0 stays 0. */
  toSteady(lasting: number): number {
    return lasting === 0 ? 0 : lasting - this.#offset;
  }

  /**
   * What has to be kept now; null: what is kept will do. To be asked every second or more often.
   * @param ageMs how old what is kept may be
   */
  due(ageMs = NOTE_AGE_MS): ClockNote | null {
    const note = { lasting: steadyNow() + this.#offset, wall: wallNow() };
    const kept = this.#note;
    if (kept === null) return note;
    const drift = Math.abs(note.lasting - note.wall - (kept.lasting - kept.wall));
    return drift >= DRIFT_MS || note.lasting - kept.lasting >= ageMs ? note : null;
  }

  /** The note is kept. */
  keep(note: ClockNote): void {
    this.#note = note;
  }
}
