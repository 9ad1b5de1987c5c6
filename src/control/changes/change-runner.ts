/** Applies a change set on this node: binds everything, commits once, then activates. A failure before the commit undoes everything. */

import type { Endpoint } from '../../endpoint/endpoint.ts';
import { join } from '../../endpoint/problems.ts';
import { wallNow } from '../../kernel/clock.ts';
import { Deadline } from '../../kernel/deadline.ts';
import { FluxError, toWireError } from '../../kernel/errors.ts';
import type { Logger } from '../../kernel/logger.ts';
import type { ChangeMeta, CommitOptions } from '../../storage/endpoint-store.ts';
import type { ConfirmView, NodeOutcome } from '../contract/answers.ts';
import { type DrainRequest, NO_DRAIN } from '../contract/requests.ts';
import type { Driver, Prepared } from '../listening/driver.ts';
import type { EndpointSupervisors } from '../listening/endpoint-supervisors.ts';
import type { DesiredState } from '../state/desired-state.ts';
import { type ChangeSet, type JudgedChange, judge, keysOf, toStoreChanges } from './change-set.ts';
import { sideBySide } from './lanes.ts';
import type { Spreader } from './spreader.ts';

export interface ChangeRunnerOptions {
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

export class ChangeRunner {
  readonly #options: ChangeRunnerOptions;

  constructor(options: ChangeRunnerOptions) {
    this.#options = options;
  }

  /**
   * Applies the set. When it resolves, the set is durable, and this node listens accordingly or the outcome says what is still pending.
   * @throws FluxError when nothing was changed: `busy`, `exists`, `default-endpoint`, `invalid`, `port-in-use`, `unprocessable`, `timeout`,
   * `unavailable`; an error for DesiredState.onNewest() when another process was first
   */
  async apply(set: ChangeSet): Promise<Applied> {
    const { desired } = this.#options;
    const changes = await judge(set, desired);
    if (changes.length === 0 && set.adopts === null)
      return { revision: desired.revision, changes, nodes: [this.outcome('applied')], confirmUntil: null, warnings: [] };
    const keys = keysOf(changes);
    // From here on without a wait where nothing is held: what the set is based on is what is locked.
    desired.ensureBasis(changes, set.whole);
    if (!desired.waiting.isFree(keys, set.settles)) await desired.refuseWaiting(keys, set.settles);
    return desired.exclusively(keys, () => this.#run(set, changes));
  }

  /** Only writes the set to the store: for a node whose endpoints have not started yet. @throws FluxError as `apply` */
  async commit(set: ChangeSet): Promise<number> {
    const { desired } = this.#options;
    const changes = await judge(set, desired);
    if (changes.length === 0) return desired.revision;
    return desired.commit(toStoreChanges(changes), this.#meta(set), commitOptions(set));
  }

  /** Reports to the other nodes that a waiting change was confirmed, so that they do not undo it. */
  tellConfirmed(): void {
    const { spreader, desired } = this.#options;
    void spreader.spread(desired.revision, [], NO_DRAIN, 0);
  }

  /** The outcome of an endpoint without a change: its present state. */
  current(id: string): NodeOutcome {
    const supervisor = this.#options.supervisors.peek(id);
    if (supervisor?.state === 'failed') return this.outcome('failed', supervisor.lastError);
    return this.outcome(supervisor?.state === 'starting' ? 'pending' : 'applied');
  }

  outcome(state: NodeOutcome['state'], reason: string | null = null): NodeOutcome {
    return { node: this.#options.node, state, reason };
  }

  /** Each step undoes the ones before it when it fails; after the commit nothing is undone, but repaired. */
  async #run(set: ChangeSet, changes: JudgedChange[]): Promise<Applied> {
    const { desired, driver } = this.#options;
    const deadline = new Deadline(set.context.timeoutMs);
    const { adopts } = set;
    const jobs = changes.map((change): Job => ({ change, prepared: null, failure: null }));
    let revision: number;
    let confirmUntil: number | null;
    try {
      await this.#prepare(jobs, set.mustListen, deadline);
      deadline.check(
        changes.length === 1 ? `the change of endpoint ${changes[0]?.id}` : `the ${set.action} of ${changes.length} endpoints`,
      );
      if (set.context.policy === 'all') await this.#prepareEverywhere(changes, deadline);
      const options = commitOptions(set);
      confirmUntil = options.confirmUntil ?? null;
      const meta = this.#meta(set);
      revision = adopts === null ? await desired.commit(toStoreChanges(changes), meta, options) : await desired.adopt(adopts, meta);
    } catch (error) {
      const closing = new Deadline(set.context.timeoutMs);
      await Promise.all(jobs.map(({ prepared }) => prepared !== null && driver.discard(prepared, closing)));
      this.#reportRefused(set, changes, error);
      throw error;
    }
    const others = this.#spread(set, changes, revision, deadline);
    await this.#startAccepting(jobs, revision, deadline);
    const outcomes: NodeOutcome[] = [];
    await sideBySide(jobs, async (job) => void outcomes.push(await this.#activate(job, revision, set.options, deadline)));
    this.#report(set, changes, revision);
    const node = outcomes.find(({ state }) => state === 'failed') ?? outcomes.find(({ state }) => state === 'pending');
    const warnings = jobs.flatMap(({ change, prepared }) => (prepared?.warnings ?? []).map((text) => `Endpoint ${change.port}: ${text}`));
    return { revision, changes, nodes: [node ?? this.outcome('applied'), ...(await others)], confirmUntil, warnings };
  }

  /** The other nodes read the store while this node activates, because the announcement follows the commit. */
  #spread({ context, options }: ChangeSet, changes: JudgedChange[], revision: number, deadline: Deadline): Promise<NodeOutcome[]> {
    const { spreader, spreadTimeoutMs } = this.#options;
    const waitMs = context.wait === 'local' ? 0 : Math.min(deadline.leftMs, spreadTimeoutMs);
    return spreader.spread(
      revision,
      changes.map(({ id }) => id),
      options,
      waitMs,
    );
  }

  /** @throws FluxError `unprocessable`, `unavailable` when a node cannot listen as the set says */
  #prepareEverywhere(changes: JudgedChange[], deadline: Deadline): Promise<void> {
    const plans = changes.flatMap(({ id, after }) => (after?.enabled === true ? [planOf(id, after)] : []));
    return this.#options.spreader.prepareAll({ plans }, deadline.leftMs);
  }

  /** Opens all listeners, a few at a time. @throws FluxError naming every endpoint that fails, unless `mustListen` is false */
  async #prepare(jobs: Job[], mustListen: boolean, deadline: Deadline): Promise<void> {
    const { desired, driver, supervisors } = this.#options;
    const failed: Job[] = [];
    const holders = supervisors.byPort();
    await sideBySide(jobs, async (job) => {
      const { id, after, isAside } = job.change;
      if (isAside) return;
      // Within one set all ports fit together: who else of this node listens on one that is taken now is about to leave it.
      const others = after === null ? [] : (holders.get(after.port) ?? []);
      const leaving = others.flatMap((other) => (other.id !== id && after !== null && other.listensOn(after.port) ? [after.port] : []));
      try {
        job.prepared = await driver.prepare(id, after, desired.revision + 1, deadline, new Set(leaving));
      } catch (error) {
        job.failure = error;
        failed.push(job);
      }
    });
    if (failed.length > 0 && mustListen) throw bindFailure(failed, jobs.length);
  }

  /** Makes the new listeners accept before any listener stops. Keeps a failure for the outcome. */
  async #startAccepting(jobs: Job[], revision: number, deadline: Deadline): Promise<void> {
    const { driver } = this.#options;
    await sideBySide(jobs, async (job) => {
      const { id, after } = job.change;
      try {
        if (job.failure !== null) return;
        job.prepared ??= await driver.prepare(id, after, revision, deadline);
        await driver.startAccepting(job.prepared);
      } catch (error) {
        job.failure = error;
      }
    });
    const stuck = driver.stuck(jobs.flatMap(({ prepared, failure }) => (prepared === null || failure !== null ? [] : [prepared])));
    for (const job of jobs) if (job.prepared !== null && stuck.has(job.prepared)) job.failure = stuck.get(job.prepared);
  }

