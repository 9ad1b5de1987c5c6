/** Moves the listeners of this node from what runs to what the configuration says: changes, the start and the reconciler all use it. */

import { isDeepStrictEqual } from 'node:util';
import { authWarnings } from '../../endpoint/access/authenticators/warnings.ts';
import { type AclConfig, type AuthConfig, type Endpoint, isEveryAddress, type SslConfig } from '../../endpoint/endpoint.ts';
import type { WebsocketTransport } from '../../endpoint/keys/address.ts';
import { patternProblem } from '../../endpoint/pattern/pattern.ts';
import { foreignProblem } from '../../endpoint/secrets/foreign.ts';
import { wallNow } from '../../kernel/clock.ts';
import type { Deadline } from '../../kernel/deadline.ts';
import { toWireError } from '../../kernel/errors.ts';
import type { Logger } from '../../kernel/logger.ts';
import type { StoredEndpoint } from '../../storage/endpoint-store.ts';
import type { EndpointRuntimeConfig } from '../../thread/commands.ts';
import type { TlsMaterial } from '../../thread/tls-material.ts';
import { asksToDrain, type DrainRequest } from '../contract/request-parts.ts';
import { reachStep } from '../state/change-steps.ts';
import { expiryWarnings, loadTls } from '../tls/load-tls.ts';
import { hasFiles, readSources } from '../tls/sources.ts';
import type { EndpointSupervisors } from './endpoint-supervisors.ts';
import { type AcceptOutcome, ensureUnderstood, type RemoteListener } from './remote-listener.ts';
import { decideStep, type ListenerStep, type Running, workerGroupSize } from './step.ts';
import { transportWarnings } from './websocket.ts';

/** The listeners opened for an endpoint beside its running ones; activate() or discard() ends it. */
export interface Prepared {
  readonly id: string;
  /** null: the endpoint is removed */
  readonly after: Endpoint | null;
  readonly step: ListenerStep;
  readonly warm: RemoteListener[];
  /** result of startAccepting(); nothing before it */
  accepted: AcceptOutcome;
  /** null: no TLS */
  readonly tls: TlsMaterial | null;
  /** warnings for the answer, about logins and the certificate */
  readonly warnings: string[];
}

/** Values for endpoints that name none of their own. */
export interface DriverDefaults {
  readonly access: { readonly auth: AuthConfig[]; readonly acl: AclConfig };
  /** address for endpoints that listen on every address; null: every address */
  bindAddress: string | null;
  websocketTransport: WebsocketTransport;
}

const NONE_LEAVING: ReadonlySet<number> = new Set();
/** The state of an endpoint that does not run. */
const NOT_RUNNING: Running = { state: 'stopped', workerCount: 0, wanted: null };
/** The result when nothing had to be opened. */
const NONE_OPENED: AcceptOutcome = { count: 0, accepting: [], refused: [], failure: null };

export class Driver {
  readonly #supervisors: EndpointSupervisors;
  readonly #defaults: DriverDefaults;
  readonly #logger: Logger;

  constructor(supervisors: EndpointSupervisors, defaults: DriverDefaults, logger: Logger) {
    this.#supervisors = supervisors;
    this.#logger = logger;
    this.#defaults = defaults;
  }

  /** The endpoint in the form that this node runs: equal on every node, except for the address of "every address". */
  asRun(endpoint: Endpoint): Endpoint {
    const host = this.hostHere(endpoint.host);
    const websocketTransport = endpoint.websocketTransport ?? this.#defaults.websocketTransport;
    return { ...endpoint, host, websocketTransport };
  }

  /** The address that this node binds for an endpoint with `host`. */
  hostHere(host: string): string {
    const { bindAddress } = this.#defaults;
    return bindAddress !== null && isEveryAddress(host) ? bindAddress : host;
  }

