/** Sets endpoints back to their state at a revision, as one new revision. */

import { FluxError } from '../../kernel/errors.ts';
import type { PlanAnswer, RollbackAnswer } from '../contract/answers.ts';
import type { EndpointKey, RequestContext } from '../contract/request-parts.ts';
import type { EndpointSupervisors } from '../listening/endpoint-supervisors.ts';
import type { DesiredState } from '../state/desired-state.ts';
import { clearSecretWarnings, dryAnswerOf, planOf, setAnswerOf } from './answers.ts';
import { type RollbackRequest, readRollback } from './change-body.ts';
import type { ChangeRunner } from './change-runner.ts';
import type { ChangeSet, EndpointChange } from './change-set.ts';

export interface RollbackOptions {
  desired: DesiredState;
  supervisors: EndpointSupervisors;
  changes: ChangeRunner;
  keepsSecretsInClear: boolean;
}

export class Rollback {
  readonly #options: RollbackOptions;

  constructor(options: RollbackOptions) {
    this.#options = options;
  }

  /** @throws FluxError as ControlPlane.rollback */
  async run(body: unknown, context: RequestContext): Promise<RollbackAnswer> {
    const { desired, changes, keepsSecretsInClear } = this.#options;
    const request = readRollback(body);
    const set = await this.#toSet(request, context);
    const named = request.key === null ? {} : { endpoint: set.changes[0]?.after ?? null };
    if (request.dryRun) return { ...(await dryAnswerOf(set, desired)), ...named };
    const applied = await changes.apply(set);
    // The state is that of the revision already, so a waiting revision in between has nothing left to undo.
    if (applied.changes.length === 0 && set.settles !== null) await desired.confirm(set.settles);
    const answer = setAnswerOf(applied, set);
    if (keepsSecretsInClear) answer.warnings.push(...clearSecretWarnings(applied.changes.flatMap(({ after }) => after ?? [])));
    return { ...answer, ...named };
  }

  /** The effect that a rollback would have. @throws FluxError as `run` */
  async plan(body: unknown, context: RequestContext): Promise<PlanAnswer> {
    const { desired, supervisors } = this.#options;
    return planOf(await this.#toSet(readRollback(body), context), desired, supervisors);
  }

  async #toSet({ revision, key, options }: RollbackRequest, context: RequestContext): Promise<ChangeSet> {
    const { desired } = this.#options;
    const past = new Map((await desired.at(revision)).map(({ endpoint }) => [endpoint.id, endpoint]));
    // There is no wait from here on: the locks have to cover the state that the set is based on.
    const ids =
      key === null ? [...new Set([...desired.list().map(({ endpoint }) => endpoint.id), ...past.keys()])] : this.#chosen(key, past);
    const changes = ids.map((id): EndpointChange => ({ before: desired.byId(id) ?? null, after: past.get(id) ?? null, path: id }));
    const [only] = changes;
    const isOne = key !== null && changes.length === 1 && only?.before !== null;
    if (isOne && only?.before) desired.ensureRevision(only.before, context.expectedRevision);
    else desired.ensureWhole(context.expectedRevision);
    const whole = key === null || (!isOne && context.expectedRevision !== null) ? desired.complete : null;
    const settles = desired.waiting.undoneBy(revision, new Set(ids));
    // A caller over NATS is unauthenticated, so the history names NATS as the source, whatever the action.
    const source = context.source === 'nats' ? 'nats' : 'rollback';
    return { action: 'rollback', source, changes, options, context, mustListen: true, whole, settles, adopts: null };
  }

  /** A port means the endpoint that has it now, and the one that had it at the revision. @throws FluxError `not-found` */
  #chosen(key: EndpointKey, past: ReadonlyMap<string, { id: string; port: number }>): string[] {
    const { desired } = this.#options;
    const now = key.id === undefined ? desired.byPort(key.port ?? 0)?.endpoint : desired.byId(key.id)?.endpoint;
    const then = [...past.values()].find(({ id, port }) => (key.id === undefined ? port === key.port : id === key.id));
    const found = [...(now === undefined ? [] : [now]), ...(then === undefined ? [] : [then])];
    const what = key.id === undefined ? `endpoint on port ${key.port}` : `endpoint ${key.id}`;
    if (found.length === 0) throw new FluxError('not-found', `there is no ${what} now, and none existed at that revision`);
    if (key.id !== undefined && key.port !== undefined && found.every(({ port }) => port !== key.port)) {
      const message = `endpoint ${key.id} is not on port ${key.port}, and was not then`;
      throw new FluxError('invalid', message, { issues: [{ path: 'port', message }] });
    }
    return [...new Set(found.map(({ id }) => id))];
  }
}
