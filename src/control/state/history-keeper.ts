/** Trims the history (`history.keep`, `history.keepDays`) in small steps, and knows the size of the store. */

import { wallNow } from '../../kernel/clock.ts';
import { pause } from '../../kernel/deadline.ts';
import { messageOf } from '../../kernel/errors.ts';
import type { Logger } from '../../kernel/logger.ts';
import type { NodeStore } from '../../storage/documents/document-store.ts';
import type { StoreSize } from '../../storage/endpoint-store.ts';
import type { DesiredState } from './desired-state.ts';

export interface HistoryKeeperOptions {
  store: NodeStore;
  desired: DesiredState;
  limits: { keep: number; keepDays: number };
  /** true while a backup reads the whole history */
  isRead: () => boolean;
  logger: Logger;
}

/** Interval of the checks for work. */
const LOOK_MS = 5_000;
/** Checks after which the history is trimmed without a change, because rows grow old. */
const IDLE_LOOKS = 720;
/** Pause between two steps, which leaves most of the thread's time to others. */
const STEP_PAUSE_MS = 20;
const DAY_MS = 86_400_000;

export class HistoryKeeper {
  readonly #options: HistoryKeeperOptions;
  readonly #timer: NodeJS.Timeout;
  #running: Promise<void> | null = null;
  #isClosed = false;
  /** the revision up to which the history is trimmed */
  #done = -1;
  #looks = 0;
  #size: StoreSize = { bytes: null, historyRows: null };
  #lastFailure = '';

  constructor(options: HistoryKeeperOptions) {
    this.#options = options;
    this.#timer = setInterval(() => this.#look(), LOOK_MS);
    this.#timer.unref();
  }

  /** Size at the last check. */
  get size(): StoreSize {
    return this.#size;
  }

  /** Resolves when the step under way has ended. */
  async close(): Promise<void> {
    this.#isClosed = true;
    clearInterval(this.#timer);
    await this.#running;
  }

  #look(): void {
    const { desired, isRead } = this.#options;
    this.#looks++;
    const isDue = desired.complete !== this.#done || this.#looks >= IDLE_LOOKS;
    if (this.#running !== null || !isDue || isRead()) return;
    this.#looks = 0;
    this.#running = this.#run(desired.complete).finally(() => {
      this.#running = null;
    });
  }

  async #run(revision: number): Promise<void> {
    const { store, desired, limits, isRead, logger } = this.#options;
    try {
      for (let isMore = true; isMore && !this.#isClosed && !isRead(); ) {
        const waiting = desired.waiting.list()[0]?.revision ?? Number.MAX_SAFE_INTEGER;
        isMore = await store.compact({ keep: limits.keep, since: wallNow() - limits.keepDays * DAY_MS, waiting });
        if (isMore) await pause(STEP_PAUSE_MS);
      }
      const { keep, keepDays } = limits;
      for (let isMore = true; isMore && !this.#isClosed; ) {
        isMore = await store.documents.compactDocuments({ keep, since: wallNow() - keepDays * DAY_MS });
        if (isMore) await pause(STEP_PAUSE_MS);
      }
      if (this.#isClosed) return;
      this.#size = await store.size();
      this.#done = revision;
      this.#lastFailure = '';
    } catch (error) {
      const reason = messageOf(error);
      // The next check tries again; the log names the reason once.
      if (reason !== this.#lastFailure && !this.#isClosed) logger.warn('ConfigSync: the history cannot be trimmed', { reason });
      this.#lastFailure = reason;
    }
  }
}
