/** CPU, heap and lag of the worker threads, asked at most once a second however many want to know. */

import { steadyNow } from '../../kernel/clock.ts';
import type { Commands } from '../../thread/messages.ts';
import type { WorkerHandle } from '../../thread/worker-handle.ts';

export type Usage = Commands['thread.usage']['result'];

/** Each worker counts since its last answer: shorter spans say nothing. */
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
