/** Requests about one endpoint: add, update, remove, enable, disable, and their plans. */

import type { Endpoint } from '../../endpoint/endpoint.ts';
import { mergeEndpoint, parseEndpoint } from '../../endpoint/schema.ts';
import { toWireError } from '../../kernel/errors.ts';
import type { StoredEndpoint } from '../../storage/endpoint-store.ts';
import type { ChangeAnswer, PlanAnswer } from '../contract/answers.ts';
import type { RequestContext } from '../contract/request-parts.ts';
import { type Driver, tlsOf } from '../listening/driver.ts';
import type { EndpointSupervisors } from '../listening/endpoint-supervisors.ts';
import { probePort } from '../probe/port-probe.ts';
import type { DesiredState } from '../state/desired-state.ts';
import { affectedClients, clearSecretWarnings, confirmViewOf, idleDrainWarnings, keyChangesOf, NOTHING_WAITS } from './answers.ts';
import { type ChangeOptions, readAdd, readKeyBody, readUpdate, type SingleAction } from './change-body.ts';
import type { ChangeRunner } from './change-runner.ts';
import { type ChangeSet, foresee } from './change-set.ts';

export interface SingleChangesOptions {
  desired: DesiredState;
  supervisors: EndpointSupervisors;
  driver: Driver;
  changes: ChangeRunner;
  /** the store has no key to seal secrets with */
  keepsSecretsInClear: boolean;
}

/** A request about one endpoint after parsing. */
interface SingleRequest {
  before: StoredEndpoint | null;
  after: Endpoint | null;
  options: ChangeOptions;
  warnings: string[];
}

export class SingleChanges {
  readonly #options: SingleChangesOptions;

  constructor(options: SingleChangesOptions) {
    this.#options = options;
  }

  /** @throws FluxError as ChangeRequests.add, .update, .remove, .setEnabled */
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

  /** The reason why this node could not listen for the endpoint now. Does not ask other nodes. */
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
    const { options, key } = readKeyBody(body);
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
