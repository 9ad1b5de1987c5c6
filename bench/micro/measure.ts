/** Measures one function: nanoseconds per call, as median and best of many rounds. */

const ROUNDS = 15;
const ROUND_MS = 30;

export interface Measured {
  name: string;
  /** nanoseconds per call */
  median: number;
  best: number;
}

/** Keeps the results of the functions: otherwise the compiler could drop their work. */
export const sink: { value: unknown } = { value: null };

/** @param work does the work `times` times */
export function measure(name: string, work: (times: number) => void): Measured {
  let times = 16;
  for (;;) {
    const took = timed(work, times);
    if (took >= ROUND_MS) break;
    times = took < 1 ? times * 8 : Math.ceil((times * ROUND_MS) / took) + 1;
  }
  const rounds: number[] = [];
  for (let i = 0; i < ROUNDS; i++) rounds.push((timed(work, times) * 1e6) / times);
  rounds.sort((a, b) => a - b);
  return { name, median: rounds[ROUNDS >> 1]!, best: rounds[0]! };
}

function timed(work: (times: number) => void, times: number): number {
  const startedAt = performance.now();
  work(times);
  return performance.now() - startedAt;
}
