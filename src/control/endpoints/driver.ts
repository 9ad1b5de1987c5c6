/** Drives the listeners of this node from what runs to what is wanted: a change, the start and the reconciler all go through here. */

import { isDeepStrictEqual } from 'node:util';
import { type AclConfig, type AuthConfig, type Endpoint, isEveryAddress, type SslConfig } from '../../endpoint/endpoint.ts';
import { patternProblem } from '../../endpoint/pattern/pattern.ts';
import { foreignProblem } from '../../endpoint/secrets/foreign.ts';
import { wallNow } from '../../kernel/clock.ts';
import type { Deadline } from '../../kernel/deadline.ts';
import { toWireError } from '../../kernel/errors.ts';
import type { Logger } from '../../kernel/logger.ts';
import type { StoredEndpoint } from '../../storage/contract.ts';
import type { EndpointRuntimeConfig } from '../../thread/messages.ts';
import type { TlsMaterial } from '../../thread/tls-material.ts';
import { expiryWarnings, loadTls } from '../tls/load-tls.ts';
import { hasFiles, readSources } from '../tls/sources.ts';
import { reachStep } from './change-steps.ts';
import { asksToDrain, type DrainRequest } from './drain.ts';
import { type Begun, ensureUnderstood, type Listener } from './listener.ts';
import type { Runners } from './runners.ts';
import { decideStep, type Step, workerGroupSize } from './step.ts';

/** What was opened for an endpoint beside what runs; it ends with activate() or discard(). */
export interface Prepared {
  readonly id: string;
  /** null: the endpoint is removed */
  readonly after: Endpoint | null;
  readonly step: Step;
  readonly warm: Listener[];
  /** what came of begin(); nobody before it */
  begun: Begun;
  /** null: no TLS */
  readonly tls: TlsMaterial | null;
  /** what the answer should tell about its certificate */
  readonly warnings: string[];
}

/** What endpoints use that name none of their own. */
export interface DriverDefaults {
  auth: AuthConfig[];
  acl: AclConfig;
  /** where endpoints listen that name every address; null: there */
  bindAddress: string | null;
}

const NONE_LEAVING: ReadonlySet<number> = new Set();
/** Where nothing had to be opened. */
const NONE_BEGUN: Begun = { count: 0, accepting: [], refused: [], failure: null };

export class Driver {
  readonly #runners: Runners;
  readonly #defaults: DriverDefaults;
  readonly #logger: Logger;

  constructor(runners: Runners, defaults: DriverDefaults, logger: Logger) {
    this.#runners = runners;
    this.#logger = logger;
    this.#defaults = defaults;
  }

  /** The endpoint as this node runs it: the same on every node but for the address of "every address". */
  asRun(endpoint: Endpoint): Endpoint {
    const host = this.hostHere(endpoint.host);
    return host === endpoint.host ? endpoint : { ...endpoint, host };
  }

  /** The address that an endpoint of this host binds on this node. */
  hostHere(host: string): string {
    const { bindAddress } = this.#defaults;
    return bindAddress !== null && isEveryAddress(host) ? bindAddress : host;
  }

  /**
   * Starts an endpoint that does not listen. A failure is kept by its runner, which attempts it again; resolves after the first attempt.
   * @throws FluxError when it listens by now with another configuration, and this one does not work
   */
  async start({ endpoint, revision }: StoredEndpoint, deadline: Deadline): Promise<void> {
    for (const text of this.loginWarnings(endpoint)) this.#logger.warn(`Endpoint ${endpoint.port}: ${text}`, { endpoint: endpoint.id });
    await this.#runners.of(endpoint.id).start(this.#configOf(this.asRun(endpoint), revision, null), workerGroupSize(endpoint), deadline);
  }

