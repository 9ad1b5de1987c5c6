/** How long a thread works on its clients' input before it sends what came of it and looks at all its sockets anew. */

import { steadyNow } from '../clock.ts';
import { Fifo } from '../fifo.ts';

/** Milliseconds. Not much longer than this waits whoever has something to say while others have a lot. */
const TURN_MS = 15;
/** Units of work, about one delivery each, after which the clock is read. */
const CLOCK_UNITS = 256;
/** Input that may wait for a later turn, bytes; with more, the turn goes on. */
const WAITING_MAX = 64 * 1024 * 1024;

/** Who has input left when the turn is over. */
export interface TurnTaker {
  /** Goes on with its input. */
  onTurn(): void;
}

/** The turn of one thread at all its clients' input. */
export class ReadTurn {
  readonly #now: () => number;
  /** since the clock was read */
  #units = 0;
  /** 0: no clock was needed yet */
  #startedAt = 0;
  /** the time is up */
  #isOver = false;
  /** the time was up in this loop iteration: who waits goes on in the next one */
  #isResting = false;
  readonly #waiting = new Fifo<{ taker: TurnTaker; bytes: number }>();
  #waitingBytes = 0;

  /** @param now milliseconds */
  constructor(now: () => number = steadyNow) {
    this.#now = now;
  }

  /** The time is up: who has more input lets it wait. */
  get isOver(): boolean {
    return this.#isOver && this.#waitingBytes < WAITING_MAX;
  }

  /** Counts work that was done. @returns isOver */
  worked(units: number): boolean {
    this.#units += units;
    if (this.#units < CLOCK_UNITS) return this.isOver;
    this.#units = 0;
    const now = this.#now();
    if (this.#startedAt === 0) {
      this.#startedAt = now;
      setImmediate(this.#next);
    } else if (now - this.#startedAt >= TURN_MS) this.#isOver = true;
    return this.isOver;
  }

  /** Calls `taker` in a later turn, in the order in which they came. */
  wait(taker: TurnTaker, bytes: number): void {
    this.#waiting.push({ taker, bytes });
    this.#waitingBytes += bytes;
  }

  /** In the check phase, behind what was read in this loop iteration. */
  readonly #next = (): void => {
    if (this.#waiting.length === 0) {
      this.#isOver = false;
      this.#startedAt = 0;
      return;
    }
    setImmediate(this.#next);
    this.#isResting = this.#isOver && !this.#isResting;
    if (this.#isResting) return;
    // What waits belongs to this turn, and so does what is read behind it.
    this.#isOver = false;
    this.#startedAt = this.#now();
    // Who lets some of its input wait again stands at the end.
    for (let left = this.#waiting.length; left > 0 && !this.#isOver; left--) {
      const { taker, bytes } = this.#waiting.shift()!;
      this.#waitingBytes -= bytes;
      taker.onTurn();
    }
  };
}

/** Of this thread. */
export const readTurn = new ReadTurn();
