/** Sends each request for a change to the part that makes it, again on the new state when another node was first. */

import { isObject } from '../endpoint/problems.ts';
import { parseEndpoint } from '../endpoint/schema.ts';
import { FluxError } from '../kernel/errors.ts';
import { readAdd, readPlan } from './changes/change-body.ts';
import type { ChangeParts } from './compose-changes.ts';
import type { ListeningParts } from './compose-listening.ts';
import type { PlanAnswer, ValidateAnswer } from './contract/answers.ts';
import type { ChangeRequests } from './contract/change-requests.ts';
import type { RequestContext } from './contract/request-parts.ts';
import { tlsOf } from './listening/driver.ts';
import { reachStep } from './state/change-steps.ts';

export function serveChanges({ desired }: ListeningParts, parts: ChangeParts): ChangeRequests {
  const { single, rollback, transfer, confirmations } = parts;
  const change = async <T>(attempt: () => Promise<T>) => {
    const answer = await desired.onNewest(attempt);
    reachStep('announced');
    return answer;
  };
  return {
    add: (body, context) => change(() => single.change('add', body, context)),
    update: (body, context) => change(() => single.change('update', body, context)),
    remove: (body, context) => change(() => single.change('remove', body, context)),
    setEnabled: (enabled, body, context) => change(() => single.change(enabled ? 'enable' : 'disable', body, context)),
    rollback: (body, context) => change(() => rollback.run(body, context)),
    confirm: (body, context) => confirmations.confirm(body, context),
    plan: (body, context) => plan(parts, body, context),
    validate,
    exportAll: (wanted) => transfer.exportAll(wanted),
    importAll: (body, context) => change(() => transfer.importAll(toBody(body), context)),
    backup: (wanted, hasHistory) => transfer.backup(wanted, hasHistory),
    restore: (upload, context) => change(() => transfer.restore(upload, context)),
  };
}

async function plan({ single, rollback, transfer }: ChangeParts, body: unknown, context: RequestContext): Promise<PlanAnswer> {
  const { action, body: rest } = readPlan(body);
  if (action === 'rollback') return rollback.plan(rest, context);
  if (action === 'import') return transfer.plan(rest, context);
  return single.plan(action, rest, context);
}

async function validate(body: unknown): Promise<ValidateAnswer> {
  try {
    const { endpoint, warnings } = parseEndpoint(readAdd(body).input);
    const { warnings: more } = await tlsOf(endpoint, null);
    return { valid: true, issues: [], warnings: [...warnings, ...more] };
  } catch (error) {
    if (!(error instanceof FluxError) || error.kind === 'internal') throw error;
    const issues = error.issues.length > 0 ? error.issues : [{ path: '', message: error.message }];
    return { valid: false, issues, warnings: [] };
  }
}

/** @throws FluxError `invalid` when the body is not an object */
function toBody(body: unknown): Record<string, unknown> {
  if (isObject(body)) return body;
  throw new FluxError('invalid', 'the body must be a JSON object', { issues: [{ path: '', message: 'must be an object' }] });
}
