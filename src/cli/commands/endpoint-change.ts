/** `endpoint add`, `update`, `remove`, `enable`, `disable` and `plan`. */

import type { PlanAnswer, PublicChange } from '../../answers/changes.ts';
import type { Command, CommandCall } from '../command.ts';
import { usageFailure } from '../failure.ts';
import { readTarget } from '../input/key-values.ts';
import { countOf, printEndpointChange, printKeyChanges, printNotes } from '../print/changes.ts';
import { hint } from '../suggest.ts';
import { printable } from '../terminal.ts';
import {
  CHANGE_OPTIONS,
  changeDetails,
  changeKeys,
  DRAIN,
  FILE,
  FORCE,
  oneTarget,
  optionalTarget,
  printConfirm,
  printedAsJson,
  REASON_OPTION,
  readKeys,
  readRevision,
  refuseSurplus,
} from './common.ts';

const ACTIONS = ['add', 'update', 'remove', 'enable', 'disable'] as const;
type Action = (typeof ACTIONS)[number];
/** The actions of `plan`. */
export const PLANNED: readonly string[] = [...ACTIONS, 'rollback'];

/** Reads the body of a change: the endpoint and its keys. @throws CommandFailure (usage) */
async function readChange(call: CommandCall, action: Action, words: readonly string[]): Promise<Record<string, unknown>> {
  const { options } = call;
  if (action === 'add' || action === 'update') {
    const { others, body } = await readKeys(call, words);
    const [target, ...surplus] = others;
    refuseSurplus(surplus);
    const named = target === undefined ? {} : readTarget(target);
    for (const key of Object.keys(named))
      if (Object.hasOwn(body, key) && options.text('file') === undefined)
        throw usageFailure(`${key} is given twice: ${target} and ${key}=`);
    const whole = { ...body, ...named };
    if (action === 'add' && whole.port === undefined) throw usageFailure('which port? endpoint add port=1884');
    if (action === 'update' && whole.port === undefined && whole.id === undefined)
      throw usageFailure('which endpoint? Give its port or its id');
    if (action === 'update' && Object.keys(whole).every((key) => key === 'port' || key === 'id')) {
      const isMove = 'port' in body && 'id' in named;
      throw usageFailure(isMove ? 'port= names the endpoint; newPort= moves it' : 'nothing to change: give KEY=VALUE, or --file');
    }
    return { ...whole, ...changeKeys(options) };
  }
  const target = oneTarget(words);
  return { ...target, ...changeKeys(options) };
}

const DONE: Readonly<Record<Action, string>> = {
  add: 'added',
  update: 'updated',
  remove: 'removed',
  enable: 'enabled',
  disable: 'disabled',
};

async function change(call: CommandCall, action: Action): Promise<void> {
  const details = changeDetails(call.options);
  const body = await readChange(call, action, call.words);
  const answer = (await call.api.post(`/api/endpoints/${action}`, body, details)) as PublicChange;
  printNotes(call.terminal, answer);
  printConfirm(call.terminal, answer.confirm);
  if (printedAsJson(call, answer) || call.options.has('quiet')) return;
  const { id, host, port } = answer.endpoint;
  const effect = answer.effect === undefined || answer.effect === 'none' ? '' : `, ${answer.effect}`;
  const place = `${host.includes(':') ? `[${host}]` : host}:${port}`;
  call.terminal.out(printable(`${DONE[action]} ${id} (${place}), revision ${answer.revision}${effect}`));
}

/** Reads the body of the planned action. @throws CommandFailure (usage) */
async function readPlanned(call: CommandCall, action: string, words: readonly string[]): Promise<Record<string, unknown>> {
  if (action === 'rollback') {
    return { revision: readRevision(words[0]), ...optionalTarget(words.slice(1)), ...changeKeys(call.options) };
  }
  const known = ACTIONS.find((name) => name === action);
  if (known === undefined) throw usageFailure(`unknown action: ${action}${hint(action, PLANNED)}; one of ${PLANNED.join(', ')}`);
  return readChange(call, known, words);
}

