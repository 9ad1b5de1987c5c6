/** Work in steps: a generator that yields wherever its caller may stop for a while. */

export type Steps<T> = Generator<void, T>;

/** Runs all steps without a stop. @returns the result of the work */
export function toEnd<T>(steps: Steps<T>): T {
  for (;;) {
    const step = steps.next();
    if (step.done === true) return step.value;
  }
}