  /**
   * Starts an endpoint that does not listen. Its supervisor keeps a failure and tries again. Resolves after the first attempt.
   * @throws FluxError of the attempt when the endpoint listens with another configuration by now, which stays
   */
  async start({ endpoint, revision }: StoredEndpoint, deadline: Deadline): Promise<void> {
    for (const text of this.loginWarnings(endpoint)) this.#logger.warn(`Endpoint ${endpoint.port}: ${text}`, { endpoint: endpoint.id });
    await this.#supervisors
      .of(endpoint.id)
      .start(this.#configOf(this.asRun(endpoint), revision, null), workerGroupSize(endpoint), deadline);
  }

  /**
   * Opens the listeners that the endpoint needs, beside the running ones; changes nothing else before activate().
   * @param after null: the endpoint is removed
   * @param revision the revision that it will probably have
   * @param leaving ports that other endpoints of this node release in the same step, so that two endpoints may swap ports
   * @throws FluxError `port-in-use`, `unprocessable` (also for a certificate), `timeout`; nothing stays open then
   */
  async prepare(
    id: string,
    after: Endpoint | null,
    revision: number,
    deadline: Deadline,
    leaving: ReadonlySet<number> = NONE_LEAVING,
  ): Promise<Prepared> {
    const running = this.#supervisors.peek(id) ?? NOT_RUNNING;
    const own = after === null ? null : this.asRun(after);
    if (own?.enabled === true) ensureUnderstood(own);
    const { material: tls, warnings: ofTls } = await tlsOf(own, running.wanted);
    const warnings = [...this.loginWarnings(own), ...ofTls, ...(own === null ? [] : transportWarnings({ endpoint: own, tls }))];
    reachStep('validated');
    const step = decideStep(own, this.#supervisors.peek(id) ?? NOT_RUNNING);
    const which = step.kind === 'resize' ? 'more' : 'all';
    const isOpening = own !== null && step.warm > 0;
    const warm = isOpening
      ? await this.#supervisors.of(id).warm(this.#configOf(own, revision, tls), step.warm, which, deadline, leaving)
      : [];
    reachStep('bound');
    return { id, after: own, step, warm, accepted: NONE_OPENED, tls, warnings };
  }

  /** Warnings when nobody can log in, or an entry of the logins matches nobody. */
  loginWarnings(endpoint: Endpoint | null): string[] {
    if (endpoint === null || !endpoint.enabled || !endpoint.enableAuth || foreignProblem(endpoint) !== null) return [];
    const list = endpoint.authConfig ?? this.#defaults.access.auth;
    const unusable = list.flatMap(({ filter }, index) =>
      Object.entries(filter).flatMap(([key, source]) => {
        const problem = patternProblem(source);
        const path = `${endpoint.authConfig === null ? 'auth' : 'authConfig'}.${index}.filter.${key}`;
        return problem === null ? [] : [`${path} ${problem}; the entry matches nobody until its filter is corrected`];
      }),
    );
    if (list.some((entry) => !('users' in entry) || entry.users.length > 0))
      return [...unusable, ...authWarnings(list, endpoint.sslConfig)];
    const where = endpoint.authConfig === null ? ', neither on the endpoint (authConfig) nor on the node (auth)' : ' in its authConfig';
    return [...unusable, `nobody can log in: enableAuth is on, and no users are configured${where}`];
  }

  /** Closes the opened listeners, because their change did not happen. */
  async discard({ id, warm }: Prepared, deadline: Deadline): Promise<void> {
    await this.#supervisors.of(id).discard(warm, deadline);
  }

  /**
   * Makes the opened listeners accept, beside the running ones. All endpoints of a change do this before the first activate(), because a
   * port may pass from one endpoint to another.
   */
  async startAccepting(prepared: Prepared): Promise<void> {
    const { id, warm } = prepared;
    if (warm.length > 0) prepared.accepted = await this.#supervisors.of(id).startAccepting(warm);
  }

  /**
   * The endpoints that cannot be activated after startAccepting() of the whole change: none of their new listeners accepts, and their old ones can
   * continue. An endpoint is not among them when another endpoint of the change accepts on its port: its old listeners cannot continue,
   * and nothing listens for it until the repair.
   * @returns the reason by endpoint
   */
  stuck(together: readonly Prepared[]): Map<Prepared, unknown> {
    const stuck = new Map<Prepared, unknown>();
    const accepting = together.flatMap(({ accepted, after }) => (accepted.accepting.length > 0 && after !== null ? [after.port] : []));
    const followers = new Set(accepting);
    for (const prepared of together) {
      const { id, accepted } = prepared;
      if (accepted.count === 0 || accepted.accepting.length > 0) continue;
      const supervisor = this.#supervisors.of(id);
      const isFollowed = supervisor.ports.some((port) => followers.has(port));
      if (supervisor.workerCount > 0 && !isFollowed) stuck.set(prepared, accepted.failure);
    }
    return stuck;
  }

  /**
   * Replaces the running listeners by the prepared ones, after startAccepting(). Resolves when the old listeners no longer accept, and when the
   * clients of an endpoint that stops at once are gone.
   * @param drain for the clients of stopped listeners, and for those that earlier changes have left behind
   * @throws FluxError when a worker does not accept, or did not take its configuration (the worker is replaced, the endpoint repaired)
   */
  async activate(prepared: Prepared, revision: number, drain: DrainRequest, deadline: Deadline): Promise<void> {
    await this.#activate(prepared, revision, drain, deadline);
    reachStep('activated');
  }

  async #activate({ id, after, step, accepted, tls }: Prepared, revision: number, drain: DrainRequest, deadline: Deadline): Promise<void> {
    // A disabled endpoint that stays disabled runs nothing, and gets no supervisor.
    const supervisor = step.kind === 'nothing' ? this.#supervisors.peek(id) : this.#supervisors.of(id);
    if (supervisor === undefined) return;
    if (step.kind === 'stop') {
      const { drained } = await supervisor.stop(drain);
      if (drain.drainMs === 0 && drain.drainRate === null) await deadline.reaches(drained);
    }
    // A stopped endpoint may still be draining, at a pace that is now too slow.
    if (step.kind === 'nothing' && asksToDrain(drain)) void supervisor.drain(drain);
    if (after === null || step.kind === 'stop' || step.kind === 'nothing') return;
    const config = this.#configOf(after, revision, tls);
    if (step.kind === 'replace') await supervisor.activate(config, accepted);
    if (step.kind === 'resize') await supervisor.resize(config, step.size, accepted);
    // After a replacement this update gives the old listeners' clients the live keys, and corrects a revision that prepare() guessed wrong.
    const isRebind = step.kind !== 'replace' && step.isRebind;
    try {
      await supervisor.update(config, deadline, isRebind);
    } finally {
      if ((step.kind !== 'update' || isRebind) && asksToDrain(drain)) void supervisor.drain(drain);
    }
    if (accepted.failure !== null) throw accepted.failure;
  }

  /** Gives the node's logins and rules to running endpoints that have none of their own. @throws the first failure, when all have answered */
  async refresh(deadline: Deadline): Promise<void> {
    const updates = this.#supervisors.all().flatMap((supervisor) => {
      const { wanted } = supervisor;
      if (wanted === null) return [];
      const config = this.#configOf(wanted.endpoint, wanted.revision, wanted.tls);
      return config.auth === wanted.auth && config.acl === wanted.acl ? [] : [supervisor.update(config, deadline)];
    });
    const failure = (await Promise.allSettled(updates)).find((each) => each.status === 'rejected');
    if (failure !== undefined) throw failure.reason;
  }

  /** An endpoint with the node's defaults filled in, in the form for workers. */
  #configOf(endpoint: Endpoint, revision: number, tls: TlsMaterial | null): EndpointRuntimeConfig {
    const { auth, acl } = this.#defaults.access;
    return { endpoint, revision, auth: endpoint.authConfig ?? auth, acl: endpoint.aclConfig ?? acl, tls };
  }
}

/**
 * The TLS material for an endpoint. Unchanged TLS keeps its running material, even when its files have become useless; else the files are
 * read and tested.
 * @throws FluxError `unprocessable` with every problem
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

/** Warns of files that would fail at the next start; the running material is in memory. */
async function fileWarnings(sslConfig: SslConfig, { digest }: TlsMaterial): Promise<string[]> {
  if (!hasFiles(sslConfig)) return [];
  const sources = await readSources(sslConfig);
  if (sources.digest === digest) return [];
  try {
    await loadTls(sslConfig, sources);
    return [];
  } catch (error) {
    return [`${toWireError(error).message}: the endpoint keeps its present certificate, but would not listen after a restart of the node`];
  }
}
