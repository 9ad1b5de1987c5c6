/** Moments that outlive the process: a clock that continues over restarts, and the note on disk that makes that possible. */

import { steadyNow, wallNow } from './clock.ts';

/** This program did not exist before: an earlier wall clock has not been set (1970 or 2000 on a machine without a battery). */
export const EARLIEST_WALL_MS = Date.UTC(2026, 0, 1);
/** The longest time between two processes that counts: a year. One start with a wrong clock shortens a span by no more. */
export const AWAY_MS_MAX = 366 * 86_400_000;
/** The wall clock may drift from the steady clock by this much before a new note is written. */
const DRIFT_MS = 1_000;
/** The oldest that a note gets. A wall clock that has gone back lengthens a span by no more. */
export const NOTE_AGE_MS = 30_000;

/** A reading of the lasting clock and of the wall clock (`wall`) at one moment, in milliseconds. */
export interface ClockNote {
  lasting: number;
  wall: number;
}

/**
 * Time without a process between two readings of the wall clock, in milliseconds, 0..AWAY_MAX_MS. Returns 0 when the clock went back or
 * was not set at one of the readings.
 */
export function timeAway(before: number, now: number): number {
  if (before < EARLIEST_WALL_MS || now < EARLIEST_WALL_MS) return 0;
  return Math.min(AWAY_MS_MAX, Math.max(0, now - before));
}

/**
 * Follows the steady clock while the process lives, and moves ahead by timeAway() over a restart. Its first reading ever is the wall
 * clock's.
 */
export class LastingClock {
  /** lasting time minus steady time, whole milliseconds */
  readonly #offset: number;
  #note: ClockNote | null;

  /** @param note the last note on disk; null when there is none */
  constructor(note: ClockNote | null) {
    const wall = wallNow();
    const lasting = note === null ? Math.max(EARLIEST_WALL_MS, wall) : note.lasting + timeAway(note.wall, wall);
    this.#offset = Math.round(lasting - steadyNow());
    this.#note = note;
  }

  /** The moment for the disk, in whole milliseconds. 0 means "none" and stays 0. */
  toLasting(steady: number): number {
    return steady === 0 ? 0 : Math.round(steady + this.#offset);
  }

  /** The moment as steadyNow() counts it in this process. 0 means "none" and stays 0. */
  toSteady(lasting: number): number {
    return lasting === 0 ? 0 : lasting - this.#offset;
  }

  /**
   * The note to write now; null while the last one is good enough. Call it every second or more often.
   * @param ageMs the oldest that a note may get
   */
  due(ageMs = NOTE_AGE_MS): ClockNote | null {
    const note = { lasting: steadyNow() + this.#offset, wall: wallNow() };
    const kept = this.#note;
    if (kept === null) return note;
    const drift = Math.abs(note.lasting - note.wall - (kept.lasting - kept.wall));
    return drift >= DRIFT_MS || note.lasting - kept.lasting >= ageMs ? note : null;
  }

  /** To be called when the note has been written. */
  keep(note: ClockNote): void {
    this.#note = note;
  }
}
