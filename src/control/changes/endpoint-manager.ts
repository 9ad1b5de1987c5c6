/** Changes of one endpoint at a time by requests, and the start of all endpoints (ARCHITECTURE.md, Life of a change). */

import type { Endpoint } from '../../endpoint/endpoint.ts';
import { mergeEndpoint, parseEndpoint } from '../../endpoint/schema.ts';
import type { Deadline } from '../../kernel/deadline.ts';
import { toWireError } from '../../kernel/errors.ts';
import type { Logger } from '../../kernel/logger.ts';
import type { ChangeMeta, StoredEndpoint } from '../../storage/endpoint-store.ts';
import type { ChangeAnswer, PlanAnswer } from '../contract/answers.ts';
import type { RequestContext } from '../contract/request-parts.ts';
import { type Driver, tlsOf } from '../listening/driver.ts';
import type { EndpointSupervisors } from '../listening/endpoint-supervisors.ts';
import { probePort } from '../probe/port-probe.ts';
import type { DesiredState } from '../state/desired-state.ts';
import { affectedClients, clearSecretWarnings, confirmViewOf, idleDrainWarnings, keyChangesOf, NOTHING_WAITS } from './answers.ts';
import { type ChangeOptions, readAdd, readTarget, readUpdate, type SingleAction } from './change-body.ts';
import type { ChangeRunner } from './change-runner.ts';
import { type ChangeSet, foresee } from './change-set.ts';
import { driftOf } from './file-drift.ts';
import { sideBySide } from './lanes.ts';

export interface ManagerOptions {
  desired: DesiredState;
  supervisors: EndpointSupervisors;
  driver: Driver;
  changes: ChangeRunner;
  /** the store has no key to seal secrets with */
  keepsSecretsInClear: boolean;
  node: string;
  logger: Logger;
}

/** Most endpoints that one log line names. */
const NAMES_MAX = 8;
const APPLY_ADVICE = 'To bring the store to the state of the file: ./fluxmq apply FILE (--dry-run only shows the changes)';

/** A request about one endpoint after parsing. */
interface SingleRequest {
  before: StoredEndpoint | null;
  after: Endpoint | null;
  options: ChangeOptions;
  warnings: string[];
}

export class EndpointManager {
  readonly #options: ManagerOptions;

  constructor(options: ManagerOptions) {
    this.#options = options;
  }

  /** Starts all enabled endpoints, a few at a time. The supervisors keep failures. Resolves when each endpoint was tried once. */
  async startAll(deadline: Deadline): Promise<void> {
    const { desired, driver } = this.#options;
    const enabled = desired.list().filter(({ endpoint }) => endpoint.enabled);
    await sideBySide(enabled, (stored) => driver.start(stored, deadline));
  }

  /**
   * Writes the endpoints of the configuration file into an empty store. For any other store it warns that the file is ignored.
   * @param areGiven false: these are the built-in endpoints, whose absence deserves no warning
   * @throws FluxError `unavailable`
   */
  async seed(endpoints: Endpoint[], areGiven: boolean): Promise<number> {
    const { desired, node, logger } = this.#options;
    if (desired.revision > 0) {
      if (areGiven) this.#warnOfDrift(endpoints);
      return 0;
    }
    if (endpoints.length === 0) return 0;
    const meta: ChangeMeta = { action: 'seed', actor: 'system', source: 'file', node, requestId: 'start', reason: 'first start' };
    await desired.commit(
      endpoints.map((endpoint) => ({ kind: 'put', endpoint })),
      meta,
    );
    logger.info('the endpoints of the configuration file were written to the empty store', { endpoints: endpoints.length });
    return endpoints.length;
  }

