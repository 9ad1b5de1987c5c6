/** Keeps this node in step with the store: reads the store when it may have changed, and applies differences through the driver. */

import { isDeepStrictEqual } from 'node:util';
import { foreignKeysOf } from '../../endpoint/secrets/foreign.ts';
import { Backoff } from '../../kernel/backoff.ts';
import { BoundedMap } from '../../kernel/bounded-map.ts';
import { steadyNow } from '../../kernel/clock.ts';
import { Deadline, pause } from '../../kernel/deadline.ts';
import { Emitter, type Subscribable } from '../../kernel/emitter.ts';
import { toWireError } from '../../kernel/errors.ts';
import type { Logger } from '../../kernel/logger.ts';
import type { StoredEndpoint } from '../../storage/endpoint-store.ts';
import type { EndpointRuntimeConfig } from '../../thread/commands.ts';
import { type DrainRequest, NO_DRAIN } from '../contract/request-parts.ts';
import type { DesiredState } from '../state/desired-state.ts';
import type { Driver, Prepared } from './driver.ts';
import type { EndpointSupervisors } from './endpoint-supervisors.ts';

export interface ReconcilerOptions {
  desired: DesiredState;
  driver: Driver;
  supervisors: EndpointSupervisors;
  logger: Logger;
  /** milliseconds between two reads of the store, 100.. */
  intervalMs: number;
  /** false: after the start the reconciler reads only when woken, and after a failure */
  isPeriodic: boolean;
  /** true when other processes may write to the store; false: it is read only after a failure */
  isShared: boolean;
}

/** One endpoint that does not run as the store says. */
interface Difference {
  id: string;
  /** null: the endpoint is no longer in the store */
  stored: StoredEndpoint | null;
}

/** The reason why an endpoint keeps an older configuration. */
interface Problem {
  revision: number;
  reason: string;
  backoff: Backoff;
  /** steady milliseconds */
  retryAt: number;
}

/** Numbers of the synchronisation with the store, since the start. */
export interface SyncNumbers {
  /** reads of the store */
  reads: number;
  readsFailed: number;
  /** endpoints brought to the state of the store, after a change by another node or an absence of the store */
  applied: number;
  /** failed attempts to do so */
  failed: number;
}

/** Longest pause of a timer. */
const FOR_EVER_MS = 2 ** 31 - 1;
/** Time for all endpoints of one round, including the start of workers. */
const APPLY_TIMEOUT_MS = 20_000;
/** Longest interval between two attempts while the store is away, so that the node catches up soon after its return. */
const AWAY_MS = 1_000;
/** Announced drains that are not applied yet; the oldest is evicted. */
const DRAINS_MAX = 10_000;
/** Wake-ups within this time count as one: a failing store sends several in a row. */
const WAKE_DELAY_MS = 20;

export class Reconciler {
  readonly #roundEnded = new Emitter();
  /** A round has ended: a read of the store, and the changes that followed. */
  readonly roundEnded: Subscribable = this.#roundEnded;
  readonly counts: SyncNumbers = { reads: 0, readsFailed: 0, applied: 0, failed: 0 };
  readonly #options: ReconcilerOptions;
  readonly #closing = new AbortController();
  readonly #problems = new Map<string, Problem>();
  #awake = new AbortController();
  #running: Promise<void> = Promise.resolve();
  #isAway = false;
  #isUrgent = false;
  #lastRevision = 0;
  #reached = 0;
  /** a difference was left out because a change of the endpoint is under way */
  #isSkipping = false;
  /** keys of newer versions that the log has reported, by id of the endpoint */
  readonly #foreign = new Map<string, string>();
  /** drain announced with a revision, by id of the endpoint */
  readonly #drains = new BoundedMap<string, { revision: number; drain: DrainRequest }>(DRAINS_MAX);