  /**
   * Opens beside what runs whatever the endpoint needs; nothing else changes until activate().
   * @param after null: the endpoint goes
   * @param revision the one that it will probably have
   * @param leaving ports that other endpoints of this node give up in the same step, so that two may swap theirs
   * @throws FluxError `port-in-use`, `unprocessable` (a certificate too), `timeout`; nothing is left open then
   */
  async prepare(
    id: string,
    after: Endpoint | null,
    revision: number,
    deadline: Deadline,
    leaving: ReadonlySet<number> = NONE_LEAVING,
  ): Promise<Prepared> {
    const runner = this.#runners.of(id);
    const own = after === null ? null : this.asRun(after);
    if (own?.enabled === true) ensureUnderstood(own);
    const { material: tls, warnings: ofTls } = await tlsOf(own, runner.wanted);
    const warnings = [...this.loginWarnings(own), ...ofTls];
    reachStep('validated');
    const step = decideStep(own, runner);
    const isOpening = own !== null && step.warm > 0;
    const warm = isOpening
      ? await runner.warm(this.#configOf(own, revision, tls), step.warm, step.kind === 'resize' ? 'more' : 'all', deadline, leaving)
      : [];
    reachStep('bound');
    return { id, after: own, step, warm, begun: NONE_BEGUN, tls, warnings };
  }

  /** What should be known about who may log in. */
  loginWarnings(endpoint: Endpoint | null): string[] {
    if (endpoint === null || !endpoint.enabled || !endpoint.enableAuth || foreignProblem(endpoint) !== null) return [];
    const list = endpoint.authConfig ?? this.#defaults.auth;
    const unusable = list.flatMap(({ filter }, index) =>
      Object.entries(filter).flatMap(([key, source]) => {
        const problem = patternProblem(source);
        const path = `${endpoint.authConfig === null ? 'auth' : 'authConfig'}.${index}.filter.${key}`;
        return problem === null ? [] : [`${path} ${problem}; the entry is for nobody until it is changed`];
      }),
    );
    if (list.some(({ users }) => users.length > 0)) return unusable;
    const where = endpoint.authConfig === null ? 'neither here (authConfig) nor for the node (auth)' : 'in its authConfig';
    return [...unusable, `nobody can log in: enableAuth is on, and there is no user ${where}`];
  }

  /** Closes what was opened: the change that it was opened for did not happen. */
  async discard({ id, warm }: Prepared, deadline: Deadline): Promise<void> {
    await this.#runners.of(id).discard(warm, deadline);
  }

  /**
   * What was opened accepts, beside what runs. Of several endpoints that change together each is to come so far before the first is
   * activated: a port may pass from one to another.
   */
  async begin(prepared: Prepared): Promise<void> {
    const { id, warm } = prepared;
    if (warm.length > 0) prepared.begun = await this.#runners.of(id).begin(warm);
  }

  /**
   * After begin() of all that change together: those of which nothing accepts, while something runs that may go on as it is. They are not
   * to be activated. Who holds a port on which another one of them accepts by now cannot go on: of it, nothing will listen for the time being.
   * @returns why, by endpoint
   */
  stuck(together: readonly Prepared[]): Map<Prepared, unknown> {
    const stuck = new Map<Prepared, unknown>();
    for (const prepared of together) {
      const { id, begun } = prepared;
      if (begun.count === 0 || begun.accepting.length > 0) continue;
      const runner = this.#runners.of(id);
      const isFollowed = together.some(
        (other) => other !== prepared && other.begun.accepting.length > 0 && other.after !== null && runner.listensOn(other.after.port),
      );
      if (runner.workerCount > 0 && !isFollowed) stuck.set(prepared, begun.failure);
    }
    return stuck;
  }

  /**
   * What was prepared takes the place of what runs, after begin(); resolves when the old listeners no longer accept, and when the clients of an
   * endpoint that stops at once are gone.
   * @param drain for the clients of what stops, and for those that earlier changes have left behind
   * @throws FluxError when a worker does not accept, or did not take its configuration (it is replaced, and the endpoint repaired)
   */
  async activate(prepared: Prepared, revision: number, drain: DrainRequest, deadline: Deadline): Promise<void> {
    await this.#activate(prepared, revision, drain, deadline);
    reachStep('activated');
  }

  async #activate({ id, after, step, begun, tls }: Prepared, revision: number, drain: DrainRequest, deadline: Deadline): Promise<void> {
    const runner = this.#runners.of(id);
    if (step.kind === 'stop') {
      const { drained } = await runner.stop(drain);
      if (drain.drainMs === 0 && drain.drainRate === null) await deadline.reaches(drained);
    }
    // What has stopped may still be draining, at a pace that is now too slow.
    if (step.kind === 'nothing' && asksToDrain(drain)) void runner.drain(drain);
    if (after === null || step.kind === 'stop' || step.kind === 'nothing') return;
    const config = this.#configOf(after, revision, tls);
    if (step.kind === 'replace') await runner.activate(config, begun);
    if (step.kind === 'resize') await runner.resize(config, step.size, begun);
    // After a replacement it is for the old listeners, whose clients get the live keys, and for a revision that was guessed wrong.
    const isRebind = step.kind !== 'replace' && step.isRebind;
    try {
      await runner.update(config, deadline, isRebind);
    } finally {
      if ((step.kind !== 'update' || isRebind) && asksToDrain(drain)) void runner.drain(drain);
    }
    if (begun.failure !== null) throw begun.failure;
  }

  /** An endpoint with the node's fallbacks resolved, as workers want it. */
  #configOf(endpoint: Endpoint, revision: number, tls: TlsMaterial | null): EndpointRuntimeConfig {
    const { auth, acl } = this.#defaults;
    return { endpoint, revision, auth: endpoint.authConfig ?? auth, acl: endpoint.aclConfig ?? acl, tls };
  }
}

/**
 * What runs goes on where nothing about it changes, also when its files have become useless meanwhile; else it is read and tried.
 * @throws FluxError `unprocessable` with everything that is wrong
 */
export async function tlsOf(
  after: Endpoint | null,
  running: EndpointRuntimeConfig | null,
): Promise<{ material: TlsMaterial | null; warnings: string[] }> {
  if (after === null || !after.enabled || !after.sslConfig.enabled) return { material: null, warnings: [] };
  if (running === null || running.tls === null || !isDeepStrictEqual(running.endpoint.sslConfig, after.sslConfig))
    return loadTls(after.sslConfig);
  const { tls } = running;
  return { material: tls, warnings: [...expiryWarnings(tls, wallNow()), ...(await fileWarnings(after.sslConfig, tls))] };
}

/** What runs is in memory: its files are needed at the next start. */
async function fileWarnings(sslConfig: SslConfig, { digest }: TlsMaterial): Promise<string[]> {
  if (!hasFiles(sslConfig)) return [];
  const sources = await readSources(sslConfig);
  if (sources.digest === digest) return [];
  try {
    await loadTls(sslConfig, sources);
    return [];
  } catch (error) {
    return [`${toWireError(error).message}: the endpoint goes on with what it has, and would not listen after a start of the node`];
  }
}
