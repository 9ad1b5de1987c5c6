/** The queue of this process's commits. Commits that arrive during a write share the next transaction, each as a revision of its own. */

import { steadyNow } from '../../kernel/clock.ts';
import { FluxError } from '../../kernel/errors.ts';
import type { ChangeMeta, CommitOptions, StoreChange } from '../endpoint-store.ts';
import type { UnavailableData } from '../failure-reason.ts';

/** The commit that one caller asks for. */
export interface CommitRequest {
  changes: StoreChange[];
  expected: Record<string, number>;
  meta: ChangeMeta;
  options: CommitOptions;
}

/** The new revision, or the error of this one commit; the other commits of the batch are not affected. */
export type CommitOutcome = number | FluxError;

export interface CommitQueueOptions {
  /**
   * Writes all requests in one transaction; ends by `end` (steadyNow()).
   * @throws FluxError when none of them is written, or when the outcome is unknown
   */
  write(requests: CommitRequest[], end: number): Promise<CommitOutcome[]>;
  /** time limit of a commit, milliseconds; a commit above LARGE_CHANGES gets TIME_PER_CHANGE_MS more for each of its changes */
  timeMs: number;
  /** a write does not begin with less time left than this, milliseconds */
  leastMs: number;
}

interface Job {
  request: CommitRequest;
  end: number;
  resolve(revision: number): void;
  reject(error: unknown): void;
}

/** A commit with more changes is written alone, so that small commits do not wait for it. */
const LARGE_CHANGES = 20;
/** For files with hundreds of endpoints: a loaded server that works on one must not pass for a server that hangs. */
const TIME_PER_CHANGE_MS = 10;
const TIME_MS_MAX = 30_000;
/** Commits in one transaction. */
const BATCH_MAX = 50;
/** Commits that may wait; more are refused at once. */
const WAITING_MAX = 10_000;

export class CommitQueue {
  readonly #options: CommitQueueOptions;
  #waiting: Job[] = [];
  #isWriting = false;

  constructor(options: CommitQueueOptions) {
    this.#options = options;
  }

  /** @returns the new revision @throws FluxError as EndpointStore.commit does */
  add(request: CommitRequest): Promise<number> {
    if (this.#waiting.length >= WAITING_MAX) return Promise.reject(tooBusy('Too many changes wait for the store'));
    return new Promise<number>((resolve, reject) => {
      this.#waiting.push({ request, end: steadyNow() + this.#timeOf(request), resolve, reject });
      if (!this.#isWriting) void this.#writeAll();
    });
  }

  async #writeAll(): Promise<void> {
    this.#isWriting = true;
    while (this.#waiting.length > 0) {
      const latest = steadyNow() + this.#options.leastMs;
      const batch: Job[] = [];
      for (const job of this.#waiting.splice(0, this.#nextCount())) {
        if (job.end < latest) job.reject(tooBusy('The store did not get to this change in time: nothing was written'));
        else batch.push(job);
      }
      if (batch.length > 0) await this.#writeBatch(batch);
    }
    this.#isWriting = false;
  }

  #timeOf({ changes }: CommitRequest): number {
    const { timeMs } = this.#options;
    return isLarge(changes) ? Math.min(TIME_MS_MAX, timeMs + changes.length * TIME_PER_CHANGE_MS) : timeMs;
  }

  /** Size of the next batch: a large commit alone, otherwise all commits before the next large one. */
  #nextCount(): number {
    const large = this.#waiting.findIndex(({ request }) => isLarge(request.changes));
    return Math.min(BATCH_MAX, large < 0 ? BATCH_MAX : Math.max(1, large));
  }

  /** Never rejects. */
  async #writeBatch(jobs: Job[]): Promise<void> {
    const end = Math.min(...jobs.map((job) => job.end));
    try {
      const outcomes = await this.#options.write(
        jobs.map((job) => job.request),
        end,
      );
      for (const [index, job] of jobs.entries()) {
        const outcome = outcomes[index];
        if (typeof outcome === 'number') job.resolve(outcome);
        else job.reject(outcome);
      }
    } catch (error) {
      for (const job of jobs) job.reject(error);
    }
  }
}

function isLarge(changes: StoreChange[]): boolean {
  return changes.length > LARGE_CHANGES;
}

function tooBusy(message: string): FluxError {
  const data: UnavailableData = { reason: 'busy', outcome: 'nothing-written' };
  return new FluxError('unavailable', message, { data });
}
