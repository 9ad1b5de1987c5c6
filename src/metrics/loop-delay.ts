/** How late the event loop of this thread is. */

import { createHistogram, type RecordableHistogram } from 'node:perf_hooks';
import { steadyNow } from '../kernel/clock.ts';

/**
 * How far in the future the probe is due, milliseconds. A block may be longer than its reported delay by this much. With 5 ms the probe
 * took 5 % of the CPU at 10,000 single messages a second.
 */
export const PROBE_MS = 10;
/** A delay over this counts as a block, milliseconds. */
const BLOCK_MS = 50;
const WINDOW_MS = 30_000;
const NANOSECONDS_PER_MS = 1e6;

/**
 * Delay of the event loop: input arms a timer, and the lateness of the timer is the time that other input would have waited. An idle thread
 * is never woken; `perf_hooks.monitorEventLoopDelay` would wake it a hundred times a second.
 */
export class LoopDelay {
  #current: RecordableHistogram = createHistogram();
  #before: RecordableHistogram = createHistogram();
  readonly #windowMs: number;
  #windowStart = steadyNow();
  #isArmed = false;
  #armedAt = 0;
  #timer: NodeJS.Timeout | null = null;
  #blocks = 0;

  /** @param windowMs delays are reported for the last one to two windows, milliseconds */
  constructor(windowMs = WINDOW_MS) {
    this.#windowMs = windowMs;
  }

  /** Reports work. Call it where input of any kind enters the thread; it costs a comparison while a timer is armed. */
  touch(): void {
    if (this.#isArmed) return;
    this.#isArmed = true;
    this.#armedAt = steadyNow();
    if (this.#timer === null) this.#timer = setTimeout(() => this.#fired(), PROBE_MS).unref();
    else this.#timer.refresh();
  }

  #fired(): void {
    this.#isArmed = false;
    const now = steadyNow();
    this.#turn(now);
    // The timer counts from the beginning of its loop iteration, which may lie before `#armedAt`.
    const late = Math.max(0, now - this.#armedAt - PROBE_MS);
    if (late > BLOCK_MS) this.#blocks++;
    this.#current.record(Math.max(1, Math.round(late * NANOSECONDS_PER_MS)));
  }

  #turn(now: number): void {
    const age = now - this.#windowStart;
    if (age < this.#windowMs) return;
    const empty = this.#before;
    empty.reset();
    if (age < 2 * this.#windowMs) {
      this.#before = this.#current;
      this.#current = empty;
    } else this.#current.reset();
    this.#windowStart = now;
  }

  /** Milliseconds over the last 30 to 60 s, and the number of blocks since the thread began; reading changes nothing. */
  read(): { p99: number; max: number; blocks: number } {
    this.#turn(steadyNow());
    const both = createHistogram();
    both.add(this.#before);
    both.add(this.#current);
    const isEmpty = both.count === 0;
    return {
      p99: isEmpty ? 0 : both.percentile(99) / NANOSECONDS_PER_MS,
      max: isEmpty ? 0 : both.max / NANOSECONDS_PER_MS,
      blocks: this.#blocks,
    };
  }
}

/** The delay of this thread. */
export const loopDelay = new LoopDelay();
