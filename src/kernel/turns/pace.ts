/** The pace of large work that is not urgent: it runs in slices, and the thread does everything else between two slices. */

import { steadyNow } from '../clock.ts';

/** Milliseconds of such work in one loop iteration. */
const SLICE_MS = 10;

/** The share of the thread that one piece of work gets. */
export class Pace {
  readonly #sliceMs: number;
  /** end of the slice by steadyNow() */
  #until: number;
  /** resolves with the next slice, for all callers that share this pace */
  #resting: Promise<void> | null = null;

  /** The first slice begins now. @param sliceMs milliseconds */
  constructor(sliceMs = SLICE_MS) {
    this.#sliceMs = sliceMs;
    this.#until = steadyNow() + sliceMs;
  }

  /** True when the slice is over: continue in a later loop iteration. */
  get isOver(): boolean {
    return steadyNow() >= this.#until;
  }

  /** Resolves in a later loop iteration, with a new slice. Several callers at once get one slice, not one each. */
  next(): Promise<void> {
    this.#resting ??= new Promise((resolve) =>
      setImmediate(() => {
        this.#resting = null;
        this.#until = steadyNow() + this.#sliceMs;
        resolve();
      }),
    );
    return this.#resting;
  }
}

/** Maps all items with `make`, in slices. The first item never waits. */
export async function mapInTurns<T, R>(items: readonly T[], make: (item: T) => R): Promise<R[]> {
  const pace = new Pace();
  const made: R[] = [];
  for (const [index, item] of items.entries()) {
    if (index > 0 && pace.isOver) await pace.next();
    made.push(make(item));
  }
  return made;
}
