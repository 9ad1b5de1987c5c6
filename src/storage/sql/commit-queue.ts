/** Commits of this process that wait for one another: those that come while one is written are written together, each as its own revision. */

import { steadyNow } from '../../kernel/clock.ts';
import { FluxError } from '../../kernel/errors.ts';
import type { ChangeMeta, CommitOptions, StoreChange } from '../contract.ts';
import type { UnavailableData } from '../failure-reason.ts';

/** What one caller wants to commit. */
export interface CommitRequest {
  changes: StoreChange[];
  expected: Record<string, number>;
  meta: ChangeMeta;
  options: CommitOptions;
}

/** The new revision, or why this one could not be made; the others are not concerned. */
export type CommitOutcome = number | FluxError;

export interface CommitQueueOptions {
  /**
   * Writes all in one transaction; ends by `end` (steadyNow()).
   * @throws FluxError when none of them is written, or when that is not known
   */
  write(requests: CommitRequest[], end: number): Promise<CommitOutcome[]>;
  /** a commit is answered within this time, milliseconds; a large one, see LARGE_CHANGES, within TIME_PER_CHANGE_MS more for each of its changes */
  timeMs: number;
  /** with less time left than this, writing is not begun */
  leastMs: number;
}

interface Job {
  request: CommitRequest;
  end: number;
  resolve(revision: number): void;
  reject(error: unknown): void;
}

/** A commit of more changes is written alone, so that nobody waits for it who could have been served before. */
const LARGE_CHANGES = 20;
/** Of a file with hundreds of endpoints: a server under load that works on it must not be taken for one that hangs. */
const TIME_PER_CHANGE_MS = 10;
const TIME_MAX_MS = 30_000;
/** Written together at most. */
const BATCH_MAX = 50;
/** Waiting at most; more are refused at once. */
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
    return isLarge(changes) ? Math.min(TIME_MAX_MS, timeMs + changes.length * TIME_PER_CHANGE_MS) : timeMs;
  }

  /** A large one alone, else all up to it. */
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
