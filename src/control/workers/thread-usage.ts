/** CPU, heap and lag of the worker threads, requested at most once a second for any number of callers. */

import { steadyNow } from '../../kernel/clock.ts';
import type { Commands } from '../../thread/commands.ts';
import type { WorkerHandle } from '../../thread/worker-handle.ts';

export type Usage = Commands['thread.usage']['result'];

/** Age up to which a result is used again. A worker counts since its last result, and a shorter span says nothing. */
const FRESH_MS = 1_000;
const TIMEOUT_MS = 1_000;

export class ThreadUsageReader {
  readonly #known = new WeakMap<WorkerHandle, { at: number; usage: Promise<Usage | null> }>();

  /** Usage of one thread; null when it does not answer within a second. */
  of(worker: WorkerHandle): Promise<Usage | null> {
    const now = steadyNow();
    const known = this.#known.get(worker);
    if (known !== undefined && now - known.at < FRESH_MS) return known.usage;
    const usage = worker.call('thread.usage', {}, { timeoutMs: TIMEOUT_MS }).catch(() => null);
    this.#known.set(worker, { at: now, usage });
    return usage;
  }
}
