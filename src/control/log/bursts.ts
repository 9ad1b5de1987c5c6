/** Bursts of equal warnings and errors: the first is written at once, the others become one line with their count. */

import type { LogFields, LogLevel } from '../../kernel/logger.ts';

/** Time from the first failure during which its repetitions are only counted. */
export const BURST_MS = 5_000;
/** Different failures whose repetitions are counted at once; every further failure is written. */
const BURSTS_MAX = 1_000;

type Sink = (level: LogLevel, message: string, fields: LogFields) => void;

interface Burst {
  level: LogLevel;
  message: string;
  repeated: number;
  timer: NodeJS.Timeout;
}

/** Writes the first of equal warnings and errors at once, and the others as one line with their count when the burst ends. */
export class BurstFilter {
  readonly #bursts = new Map<string, Burst>();
  readonly #sink: Sink;

  constructor(sink: Sink) {
    this.#sink = sink;
  }

  write(level: LogLevel, message: string, fields: LogFields): void {
    const canBurst = level === 'warn' || level === 'error';
    if (!canBurst || !this.#isRepetition(level, message)) this.#sink(level, message, fields);
  }

  /** Ends all bursts now. */
  flush(): void {
    for (const key of [...this.#bursts.keys()]) this.#end(key);
  }

  #isRepetition(level: LogLevel, message: string): boolean {
    const key = `${level} ${message}`;
    const burst = this.#bursts.get(key);
    if (burst !== undefined) {
      burst.repeated++;
      return true;
    }
    if (this.#bursts.size < BURSTS_MAX) {
      const timer = setTimeout(() => this.#end(key), BURST_MS);
      timer.unref();
      this.#bursts.set(key, { level, message, repeated: 0, timer });
    }
    return false;
  }

  #end(key: string): void {
    const burst = this.#bursts.get(key);
    if (burst === undefined) return;
    clearTimeout(burst.timer);
    this.#bursts.delete(key);
    if (burst.repeated > 0) this.#sink(burst.level, burst.message, { repeated: burst.repeated, withinMs: BURST_MS });
  }
}