  constructor(options: ReconcilerOptions) {
    this.#options = options;
    options.desired.behind.subscribe(() => this.#awake.abort());
    options.desired.released.subscribe(() => {
      if (this.#isSkipping) this.#awake.abort();
    });
  }

  /**
   * Newest revision that all listeners of this node run. An endpoint that cannot be brought there, and is tried again and again, does not
   * hold it back.
   */
  get reached(): number {
    const { desired, supervisors } = this.#options;
    const isThere = ({ endpoint, revision }: StoredEndpoint) => {
      const wanted = supervisors.peek(endpoint.id)?.wanted ?? null;
      const isSame = endpoint.enabled ? wanted?.revision === revision : wanted === null;
      return isSame || this.#problems.get(endpoint.id)?.revision === revision;
    };
    const isGone = supervisors.all().every(({ id, wanted }) => wanted === null || desired.byId(id) !== undefined);
    if (isGone && desired.all().every(isThere)) this.#reached = desired.revision;
    return this.#reached;
  }

  /** Begins to reconcile. To be called after the start of the endpoints. */
  start(): void {
    this.#lastRevision = this.#options.desired.revision;
    this.#isAway = this.#options.desired.storeError !== null;
    this.#running = this.#run();
  }

  /** Resolves when no reconciliation is under way. */
  async close(): Promise<void> {
    this.#closing.abort();
    this.#awake.abort();
    await this.#running;
  }

  /** Reads the store at once, because another node reports news. */
  wake(): void {
    this.#isUrgent = true;
    this.#awake.abort();
  }

  /** Another node reports a revision, and how to disconnect the clients of listeners that the revision stops. */
  announced(revision: number, ids: readonly string[], drain: DrainRequest): void {
    for (const id of ids) this.#drains.set(id, { revision, drain });
    this.wake();
  }

  /** True when the endpoint runs as the store says, as far as this node has read it, and no change of it is under way. */
  isInStep(id: string): boolean {
    const { desired, supervisors } = this.#options;
    const stored = desired.byId(id);
    const wanted = supervisors.peek(id)?.wanted ?? null;
    if (desired.isLocked(id)) return false;
    return stored === undefined ? wanted === null : this.#isSame(stored, wanted);
  }

  /** Why the endpoint keeps an older configuration than the store has; null when it does not. */
  problemOf(id: string): string | null {
    return this.#problems.get(id)?.reason ?? null;
  }

  async #run(): Promise<void> {
    const { signal } = this.#closing;
    for (;;) {
      const isWoken = await this.#rest();
      if (signal.aborted) return;
      if (isWoken && !this.#isUrgent) await pause(WAKE_DELAY_MS, signal);
      this.#isUrgent = false;
      await this.#round();
      this.#roundEnded.emit();
    }
  }

  /** Waits until the next read is due, or a call wakes it. @returns true when a call woke it */
  async #rest(): Promise<boolean> {
    const { intervalMs, isPeriodic } = this.#options;
    const regular = isPeriodic ? intervalMs : FOR_EVER_MS;
    const now = steadyNow();
    const retries = [...this.#problems.values()].map(({ retryAt }) => retryAt - now);
    const ms = Math.max(WAKE_DELAY_MS, Math.min(this.#isAway ? Math.min(AWAY_MS, intervalMs / 2) : regular, ...retries));
    await pause(ms, this.#awake.signal);
    const isWoken = this.#awake.signal.aborted;
    this.#awake = new AbortController();
    return isWoken;
  }

  async #round(): Promise<void> {
    const { desired, isShared } = this.#options;
    if (isShared || desired.storeError !== null || desired.isBehind) await this.#read();
    this.#warnOfForeignKeys();
    const now = steadyNow();
    const all = this.#differences();
    for (const id of this.#problems.keys()) if (!all.some((each) => each.id === id)) this.#problems.delete(id);
    const due = all.filter(({ id, stored }) => {
      const problem = this.#problems.get(id);
      return problem === undefined || problem.revision !== (stored?.revision ?? 0) || problem.retryAt <= now;
    });
    if (due.length === 0) return;
    await desired.applying(
      due.flatMap((each) => this.#keysOf(each)),
      () => this.#apply(due),
    );
  }

  async #read(): Promise<void> {
    const { desired, logger } = this.#options;
    const before = Math.max(this.#lastRevision, desired.revision);
    this.counts.reads++;
    try {
      await desired.load();
    } catch (error) {
      const reason = toWireError(error).message;
      this.counts.readsFailed++;
      if (!this.#isAway)
        logger.error('ConfigSync: Configuration sync failed: the store cannot be used; endpoints keep running, changes are refused', {
          reason,
        });
      this.#isAway = true;
      return;
    }
    const { revision } = desired;
    if (this.#isAway) logger.info('ConfigSync: the store is back', { revision });
    if (revision < before) logger.warn('ConfigSync: the store has gone back to an earlier revision and wins', { before, revision });
    this.#isAway = false;
    this.#lastRevision = revision;
  }

  /** Warns once of each endpoint with keys of a newer version. */
  #warnOfForeignKeys(): void {
    for (const { endpoint } of this.#options.desired.all()) {
      const keys = foreignKeysOf(endpoint).join(', ');
      if ((this.#foreign.get(endpoint.id) ?? '') === keys) continue;
      this.#foreign.set(endpoint.id, keys);
      const message = `ConfigSync: Endpoint ${endpoint.port} has keys that this version does not know: ${keys}; they are kept, and have no effect on this node`;
      if (keys !== '') this.#options.logger.warn(message, { endpoint: endpoint.id });
    }
  }

  /** Endpoints that do not run as the store says, and that no change is working on. */
  #differences(): Difference[] {
    const { desired, supervisors } = this.#options;
    const differences: Difference[] = [];
    for (const stored of desired.list()) {
      const { id } = stored.endpoint;
      if (!this.#isSame(stored, supervisors.peek(id)?.wanted ?? null)) differences.push({ id, stored });
    }
    for (const { id, wanted } of supervisors.all()) {
      if (wanted !== null && desired.byId(id) === undefined) differences.push({ id, stored: null });
    }
    const free = differences.filter((each) => !this.#keysOf(each).some((key) => desired.isLocked(key)));
    this.#isSkipping = free.length < differences.length;
    return free;
  }

  /** The drain announced for exactly this revision; without an announcement, clients stay where that is possible. */
  #drainOf({ id, stored }: Difference): DrainRequest {
    const announced = this.#drains.get(id);
    this.#drains.delete(id);
    const isMeant = announced !== undefined && (stored === null || stored.revision === announced.revision);
    return isMeant ? announced.drain : NO_DRAIN;
  }

  #keysOf({ id, stored }: Difference): string[] {
    const ports = [stored?.endpoint.port, this.#options.supervisors.peek(id)?.wanted?.endpoint.port];
    return [id, ...ports.flatMap((port) => (port === undefined ? [] : [`port ${port}`]))];
  }

  /** Stops what has to go, then opens everything new, and only then replaces the old listeners, because two endpoints may swap ports. */
  async #apply(due: Difference[]): Promise<void> {
    const deadline = new Deadline(APPLY_TIMEOUT_MS);
    const isGoing = ({ stored }: Difference) => stored === null || !stored.endpoint.enabled;
    await Promise.all(due.filter(isGoing).map((each) => this.#stop(each, deadline)));
    const opened = await this.#open(
      due.flatMap(({ stored }) => (stored?.endpoint.enabled === true ? [stored] : [])),
      deadline,
    );
    const { driver } = this.#options;
    await Promise.all(opened.map(([, prepared]) => driver.startAccepting(prepared)));
    const stuck = driver.stuck(opened.map(([, prepared]) => prepared));
    await Promise.all(
      opened.map(([stored, prepared]) =>
        stuck.has(prepared) ? this.#keepOld(stored, stuck.get(prepared), deadline) : this.#activate(stored, prepared, deadline),
      ),
    );
  }

  async #stop({ id, stored }: Difference, deadline: Deadline): Promise<void> {
    const { driver, logger } = this.#options;
    await driver.activate(await driver.prepare(id, null, 0, deadline), 0, this.#drainOf({ id, stored }), deadline);
    this.counts.applied++;
    logger.info(`ConfigSync: endpoint ${id} was ${stored === null ? 'removed' : 'disabled'}`);
  }

  async #open(targets: StoredEndpoint[], deadline: Deadline): Promise<[StoredEndpoint, Prepared][]> {
    const { driver, supervisors } = this.#options;
    const portNow = ({ endpoint }: StoredEndpoint) => {
      const port = supervisors.peek(endpoint.id)?.wanted?.endpoint.port;
      return port !== undefined && port !== endpoint.port && supervisors.peek(endpoint.id)?.listensOn(port) === true ? [port] : [];
    };
    const leaving = new Set(targets.flatMap(portNow));
    const opened = new Map<StoredEndpoint, Prepared>();
    const staying: number[] = [];
    const refuse = async (stored: StoredEndpoint, error: unknown) => {
      staying.push(...portNow(stored));
      await this.#keepOld(stored, error, deadline);
    };
    await Promise.all(
      targets.map(async (stored) => {
        const { endpoint, revision } = stored;
        try {
          opened.set(stored, await driver.prepare(endpoint.id, endpoint, revision, deadline, leaving));
        } catch (error) {
          await refuse(stored, error);
        }
      }),
    );
    // An endpoint that cannot leave its port keeps it, so the endpoint that was to follow on that port stays where it is, and so on.
    for (const port of staying) {
      for (const [stored, prepared] of opened) {
        if (stored.endpoint.port !== port || prepared.warm.length === 0) continue;
        opened.delete(stored);
        await driver.discard(prepared, deadline);
        await refuse(stored, new Error(`Port ${port} is still in use by another endpoint of this node, which could not be moved`));
      }
    }
    return [...opened];
  }

  async #activate(stored: StoredEndpoint, prepared: Prepared, deadline: Deadline): Promise<void> {
    const { driver, logger } = this.#options;
    const { id, port } = stored.endpoint;
    try {
      await driver.activate(prepared, stored.revision, this.#drainOf({ id, stored }), deadline);
    } catch (error) {
      // The supervisor replaces the worker that failed, and continues until every worker has the configuration.
      logger.error(`ConfigSync: Configuration sync failed for now: Endpoint ${port} is not complete yet: ${toWireError(error).message}`, {
        endpoint: id,
      });
    }
    this.#problems.delete(id);
    this.counts.applied++;
    logger.info(`ConfigSync: Endpoint ${port} was brought to revision ${stored.revision}`, { endpoint: id });
  }

  /** An endpoint that listens keeps its listeners; one that does not is now tried by its supervisor. */
  async #keepOld(stored: StoredEndpoint, error: unknown, deadline: Deadline): Promise<void> {
    const { driver, supervisors, logger } = this.#options;
    const { id, port } = stored.endpoint;
    if (supervisors.of(id).workerCount === 0) {
      const failure = await driver.start(stored, deadline).then(
        () => null,
        (reason: unknown) => reason,
      );
      if (failure === null) return;
    }
    this.counts.failed++;
    const { message } = toWireError(error);
    const old = this.#problems.get(id);
    const backoff = old?.revision === stored.revision ? old.backoff : new Backoff();
    const reason = `revision ${stored.revision} is not applied: ${message}`;
    if (old?.reason !== reason)
      logger.error(`ConfigSync: Configuration sync failed: Endpoint ${port}: ${reason}; it keeps its old configuration`, { endpoint: id });
    this.#problems.set(id, { revision: stored.revision, reason, backoff, retryAt: steadyNow() + backoff.failed() });
  }

  #isSame({ endpoint, revision }: StoredEndpoint, wanted: EndpointRuntimeConfig | null): boolean {
    if (wanted === null) return !endpoint.enabled;
    const own = this.#options.driver.asRun(endpoint);
    return endpoint.enabled && wanted.revision === revision && isDeepStrictEqual(wanted.endpoint, own);
  }
}