async function plan(call: CommandCall): Promise<void> {
  const [action, ...words] = call.words;
  if (action === undefined) throw usageFailure(`which action? One of ${PLANNED.join(', ')}`);
  const body = await readPlanned(call, action, words);
  const answer = (await call.api.post('/api/endpoints/plan', { action, ...body })) as PlanAnswer;
  if (printedAsJson(call, answer)) return;
  printPlan(call, answer);
}

/** Prints the effects of a planned change. */
export function printPlan(call: CommandCall, answer: PlanAnswer): void {
  const { terminal } = call;
  for (const warning of answer.warnings) terminal.err(`warning: ${printable(warning.replace('needs force: true', 'needs --force'))}`);
  if (answer.endpoints !== undefined) for (const endpoint of answer.endpoints) printEndpointChange(terminal, endpoint);
  else printKeyChanges(terminal, answer.changes);
  if (answer.changes.length === 0 && (answer.endpoints ?? []).length === 0) terminal.out('nothing would change');
  terminal.out(`${countOf(answer.clientsAffected, 'client')} affected`);
}

const PAIRS_HELP = [
  'Dotted keys name options (serverOptions.workerGroupSize=2), null sets the default, lists and objects are written as JSON. --file takes an',
  'object with the same keys; in YAML, ${NAME} is replaced by that environment variable.',
];

function command(
  action: Action,
  rest: Pick<Command, 'usage' | 'summary' | 'examples' | 'options' | 'words'> & { details?: readonly string[] },
): Command {
  return { name: `endpoint ${action}`, connects: true, ...rest, run: (call) => change(call, action) };
}

export const CHANGE_COMMANDS: readonly Command[] = [
  command('add', {
    usage: 'port=PORT [KEY=VALUE...]',
    summary: 'adds an endpoint, which listens when the command returns',
    details: PAIRS_HELP,
    examples: ['endpoint add port=1884 id=sensors namespace=a serverOptions.workerGroupSize=2', 'endpoint add --file sensors.yaml'],
    options: [FILE, ...CHANGE_OPTIONS],
    words: ['pairs'],
  }),
  command('update', {
    usage: 'PORT|ID KEY=VALUE...',
    summary: 'changes keys of an endpoint; newPort moves it',
    details: PAIRS_HELP,
    examples: [
      'endpoint update sensors maxConnectionSize=5000 --reason "ticket 4711"',
      'endpoint update 1884 newPort=1885 --drain 10s --confirm-within 1m',
    ],
    options: [FILE, ...CHANGE_OPTIONS, DRAIN, FORCE],
    words: ['target', 'pairs'],
  }),
  command('remove', {
    usage: 'PORT|ID',
    summary: 'removes an endpoint; its clients are disconnected',
    examples: ['endpoint remove guests --drain 30s'],
    options: [...CHANGE_OPTIONS, DRAIN, FORCE],
    words: ['target'],
  }),
  command('enable', {
    usage: 'PORT|ID',
    summary: 'lets an endpoint listen again',
    examples: ['endpoint enable guests'],
    options: CHANGE_OPTIONS,
    words: ['target'],
  }),
  command('disable', {
    usage: 'PORT|ID',
    summary: 'keeps an endpoint, but stops listening',
    examples: ['endpoint disable guests --drain 10s --reason maintenance'],
    options: [...CHANGE_OPTIONS, DRAIN, FORCE],
    words: ['target'],
  }),
  {
    name: 'endpoint plan',
    usage: 'ACTION [PORT|ID|REV] [KEY=VALUE...]',
    details: [`ACTION is one of ${PLANNED.join(', ')}; the other words are those of that command.`],
    summary: 'shows what a change or a rollback would do; changes nothing',
    examples: ['endpoint plan update 1884 newPort=1885', 'endpoint plan remove guests', 'endpoint plan rollback 12'],
    options: [FILE, DRAIN, FORCE, REASON_OPTION],
    words: ['action', 'target', 'pairs'],
    connects: true,
    run: plan,
  },
];
