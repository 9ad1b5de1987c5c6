/** How long a thread reads its clients' input before it sends the results and polls all its sockets again. */

import { steadyNow } from '../clock.ts';
import { Fifo } from '../fifo.ts';

/** Milliseconds. A client waits little longer than this while others send a lot. */
const TURN_MS = 15;
/** Units of work, about one delivery each, between two readings of the clock. */
const CLOCK_UNITS = 256;
/** Bytes of input that may wait for a later turn. With more, the turn continues. */
const WAITING_MAX = 64 * 1024 * 1024;

/** A client with input left at the end of the turn. */
export interface TurnTaker {
  /** Continues with its input. */
  onTurn(): void;
}

/** The turn of one thread at the input of all its clients. */
export class ReadTurn {
  readonly #now: () => number;
  readonly #turnMs: number;
  /** units since the last reading of the clock */
  #units = 0;
  /** 0 until the clock is needed */
  #startedAt = 0;
  /** the time of this turn is over */
  #isOver = false;
  /** the time was over in this loop iteration: the waiting clients continue in the next one */
  #isResting = false;
  readonly #waiting = new Fifo<{ taker: TurnTaker; bytes: number }>();
  #waitingBytes = 0;

  /** @param now milliseconds @param turnMs milliseconds of a turn, above 0 */
  constructor(now: () => number = steadyNow, turnMs = TURN_MS) {
    this.#now = now;
    this.#turnMs = turnMs;
  }

  /** True when the time is over: a client with more input lets it wait. */
  get isOver(): boolean {
    return this.#isOver && this.#waitingBytes < WAITING_MAX;
  }

  /** Counts work. @returns isOver */
  worked(units: number): boolean {
    this.#units += units;
    if (this.#units < CLOCK_UNITS) return this.isOver;
    this.#units = 0;
    const now = this.#now();
    if (this.#startedAt === 0) this.#begin(now);
    else if (now - this.#startedAt >= this.#turnMs) this.#isOver = true;
    return this.isOver;
  }

  #begin(now: number): void {
    this.#startedAt = now;
    setImmediate(this.#next);
  }

  /** True when a taker waits for a later turn, or for its place in this one. */
  get hasWaiting(): boolean {
    return this.#waiting.length > 0;
  }

  /** Calls `taker` in a later turn, or later in this one while time is left, in the order of the calls. */
  wait(taker: TurnTaker, bytes: number): void {
    if (this.#startedAt === 0) this.#begin(this.#now());
    this.#waiting.push({ taker, bytes });
    this.#waitingBytes += bytes;
  }

  /** Runs in the check phase, after the reads of this loop iteration. */
  readonly #next = (): void => {
    if (this.#waiting.length === 0) {
      this.#isOver = false;
      this.#startedAt = 0;
      return;
    }
    setImmediate(this.#next);
    this.#isResting = this.#isOver && !this.#isResting;
    if (this.#isResting) return;
    // Waiting input belongs to this turn, as does the input read behind it.
    this.#isOver = false;
    this.#startedAt = this.#now();
    // A taker whose input has to wait again goes to the end.
    while (this.#waiting.length > 0 && !this.#isOver) {
      const { taker, bytes } = this.#waiting.shift()!;
      this.#waitingBytes -= bytes;
      taker.onTurn();
    }
  };
}

/** The turn of this thread. */
export const readTurn = new ReadTurn();
