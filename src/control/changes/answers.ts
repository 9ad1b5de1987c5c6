/** The parts of answers and plans about the changes of a set. */

import type { Endpoint, KeyChange } from '../../endpoint/endpoint.ts';
import { secretPathsOf } from '../../endpoint/secrets/secrets.ts';
import type { ConfirmView, EndpointOutcome, PlanAnswer, SetAnswer } from '../contract/answers.ts';
import { asksToDrain } from '../contract/request-parts.ts';
import type { EndpointSupervisors } from '../listening/endpoint-supervisors.ts';
import type { DesiredState } from '../state/desired-state.ts';
import type { ChangeOptions } from './change-body.ts';
import { type ChangeSet, foresee, type JudgedChange } from './change-set.ts';
import type { Applied } from './change-transaction.ts';

/** The result for each endpoint. */
export function outcomesOf(changes: JudgedChange[]): EndpointOutcome[] {
  return changes.map(({ id, port, kind, effect }) => ({ id, port, action: kind, effect }));
}

/** Answer to an applied set. */
export function setAnswerOf(applied: Applied, set: ChangeSet): SetAnswer {
  const isIdle = applied.changes.length === 0 && set.context.confirmWithinMs !== undefined;
  return {
    revision: applied.revision,
    changes: outcomesOf(applied.changes),
    nodes: applied.nodes,
    warnings: [...(isIdle ? [NOTHING_WAITS] : []), ...applied.warnings],
    ...confirmViewOf(applied),
  };
}

export const NOTHING_WAITS = 'nothing was changed, so nothing waits for a confirmation';

/** Answer to a dry run. @throws FluxError when the set would be refused for another reason than a missing `force` */
export async function dryAnswerOf(set: ChangeSet, desired: DesiredState): Promise<SetAnswer> {
  const { judged, warnings } = await foresee(set, desired);
  return { revision: null, changes: outcomesOf(judged), nodes: [], warnings };
}

/** The effect that a set would have on each endpoint. @throws FluxError as `dryAnswerOf` */
export async function planOf(set: ChangeSet, desired: DesiredState, supervisors: EndpointSupervisors): Promise<PlanAnswer> {
  const { judged, warnings } = await foresee(set, desired);
  const endpoints = judged.map((change) => ({
    id: change.id,
    port: change.port,
    action: change.kind,
    effect: change.effect,
    clientsAffected: affectedClients(change, set.options, supervisors),
    changes: keyChangesOf(change),
  }));
  return {
    changes: endpoints.flatMap(({ id, changes }) => changes.map((change) => ({ endpoint: id, ...change }))),
    clientsAffected: endpoints.reduce((sum, { clientsAffected }) => sum + clientsAffected, 0),
    warnings,
    endpoints,
  };
}

/** The changed keys. An added or removed endpoint counts as one change of the whole. */
export function keyChangesOf({ kind, id, changes }: JudgedChange): KeyChange[] {
  if (kind === 'updated') return changes;
  return [{ path: '', from: kind === 'added' ? null : id, to: kind === 'added' ? id : null, effect: 'rebind' }];
}

/** Connected clients that a change disconnects. */
export function affectedClients(
  { before, after, changes, id }: JudgedChange,
  options: ChangeOptions,
  supervisors: EndpointSupervisors,
): number {
  if (before === null) return 0;
  const isRebound = changes.some(({ effect }) => effect === 'rebind');
  const disconnects = after === null || !after.enabled || (isRebound && asksToDrain(options));
  return disconnects ? (supervisors.peek(id)?.connections ?? 0) : 0;
}

/** Warns that a requested drain disconnects nobody. */
export function idleDrainWarnings(judged: JudgedChange | undefined, options: ChangeOptions): string[] {
  if (!asksToDrain(options)) return [];
  if (judged !== undefined && judged.before !== null) {
    const { after, changes } = judged;
    // A disabled endpoint may still be draining: the drain continues at the requested pace.
    if (after === null || !after.enabled || changes.some(({ effect }) => effect === 'rebind')) return [];
  }
  return ['drainMs, drainRate and redirect have no effect here: nothing is rebound, disabled or removed'];
}

/** Warns about secrets when the store has no key to seal them with. */
export function clearSecretWarnings(endpoints: Endpoint[]): string[] {
  const ids = endpoints.filter((endpoint) => secretPathsOf(endpoint).length > 0).map(({ id }) => id);
  if (ids.length === 0) return [];
  const which = ids.length === 1 ? `endpoint ${ids[0]}` : `${ids.length} endpoints`;
  return [`the secrets of ${which} are stored as they were given: store.secretKeyFile or store.secretKey seals them`];
}

/** The `confirm` of an answer, when the revision waits. */
export function confirmViewOf({ revision, confirmUntil }: Applied): { confirm?: ConfirmView } {
  return confirmUntil === null ? {} : { confirm: { revision, until: new Date(confirmUntil).toISOString() } };
}
