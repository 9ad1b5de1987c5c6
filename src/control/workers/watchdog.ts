/** Finds worker threads whose event loop is blocked, reports them, and replaces those that can be replaced. */

import { steadyNow } from '../../kernel/clock.ts';
import type { Logger } from '../../kernel/logger.ts';
import { readHeartbeat } from '../../thread/heartbeat.ts';
import type { WorkerHandle } from '../../thread/worker-handle.ts';

const CHECK_MS = 1_000;
/** No pass of a working event loop takes longer than this. */
const BLOCKED_MS = 5_000;
/** A longer block costs the worker and its clients' connections; a shorter one may end by itself and only costs them time. */
const REPLACE_MS = 10_000;
/** A check later than this shows that this thread, or the whole machine, was blocked. */
const LATE_MS = 3_000;

export interface WatchdogOptions {
  /** every living thread */
  workers(): WorkerHandle[];
  /** true when the thread may be terminated while it runs; false where other endpoints share it */
  isReplaceable(worker: WorkerHandle): boolean;
  logger: Logger;
}

interface Pulse {
  beats: number;
  /** steady milliseconds */
  movedAt: number;
  isBlocked: boolean;
}

export class Watchdog {
  readonly #options: WatchdogOptions;
  readonly #timer: NodeJS.Timeout;
  #pulses = new Map<WorkerHandle, Pulse>();
  #checkedAt = steadyNow();
  #total = 0;

  constructor(options: WatchdogOptions) {
    this.#options = options;
    this.#timer = setInterval(() => this.check(steadyNow()), CHECK_MS);
  }

  close(): void {
    clearInterval(this.#timer);
  }

  /** Threads that are blocked now. */
  get blocked(): WorkerHandle[] {
    return [...this.#pulses].flatMap(([worker, { isBlocked }]) => (isBlocked ? [worker] : []));
  }

  /** How often a thread was found blocked. */
  get total(): number {
    return this.#total;
  }

  /** @param now steady milliseconds */
  check(now: number): void {
    const isLate = now - this.#checkedAt > LATE_MS;
    this.#checkedAt = now;
    const pulses = new Map<WorkerHandle, Pulse>();
    for (const worker of this.#options.workers()) {
      if (!worker.isUsable) continue;
      const beats = readHeartbeat(worker.boot.heartbeat);
      const before = this.#pulses.get(worker);
      const hasMoved = before === undefined || before.beats !== beats || isLate;
      const pulse = hasMoved ? { beats, movedAt: now, isBlocked: false } : before;
      pulses.set(worker, pulse);
      if (before?.isBlocked === true && hasMoved) {
        this.#options.logger.warn(`${worker.name} runs again after ${seconds(now - before.movedAt)} s`);
      }
      if (!hasMoved) this.#judge(worker, pulse, now);
    }
    this.#pulses = pulses;
  }

  #judge(worker: WorkerHandle, pulse: Pulse, now: number): void {
    const stoodMs = now - pulse.movedAt;
    if (pulse.isBlocked) {
      if (stoodMs > REPLACE_MS && this.#options.isReplaceable(worker))
        worker.abandon(`its event loop stood still for ${seconds(stoodMs)} s`);
      return;
    }
    if (stoodMs <= BLOCKED_MS) return;
    pulse.isBlocked = true;
    this.#total++;
    const replaced = this.#options.isReplaceable(worker) ? `; it is replaced after ${REPLACE_MS / 1000} s` : '';
    this.#options.logger.error(`${worker.name} is blocked: its event loop has stood still for ${seconds(stoodMs)} s${replaced}`);
  }
}

function seconds(ms: number): string {
  return (ms / 1000).toFixed(1);
}
