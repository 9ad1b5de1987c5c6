/** `endpoint rollback` and `endpoint confirm`. */

import type { ConfirmAnswer, PlanAnswer, PublicRollback } from '../../answers/changes.ts';
import type { Command, CommandCall } from '../command.ts';
import { usageFailure } from '../failure.ts';
import { countOf, printEndpointChange, printNotes } from '../print/changes.ts';
import { printable } from '../terminal.ts';
import {
  CHANGE_OPTIONS,
  changeDetails,
  changeKeys,
  DRAIN,
  FORCE,
  optionalTarget,
  printConfirm,
  printedAsJson,
  readRevision,
  refuseSurplus,
  untilYes,
  YES,
} from './common.ts';
import { printPlan } from './endpoint-change.ts';

async function rollback(call: CommandCall): Promise<void> {
  const { options, terminal } = call;
  const [word, ...rest] = call.words;
  const revision = readRevision(word);
  const body = { revision, ...optionalTarget(rest), ...changeKeys(options) };
  const details = changeDetails(options);
  const isDry = options.has('dry-run');
  const asks = !isDry && !options.has('yes');
  if (asks && !terminal.canAsk)
    throw usageFailure('a rollback asks before it changes anything, and there is no terminal to ask on: give --yes');
  if (isDry || asks) {
    const planned = (await call.api.post('/api/endpoints/plan', { action: 'rollback', ...body })) as PlanAnswer;
    if (isDry && printedAsJson(call, planned)) return;
    printPlan(call, planned);
    if (isDry || (planned.endpoints ?? []).length === 0) return;
    await untilYes(terminal, `Roll back to revision ${revision}?`);
  }
  const answer = (await call.api.post('/api/endpoints/rollback', body, details)) as PublicRollback;
  printNotes(terminal, answer);
  printConfirm(terminal, answer.confirm);
  if (printedAsJson(call, answer) || options.has('quiet')) return;
  if (answer.changes.length === 0) {
    terminal.out(`nothing to do: the state is that of revision ${revision} already`);
    return;
  }
  for (const change of answer.changes) printEndpointChange(terminal, change);
  terminal.out(`rolled ${countOf(answer.changes.length, 'endpoint')} back to revision ${revision}, revision ${answer.revision}`);
}

async function confirm(call: CommandCall): Promise<void> {
  const [word, ...surplus] = call.words;
  const revision = readRevision(word);
  refuseSurplus(surplus);
  const answer = (await call.api.post('/api/endpoints/confirm', { revision }, { isChange: true })) as ConfirmAnswer;
  printNotes(call.terminal, answer);
  if (printedAsJson(call, answer) || call.options.has('quiet')) return;
  call.terminal.out(printable(`confirmed revision ${answer.revision}, which changed ${answer.endpoints.map(({ id }) => id).join(', ')}`));
}

export const ROLLBACK_COMMANDS: readonly Command[] = [
  {
    name: 'endpoint rollback',
    usage: 'REV [PORT|ID]',
    summary: 'returns one endpoint, or all, to the state of a revision',
    details: ['Shows the plan and asks; without a terminal it needs --yes. A rollback is a new revision, and can be rolled back itself.'],
    examples: ['endpoint rollback 12', 'endpoint rollback 12 sensors --yes --reason "ticket 4712"'],
    options: [YES, { name: 'dry-run', text: 'show the plan, and change nothing' }, ...CHANGE_OPTIONS, DRAIN, FORCE],
    words: ['revision', 'target'],
    connects: true,
    run: rollback,
  },
  {
    name: 'endpoint confirm',
    usage: 'REV',
    summary: 'keeps a change that was made with --confirm-within',
    examples: ['endpoint confirm 13'],
    options: [],
    words: ['revision'],
    connects: true,
    run: confirm,
  },
];