  async #activate({ change, prepared, failure }: Job, revision: number, drain: DrainRequest, deadline: Deadline): Promise<NodeOutcome> {
    const { driver, logger } = this.#options;
    const { id, port, isAside } = change;
    try {
      if (failure !== null || prepared === null) throw failure;
      await driver.activate(prepared, revision, drain, deadline);
      return this.outcome('applied');
    } catch (error) {
      const { message } = toWireError(error);
      logger.error(`Endpoint ${port} is stored but not yet applied: ${message}`, { endpoint: id, revision });
      this.#options.onUnapplied();
      // An endpoint that only lost isDefault serves its clients as before.
      return isAside ? this.outcome('applied') : this.outcome('pending', message);
    }
  }

  #meta({ action, source, options, context }: ChangeSet): ChangeMeta {
    const { actor, requestId } = context;
    return { action, actor, source, node: this.#options.node, requestId, reason: options.reason ?? context.reason };
  }

  #report({ action, context }: ChangeSet, changes: JudgedChange[], revision: number): void {
    const { logger } = this.#options;
    const { actor, requestId } = context;
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
  #reportRefused({ action, context }: ChangeSet, changes: JudgedChange[], error: unknown): void {
    const { desired, logger } = this.#options;
    if (desired.isOutdated(error)) return;
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

function commitOptions({ context, settles, whole }: ChangeSet): CommitOptions & { whole: number | null } {
  const { confirmWithinMs } = context;
  return {
    whole,
    ...(confirmWithinMs === undefined ? {} : { confirmUntil: wallNow() + confirmWithinMs }),
    ...(settles === null ? {} : { settles }),
  };
}

/** The `confirm` of an answer, when the revision waits. */
export function confirmViewOf({ revision, confirmUntil }: Applied): { confirm?: ConfirmView } {
  return confirmUntil === null ? {} : { confirm: { revision, until: new Date(confirmUntil).toISOString() } };
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
