/** `export`, `import`, `backup` and `restore`. */

import { closeSync, openSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { resolve } from 'node:path';
import type { ImportAnswer } from '../api/answers.ts';
import type { Call, Command } from '../command.ts';
import { usageFailure } from '../failure.ts';
import { readDocumentFile } from '../input/document-file.ts';
import type { OptionSpec } from '../option.ts';
import { countOf, printEndpointChange, printNotes } from '../print/changes.ts';
import { printable } from '../terminal.ts';
import {
  CHANGE_OPTIONS,
  changeDetails,
  changeKeys,
  DRAIN,
  FORCE,
  printConfirm,
  printedAsJson,
  refuseSurplus,
  untilYes,
  YES,
} from './common.ts';

const OUTPUT: OptionSpec = {
  name: 'output',
  short: 'o',
  value: 'FILE',
  text: 'write to this file, readable by its owner only',
  completes: 'file',
};
const SECRETS: OptionSpec = {
  name: 'secrets',
  value: 'HOW',
  text: 'mask (default) or include: passwords in clear',
  completes: ['mask', 'include'],
};
/** What `import` and `restore` read. */
export const WITH_CONFIGS = 'an object with a list "configs" of endpoints, as export and backup write it';
const RESTORE = '/api/endpoints/restore';
export const DRY_RUN: OptionSpec = { name: 'dry-run', text: 'say what would change, and change nothing' };

async function download(call: Call, path: string): Promise<void> {
  refuseSurplus(call.words);
  const secrets = call.options.text('secrets');
  if (secrets !== undefined && secrets !== 'mask' && secrets !== 'include')
    throw usageFailure(`--secrets ${secrets}: expected mask or include`);
  const data = (await call.api.get(path, { query: { secrets } })) as { note?: unknown };
  const text = JSON.stringify(data, null, 2);
  if (typeof data.note === 'string' && !call.options.has('quiet')) {
    // The broker speaks to whoever asks over HTTP.
    call.terminal.err(`note: ${printable(data.note.replaceAll('?secrets=', '--secrets '))}`);
  }
  const file = call.options.text('output');
  if (file === undefined) call.terminal.out(text);
  else writeWhole(resolve(call.terminal.cwd, file), `${text}\n`);
}

/** The file is there wholly or not at all. @throws CommandFailure (usage) */
function writeWhole(file: string, text: string): void {
  const temporary = `${file}.${process.pid}.tmp`;
  try {
    const descriptor = openSync(temporary, 'wx', 0o600);
    try {
      writeFileSync(descriptor, text, { flush: true });
    } finally {
      closeSync(descriptor);
    }
    renameSync(temporary, file);
  } catch (error) {
    rmSync(temporary, { force: true });
    throw usageFailure(`${file} cannot be written: ${error instanceof Error ? error.message : String(error)}`);
  }
}

/** The one file that a command reads. @throws CommandFailure (usage) */
export function oneFile(words: readonly string[], what: string): string {
  const [file, ...surplus] = words;
  if (file === undefined) throw usageFailure(`which file? ${what} FILE, or - for standard input`);
  refuseSurplus(surplus);
  return file;
}

/** Sends a document, and says what became of the endpoints in it. */
export async function upload(call: Call, path: string, document: Record<string, unknown>, done: string): Promise<void> {
  const { options, terminal } = call;
  const isDry = options.has('dry-run');
  const body = { ...document, ...changeKeys(options), ...(isDry ? { dryRun: true } : {}) };
  const answer = (await call.api.post(path, body, changeDetails(options))) as ImportAnswer;
  printNotes(terminal, answer);
  printConfirm(terminal, answer.confirm);
  if (printedAsJson(call, answer) || options.has('quiet')) return;
  for (const change of answer.changes) printEndpointChange(terminal, change);
  const counts = countsText(answer);
  const history = answer.adopted === true ? ', with the history' : '';
  if (isDry) terminal.out(`${counts}: a dry run, nothing was changed`);
  else if (answer.changes.length === 0) terminal.out(`${counts}: nothing to do`);
  else terminal.out(`${done} ${countOf(answer.changes.length, 'change')}: ${counts}, revision ${answer.revision}${history}`);
}

function countsText({ added, updated, removed, unchanged }: ImportAnswer): string {
  return `${added} added, ${updated} updated, ${removed} removed, ${unchanged} unchanged`;
}

async function restore(call: Call): Promise<void> {
  const document = await readDocumentFile(oneFile(call.words, 'restore'), ['endpoints', '0'], WITH_CONFIGS, call.terminal);
  if (!call.options.has('dry-run') && !call.options.has('yes')) await askBeforeRestore(call, document);
  await upload(call, RESTORE, document, 'restored');
}

/** Shows what a restore would do, and asks; one that only adds takes nothing from anybody. @throws CommandFailure (refused, usage) */
async function askBeforeRestore(call: Call, document: Record<string, unknown>): Promise<void> {
  const { options, terminal } = call;
  const body = { ...document, ...changeKeys(options), dryRun: true };
  const foreseen = (await call.api.post(RESTORE, body, changeDetails(options))) as ImportAnswer;
  if (foreseen.updated + foreseen.removed === 0) return;
  const counts = countsText(foreseen);
  if (!terminal.canAsk) {
    throw usageFailure(`a restore asks before it changes or removes endpoints (${counts}), and nobody is there to answer: give --yes`);
  }
  printNotes(terminal, foreseen);
  for (const change of foreseen.changes) printEndpointChange(terminal, change);
  terminal.out(counts);
  await untilYes(terminal, 'Restore?');
}

export const TRANSFER_COMMANDS: readonly Command[] = [
  {
    name: 'export',
    usage: '',
    summary: 'all endpoints as JSON',
    details: ['Passwords are sealed or masked unless --secrets include is given.'],
    examples: ['export > endpoints.json', 'export --secrets include --output endpoints.json'],
    options: [OUTPUT, SECRETS],
    words: [],
    connects: true,
    run: (call) => download(call, '/api/endpoints/export'),
  },
  {
    name: 'backup',
    usage: '',
    summary: 'all endpoints and their history as JSON',
    examples: ['backup > backup.json', 'backup --secrets include --output backup.json'],
    options: [OUTPUT, SECRETS],
    words: [],
    connects: true,
    run: (call) => download(call, '/api/endpoints/backup'),
  },
  {
    name: 'restore',
    usage: 'FILE',
    summary: 'makes the endpoints what they are in a backup; all or nothing',
    details: [
      'Where it changes or removes endpoints it shows what it would do and asks; without a terminal it needs --yes. An empty store takes the history, too; else this is one new revision.',
    ],
    examples: ['restore backup.json --dry-run', 'restore backup.json --yes --reason "new machine"'],
    options: [YES, DRY_RUN, ...CHANGE_OPTIONS, DRAIN, FORCE],
    words: ['file'],
    connects: true,
    run: restore,
  },
];
