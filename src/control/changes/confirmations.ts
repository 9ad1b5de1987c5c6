/** Undoes changes that nobody confirmed in time, including those of an earlier process. */

import { Backoff } from '../../kernel/backoff.ts';
import { steadyNow } from '../../kernel/clock.ts';
import { toWireError } from '../../kernel/errors.ts';
import type { Logger } from '../../kernel/logger.ts';
import type { HistoryRow } from '../../storage/endpoint-store.ts';
import type { ConfirmAnswer } from '../contract/answers.ts';
import { NO_DRAIN, type RequestContext } from '../contract/request-parts.ts';
import type { DesiredState } from '../state/desired-state.ts';
import { readConfirm } from './change-body.ts';
import type { ChangeRunner } from './change-runner.ts';
import type { ChangeSet, EndpointChange } from './change-set.ts';

export interface ConfirmationOptions {
  desired: DesiredState;
  changes: ChangeRunner;
  logger: Logger;
}

const UNDO_TIMEOUT_MS = 30_000;

export class Confirmations {
  readonly #options: ConfirmationOptions;
  readonly #undoing = new Map<number, Promise<void>>();
  /** revisions whose undoing failed, with the moment of the next attempt by steadyNow() */
  readonly #failed = new Map<number, { backoff: Backoff; retryAt: number }>();
  #timer: NodeJS.Timeout | null = null;
  #isRunning = false;

  constructor(options: ConfirmationOptions) {
    this.#options = options;
    options.desired.waiting.changed.subscribe(() => this.#schedule());
  }

  /**
   * Undoes, only in the store, the changes that came due while no process ran; for a node whose endpoints have not started yet. start()
   * tries failures again.
   */
  async undoOverdue(): Promise<void> {
    const { desired, changes } = this.#options;
    for (const { revision } of desired.waiting.list().filter(({ dueAt }) => dueAt <= steadyNow())) {
      await this.#attempt(revision, async (set) => void (await changes.commit(set)));
    }
  }

  /** Begins to watch the deadlines. */
  start(): void {
    this.#isRunning = true;
    this.#schedule();
  }

  /** Resolves when no undoing is under way. */
  async close(): Promise<void> {
    this.#isRunning = false;
    if (this.#timer !== null) clearTimeout(this.#timer);
    await Promise.all(this.#undoing.values());
  }

  /** Keeps the change. @throws FluxError `invalid`, `not-found` when no change of this revision waits, `unavailable` */
  async confirm(body: unknown, context: RequestContext): Promise<ConfirmAnswer> {
    const { desired, changes, logger } = this.#options;
    const revision = readConfirm(body);
    await desired.confirm(revision);
    changes.announceConfirmation();
    const { actor } = context;
    logger.info(`Configuration: revision ${revision} was confirmed`, { revision, actor, requestId: context.requestId });
    const rows = await desired.rowsOf(revision);
    return { revision, endpoints: rows.map(({ id, port }) => ({ id, port })), nodes: [changes.outcome('applied')], warnings: [] };
  }

  #schedule(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    if (!this.#isRunning) return;
    const moments = this.#open().map(({ at }) => at - steadyNow());
    if (moments.length === 0) return;
    this.#timer = setTimeout(() => this.#look(), Math.max(0, Math.min(...moments)));
  }

  /** Waiting revisions that are not being undone, each with the moment at which its undoing is due. */
  #open(): { revision: number; at: number }[] {
    return this.#options.desired.waiting
      .list()
      .filter(({ revision }) => !this.#undoing.has(revision))
      .map(({ revision, dueAt }) => ({ revision, at: Math.max(dueAt, this.#failed.get(revision)?.retryAt ?? 0) }));
  }

  #look(): void {
    for (const { revision } of this.#open().filter(({ at }) => at <= steadyNow())) {
      const apply = async (set: ChangeSet) => void (await this.#options.changes.apply(set));
      const ended = this.#attempt(revision, apply).finally(() => {
        this.#undoing.delete(revision);
        this.#schedule();
      });
      this.#undoing.set(revision, ended);
    }
    this.#schedule();
  }

  /** Never rejects: a failure is tried again. */
  async #attempt(revision: number, make: (set: ChangeSet) => Promise<void>): Promise<void> {
    const { desired, logger } = this.#options;
    try {
      await desired.onNewest(() => this.#undo(revision, make));
      this.#failed.delete(revision);
    } catch (error) {
      const backoff = this.#failed.get(revision)?.backoff ?? new Backoff();
      this.#failed.set(revision, { backoff, retryAt: steadyNow() + Math.max(1, backoff.failed()) });
      logger.error(`Configuration: revision ${revision} was not confirmed, and cannot be undone yet`, {
        reason: toWireError(error).message,
      });
    }
  }

  async #undo(revision: number, make: (set: ChangeSet) => Promise<void>): Promise<void> {
    const { desired, logger } = this.#options;
    const rows = await desired.rowsOf(revision);
    // Another node undid the change first, or a confirmation came.
    if (!desired.waiting.list().some((change) => change.revision === revision)) return;
    const set = this.#toSet(revision, rows);
    logger.warn(`Configuration: revision ${revision} was not confirmed in time and is undone`, {
      endpoints: set.changes.map(({ path }) => path),
    });
    if (set.changes.length > 0) await make(set);
    // Nothing had to be changed, so no commit has settled the revision.
    if (desired.waiting.list().some((change) => change.revision === revision)) await desired.confirm(revision);
  }

  #toSet(revision: number, rows: HistoryRow[]): ChangeSet {
    const { desired, logger } = this.#options;
    const changes = rows.flatMap(({ id, before, after }): EndpointChange[] => {
      const now = desired.byId(id) ?? null;
      const isUntouched = after === null ? now === null : now?.revision === revision;
      if (!isUntouched)
        logger.warn(`Configuration: endpoint ${id} was changed again after revision ${revision}, and stays`, { endpoint: id });
      return isUntouched && (now !== null || before !== null) ? [{ before: now, after: before, path: id }] : [];
    });
    const reason = `revision ${revision} was not confirmed in time`;
    return {
      action: 'rollback',
      source: 'rollback',
      changes,
      options: { ...NO_DRAIN, force: true, reason },
      context: {
        actor: 'system',
        source: 'file',
        requestId: `confirm-${revision}`,
        reason,
        expectedRevision: null,
        timeoutMs: UNDO_TIMEOUT_MS,
      },
      mustListen: false,
      whole: null,
      settles: revision,
      adopts: null,
    };
  }
}
