/** One change set on this node: binds everything, commits once, then activates. A failure before the commit undoes everything. */

import type { Endpoint } from '../../endpoint/endpoint.ts';
import { join } from '../../endpoint/problems.ts';
import { wallNow } from '../../kernel/clock.ts';
import { Deadline } from '../../kernel/deadline.ts';
import { FluxError, toWireError } from '../../kernel/errors.ts';
import type { Logger } from '../../kernel/logger.ts';
import type { ChangeMeta, CommitOptions } from '../../storage/endpoint-store.ts';
import type { NodeOutcome } from '../contract/answers.ts';
import type { Driver, Prepared } from '../listening/driver.ts';
import type { EndpointSupervisors } from '../listening/endpoint-supervisors.ts';
import type { DesiredState } from '../state/desired-state.ts';
import { type ChangeSet, type JudgedChange, toStoreChanges } from './change-set.ts';
import { sideBySide } from './lanes.ts';
import type { Spreader } from './spreader.ts';

export interface ChangeTransactionOptions {
  desired: DesiredState;
  supervisors: EndpointSupervisors;
  driver: Driver;
  spreader: Spreader;
  /** longest wait for other nodes, milliseconds */
  spreadTimeoutMs: number;
  node: string;
  logger: Logger;
  /** called when an endpoint does not run as it is stored */
  onUnapplied(): void;
}

/** Result of a set. */
export interface Applied {
  /** the new revision; the newest known revision when nothing changed */
  revision: number;
  changes: JudgedChange[];
  /** this node first */
  nodes: NodeOutcome[];
  /** deadline of the confirmation, milliseconds since the epoch; null: no confirmation is needed */
  confirmUntil: number | null;
  /** warnings about logins and certificates */
  warnings: string[];
}

/** One change and its opened listeners. */
interface Job {
  change: JudgedChange;
  /** null: not opened yet, or the opening failed */
  prepared: Prepared | null;
  /** reason of the failure */
  failure: unknown;
}

/** Endpoints of one set that get a line each in the log. */
const LINES_MAX = 20;
/** Most keys of an endpoint that its line names. */
const KEYS_MAX = 10;
/** Most endpoints that an error message names; its issues name all. */
const NAMES_MAX = 3;

export class ChangeTransaction {
  readonly #options: ChangeTransactionOptions;
  readonly #set: ChangeSet;
  readonly #changes: JudgedChange[];
  readonly #jobs: Job[];
  readonly #deadline: Deadline;

  /** @param changes the changes of `set`, judged; at least one, or `set` adopts a history */
  constructor(options: ChangeTransactionOptions, set: ChangeSet, changes: JudgedChange[]) {
    this.#options = options;
    this.#set = set;
    this.#changes = changes;
    this.#jobs = changes.map((change) => ({ change, prepared: null, failure: null }));
    this.#deadline = new Deadline(set.context.timeoutMs);
  }

