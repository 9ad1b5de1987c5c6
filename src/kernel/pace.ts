/** The pace of large work that may take its time: it runs in slices, and the thread does everything else between two of them. */

import { steadyNow } from './clock.ts';

/** Milliseconds of such work in one loop iteration. */
const SLICE_MS = 10;

/** The share of the thread that one piece of work gets. */
export class Pace {
  readonly #sliceMs: number;
  /** end of the slice by steadyNow() */
  #until: number;

  /** The first slice begins now. @param sliceMs milliseconds */
  constructor(sliceMs = SLICE_MS) {
    this.#sliceMs = sliceMs;
    this.#until = steadyNow() + sliceMs;
  }

  /** True when the slice is over: continue in a later loop iteration. */
  get isOver(): boolean {
    return steadyNow() >= this.#until;
  }

  /** Resolves in a later loop iteration, with a new slice. */
  async next(): Promise<void> {
    await new Promise((resolve) => setImmediate(resolve));
    this.#until = steadyNow() + this.#sliceMs;
  }
}