  #warnOfDrift(endpoints: Endpoint[]): void {
    const { desired, logger } = this.#options;
    const { ignored, added } = driftOf(
      endpoints,
      desired.list().map(({ endpoint }) => endpoint),
    );
    const more = added.length > NAMES_MAX ? ` and ${added.length - NAMES_MAX} more` : '';
    const others = added.length === 0 ? {} : { inTheStoreAlone: `${added.slice(0, NAMES_MAX).join(', ')}${more}` };
    if (ignored.length === 0) {
      if (added.length > 0) logger.info('the store wins: it has endpoints that the configuration file does not name', others);
      return;
    }
    const told = `${ignored.slice(0, NAMES_MAX).join('; ')}${ignored.length > NAMES_MAX ? `; and ${ignored.length - NAMES_MAX} more` : ''}`;
    logger.warn(`endpoints of the configuration file are ignored, because the store wins: ${told}. ${APPLY_ADVICE}`, others);
  }

  /** @throws FluxError as Control.add, .update, .remove, .setEnabled */
  async change(action: SingleAction, body: unknown, context: RequestContext): Promise<ChangeAnswer> {
    const { desired, changes } = this.#options;
    const { before, after, options, warnings } = this.#read(action, body);
    if (before === null) desired.ensureWhole(context.expectedRevision);
    else desired.ensureRevision(before, context.expectedRevision);
    const applied = await changes.apply(toSet(action, before, after, options, context, desired.complete));
    const isNothing = applied.changes.length === 0;
    if (isNothing && action === 'enable' && after !== null) await this.#options.supervisors.of(after.id).cancelDrain();
    if (isNothing && context.confirmWithinMs !== undefined) warnings.push(NOTHING_WAITS);
    if (this.#options.keepsSecretsInClear) warnings.push(...clearSecretWarnings(after === null ? [] : [after]));
    const endpoint = (after ?? before?.endpoint) as Endpoint;
    const isUpdate = before !== null && after !== null;
    const judged = applied.changes.find(({ id }) => id === endpoint.id);
    warnings.push(...idleDrainWarnings(judged, options));
    return {
      endpoint,
      revision: isNothing ? (before?.revision ?? applied.revision) : applied.revision,
      ...(isUpdate ? { effect: judged?.effect ?? 'none', changes: judged?.changes ?? [] } : {}),
      nodes: isNothing ? [changes.current(endpoint.id)] : applied.nodes,
      warnings: [...warnings, ...applied.warnings],
      ...confirmViewOf(applied),
    };
  }

  /** The effect that a change would have. @throws FluxError when the change would be refused for more than a missing `force` */
  async plan(action: SingleAction, body: unknown, context: RequestContext): Promise<PlanAnswer> {
    const { before, after, options, warnings } = this.#read(action, body);
    const { desired } = this.#options;
    const { judged, warnings: needs } = await foresee(toSet(action, before, after, options, context, desired.complete), desired);
    const running = after === null ? null : (this.#options.supervisors.peek(after.id)?.wanted ?? null);
    const { warnings: ofCertificate } = await tlsOf(after, running);
    const ofNode = [...this.#options.driver.loginWarnings(after), ...(await this.#portWarnings(after))];
    const [first] = judged;
    const clientsAffected = first === undefined ? 0 : affectedClients(first, options, this.#options.supervisors);
    return {
      changes: first === undefined ? [] : keyChangesOf(first),
      clientsAffected,
      warnings: [...warnings, ...needs, ...idleDrainWarnings(first, options), ...ofNode, ...ofCertificate],
    };
  }

  /** Why this node could not listen for the endpoint now. Does not ask other nodes. */
  async #portWarnings(after: Endpoint | null): Promise<string[]> {
    const { driver, supervisors } = this.#options;
    // The plan of the change itself covers ports of this node's endpoints.
    if (after === null || !after.enabled || supervisors.all().some((supervisor) => supervisor.holds(after.port))) return [];
    try {
      await probePort(driver.hostHere(after.host), after.port);
      return [];
    } catch (error) {
      return [toWireError(error).message];
    }
  }

  #read(action: SingleAction, body: unknown): SingleRequest {
    const { desired } = this.#options;
    if (action === 'add') {
      const { options, input } = readAdd(body);
      const { endpoint, warnings } = parseEndpoint(input);
      return { before: null, after: endpoint, options, warnings };
    }
    if (action === 'update') {
      const { options, key, patch } = readUpdate(body);
      const before = desired.find(key);
      const { endpoint, warnings } = mergeEndpoint(before.endpoint, patch);
      return { before, after: endpoint, options, warnings };
    }
    const { options, key } = readTarget(body);
    const before = desired.find(key);
    const after = action === 'remove' ? null : { ...before.endpoint, enabled: action === 'enable' };
    return { before, after, options, warnings: [] };
  }
}

function toSet(
  action: SingleAction,
  before: StoredEndpoint | null,
  after: Endpoint | null,
  options: ChangeOptions,
  context: RequestContext,
  complete: number,
): ChangeSet {
  const whole = before === null && context.expectedRevision !== null ? complete : null;
  return {
    action,
    source: context.source,
    changes: [{ before, after, path: '' }],
    options,
    context,
    mustListen: true,
    whole,
    settles: null,
    adopts: null,
  };
}