  /**
   * Runs once, while the keys of the changes are locked. Each step undoes the ones before it when it fails; after the commit nothing is
   * undone, but repaired.
   */
  async run(): Promise<Applied> {
    const { revision, confirmUntil } = await this.#commit();
    const others = this.#spread(revision);
    await this.#startAccepting(revision);
    const outcomes: NodeOutcome[] = [];
    await sideBySide(this.#jobs, async (job) => void outcomes.push(await this.#activate(job, revision)));
    this.#report(revision);
    const node = outcomes.find(({ state }) => state === 'failed') ?? outcomes.find(({ state }) => state === 'pending');
    const warnings = this.#jobs.flatMap(({ change, prepared }) =>
      (prepared?.warnings ?? []).map((text) => `Endpoint ${change.port}: ${text}`),
    );
    const nodes = [node ?? this.#outcome('applied'), ...(await others)];
    return { revision, changes: this.#changes, nodes, confirmUntil, warnings };
  }

  /** Opens all listeners and writes the set to the store. After a failure nothing stays open. */
  async #commit(): Promise<{ revision: number; confirmUntil: number | null }> {
    const { desired, driver, node } = this.#options;
    const [set, changes, deadline] = [this.#set, this.#changes, this.#deadline];
    const { adopts, context } = set;
    try {
      await this.#prepare();
      deadline.check(
        changes.length === 1 ? `the change of endpoint ${changes[0]?.id}` : `the ${set.action} of ${changes.length} endpoints`,
      );
      if (context.policy === 'all') await this.#prepareEverywhere();
      const options = commitOptions(set);
      const meta = metaOf(set, node);
      const revision = adopts === null ? await desired.commit(toStoreChanges(changes), meta, options) : await desired.adopt(adopts, meta);
      return { revision, confirmUntil: options.confirmUntil ?? null };
    } catch (error) {
      const closing = new Deadline(context.timeoutMs);
      await Promise.all(this.#jobs.map(({ prepared }) => prepared !== null && driver.discard(prepared, closing)));
      this.#reportRefused(error);
      throw error;
    }
  }

  /** The other nodes read the store while this node activates, because the announcement follows the commit. */
  #spread(revision: number): Promise<NodeOutcome[]> {
    const { spreader, spreadTimeoutMs } = this.#options;
    const { context, options } = this.#set;
    const waitMs = context.wait === 'local' ? 0 : Math.min(this.#deadline.leftMs, spreadTimeoutMs);
    const ids = this.#changes.map(({ id }) => id);
    return spreader.spread(revision, ids, options, waitMs);
  }

  /** @throws FluxError `unprocessable`, `unavailable` when a node cannot listen as the set says */
  #prepareEverywhere(): Promise<void> {
    const plans = this.#changes.flatMap(({ id, after }) => (after?.enabled === true ? [planOf(id, after)] : []));
    return this.#options.spreader.prepareAll({ plans }, this.#deadline.leftMs);
  }

  /** Opens all listeners, a few at a time. @throws FluxError naming every endpoint that fails, unless `mustListen` is false */
  async #prepare(): Promise<void> {
    const { desired, driver, supervisors } = this.#options;
    const failed: Job[] = [];
    const holders = supervisors.byPort();
    await sideBySide(this.#jobs, async (job) => {
      const { id, after, isAside } = job.change;
      if (isAside) return;
      // All ports of one set fit together: another endpoint of this node that still listens on a port of the set is about to leave it.
      const others = after === null ? [] : (holders.get(after.port) ?? []);
      const leaving = others.flatMap((other) => (other.id !== id && after !== null && other.listensOn(after.port) ? [after.port] : []));
      try {
        job.prepared = await driver.prepare(id, after, desired.revision + 1, this.#deadline, new Set(leaving));
      } catch (error) {
        job.failure = error;
        failed.push(job);
      }
    });
    if (failed.length > 0 && this.#set.mustListen) throw bindFailure(failed, this.#jobs.length);
  }

  /** Makes the new listeners accept before any listener stops. Keeps a failure for the outcome. */
  async #startAccepting(revision: number): Promise<void> {
    const { driver } = this.#options;
    await sideBySide(this.#jobs, async (job) => {
      const { id, after } = job.change;
      try {
        if (job.failure !== null) return;
        job.prepared ??= await driver.prepare(id, after, revision, this.#deadline);
        await driver.startAccepting(job.prepared);
      } catch (error) {
        job.failure = error;
      }
    });
    const stuck = driver.stuck(this.#jobs.flatMap(({ prepared, failure }) => (prepared === null || failure !== null ? [] : [prepared])));
    for (const job of this.#jobs) if (job.prepared !== null && stuck.has(job.prepared)) job.failure = stuck.get(job.prepared);
  }

  async #activate({ change, prepared, failure }: Job, revision: number): Promise<NodeOutcome> {
    const { driver, logger } = this.#options;
    const { id, port, isAside } = change;
    try {
      if (failure !== null || prepared === null) throw failure;
      await driver.activate(prepared, revision, this.#set.options, this.#deadline);
      return this.#outcome('applied');
    } catch (error) {
      const { message } = toWireError(error);
      logger.error(`Endpoint ${port} is stored but not yet applied: ${message}`, { endpoint: id, revision });
      this.#options.onUnapplied();
      // An endpoint that only lost isDefault serves its clients as before.
      return isAside ? this.#outcome('applied') : this.#outcome('pending', message);
    }
  }

  #outcome(state: NodeOutcome['state'], reason: string | null = null): NodeOutcome {
    return { node: this.#options.node, state, reason };
  }

  #report(revision: number): void {
    const { logger } = this.#options;
    const { action, context } = this.#set;
    const { actor, requestId } = context;
    const changes = this.#changes;
    if (changes.length > 1) logger.info(`Configuration: ${action} of ${changes.length} endpoints`, { revision, actor, requestId });
    for (const { id, port, kind, effect, changes: keys, before } of changes.slice(0, LINES_MAX)) {
      const line = kind === 'removed' ? `Endpoint ${port} was removed` : `Endpoint ${port}: ${action}`;
      logger.info(line, {
        endpoint: id,
        revision,
        actor,
        requestId,
        ...(kind === 'updated'
          ? { effect, keys: namesOf(keys), ...(before?.endpoint.port === port ? {} : { formerPort: before?.endpoint.port }) }
          : {}),
      });
    }
  }

  /** Logs a change that was refused, for later questions about it. */
  #reportRefused(error: unknown): void {
    const { desired, logger } = this.#options;
    if (desired.isOutdated(error)) return;
    const { action, context } = this.#set;
    const changes = this.#changes;
    const [first] = changes;
    const what = changes.length === 1 ? `Endpoint ${first?.port}: ${action}` : `Configuration: ${action} of ${changes.length} endpoints`;
    const { actor, requestId } = context;
    logger.warn(`${what} was not made: ${toWireError(error).message}`, {
      actor,
      requestId,
      ...(changes.length === 1 ? { endpoint: first?.id } : {}),
    });
  }
}

/** Changed keys without their values, which may be secret. */
function namesOf(keys: readonly { path: string }[]): string {
  const names = keys.slice(0, KEYS_MAX).map(({ path }) => path);
  return `${names.join(', ')}${keys.length > KEYS_MAX ? ` and ${keys.length - KEYS_MAX} more` : ''}`;
}

/** The facts that another node needs to try the listener. */
function planOf(id: string, { host, port, sslConfig }: Endpoint) {
  return { id, host, port, sslConfig: sslConfig.enabled ? sslConfig : null };
}

/** The description of the set in the history. */
export function metaOf({ action, source, options, context }: ChangeSet, node: string): ChangeMeta {
  const { actor, requestId } = context;
  return { action, actor, source, node, requestId, reason: options.reason ?? context.reason };
}

export function commitOptions({ context, settles, whole }: ChangeSet): CommitOptions & { whole: number | null } {
  const { confirmWithinMs } = context;
  return {
    whole,
    ...(confirmWithinMs === undefined ? {} : { confirmUntil: wallNow() + confirmWithinMs }),
    ...(settles === null ? {} : { settles }),
  };
}

/** For one endpoint the failure itself; for several, an error that names all. */
function bindFailure(failed: Job[], total: number): unknown {
  const [first] = failed;
  if (first === undefined || total === 1 || !(first.failure instanceof FluxError)) return first?.failure;
  const issues = failed.flatMap(({ change, failure }) => {
    const own = failure instanceof FluxError ? failure.issues : [];
    const known = own.length > 0 ? own : [{ path: 'port', message: toWireError(failure).message }];
    return known.map((issue) => ({ ...issue, path: join(change.path, issue.path) }));
  });
  const names = failed.slice(0, NAMES_MAX).map(({ change, failure }) => `endpoint ${change.id}: ${toWireError(failure).message}`);
  const more = failed.length > NAMES_MAX ? `; and ${failed.length - NAMES_MAX} more` : '';
  return new FluxError(first.failure.kind, `${names.join('; ')}${more}`, { issues, cause: first.failure });
}
