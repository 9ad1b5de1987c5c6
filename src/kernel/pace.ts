/** The pace of work that comes in large lumps and need not be done at once: a slice of it, and then whatever else the thread has to do. */

import { steadyNow } from './clock.ts';

/** Milliseconds of such work in one loop iteration. */
const SLICE_MS = 10;

/** One piece of work's share of the thread. */
export class Pace {
  readonly #sliceMs: number;
  /** end of the slice, by steadyNow() */
  #until: number;

  /** Begins with a slice. @param sliceMs milliseconds */
  constructor(sliceMs = SLICE_MS) {
    this.#sliceMs = sliceMs;
    this.#until = steadyNow() + sliceMs;
  }

  /** The slice is over: go on with the next one, in a later loop iteration. */
  get isOver(): boolean {
    return steadyNow() >= this.#until;
  }

  /** Resolves in a later loop iteration, with a new slice. */
  async next(): Promise<void> {
    await new Promise((resolve) => setImmediate(resolve));
    this.#until = steadyNow() + this.#sliceMs;
  }
}
