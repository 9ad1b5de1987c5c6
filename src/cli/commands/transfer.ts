/** `export`, `backup` and `restore`, and the upload that `import` and `apply` share with `restore`. */

import { open, rename, rm } from 'node:fs/promises';
import { resolve } from 'node:path';
import type { ImportAnswer, RestoreAnswer } from '../../answers/changes.ts';
import { messageOf } from '../../kernel/errors.ts';
import type { StreamedBody } from '../api/exchange.ts';
import type { Command, CommandCall } from '../command.ts';
import { CommandFailure, usageFailure } from '../failure.ts';
import { readDocumentFile } from '../input/document-file.ts';
import { largeFile } from '../input/large-file.ts';
import type { OptionSpec, Options } from '../option.ts';
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
  text: 'write to this file, which only its owner can read',
  completes: 'file',
};
const SECRETS: OptionSpec = {
  name: 'secrets',
  value: 'HOW',
  text: 'mask (default) or include: passwords in clear',
  completes: ['mask', 'include'],
};
/** Describes the files that `import` and `restore` read. */
export const WITH_CONFIGS = 'an object with a list "configs" of endpoints, as export and backup write it';
const RESTORE = '/api/endpoints/restore';
export const DRY_RUN: OptionSpec = { name: 'dry-run', text: 'show what would change, and change nothing' };

async function download(call: CommandCall, path: string): Promise<void> {
  refuseSurplus(call.words);
  const secrets = readSecrets(call.options);
  const data = (await call.api.get(path, { query: { secrets } })) as { note?: unknown };
  const text = JSON.stringify(data, null, 2);
  if (typeof data.note === 'string' && !call.options.has('quiet')) {
    // The broker's text names the query parameter; users of the command line need the option.
    call.terminal.err(`note: ${printable(data.note.replaceAll('?secrets=', '--secrets '))}`);
  }
  const file = call.options.text('output');
  if (file === undefined) call.terminal.out(text);
  else await writeWhole(resolve(call.terminal.cwd, file), (write) => write(Buffer.from(`${text}\n`)));
}

/** Writes the file whole or not at all. @throws CommandFailure (usage), and the errors of `fill` */
async function writeWhole(path: string, fill: (write: (chunk: Buffer) => Promise<void>) => Promise<void>): Promise<void> {
  const temporary = `${path}.${process.pid}.tmp`;
  const file = await open(temporary, 'wx', 0o600).catch((error: unknown) => {
    throw unwritable(path, error);
  });
  try {
    await fill(async (chunk) => {
      await file.appendFile(chunk).catch((error: unknown) => {
        throw unwritable(path, error);
      });
    });
    await file.sync();
    await file.close();
    await rename(temporary, path);
  } catch (error) {
    await file.close().catch(() => {});
    await rm(temporary, { force: true });
    throw error instanceof CommandFailure ? error : unwritable(path, error);
  }
}

function unwritable(path: string, error: unknown): CommandFailure {
  return usageFailure(`${path} cannot be written: ${messageOf(error)}`);
}

/** Bytes at the end of a backup that are kept, because they say how its secrets are stored. */
const TAIL_BYTES = 4096;

/** Writes a backup while it arrives, and keeps only its end in memory. */
async function backup(call: CommandCall): Promise<void> {
  refuseSurplus(call.words);
  const { options, terminal } = call;
  const secrets = readSecrets(options);
  const history = options.has('no-history') ? 'false' : undefined;
  const file = options.text('output');
  let tail = Buffer.alloc(0);
  const remember = (chunk: Buffer) => {
    tail = Buffer.concat([tail, chunk.subarray(-TAIL_BYTES)]).subarray(-TAIL_BYTES);
  };
  const fetchInto = (write: (chunk: Buffer) => Promise<void>) =>
    call.api.download('/api/endpoints/backup', { query: { secrets, history } }, async (chunk) => {
      remember(chunk);
      await write(chunk);
    });
  if (file === undefined) {
    await fetchInto((chunk) => terminal.write(chunk));
    await terminal.write(Buffer.from('\n'));
  } else await writeWhole(resolve(terminal.cwd, file), fetchInto);
  printSecretsNote(call, tail.toString('utf8'));
}

/** Warns at once about secrets that a restore would miss. @param end the end of the backup */
function printSecretsNote({ terminal, options }: CommandCall, end: string): void {
  const [, secrets] = /"secrets":"(none|sealed|masked|clear)"[^[\]]*$/.exec(end) ?? [];
  const [, note] = /"note":("(?:[^"\\]|\\.)*")[^[\]]*$/.exec(end) ?? [];
  if (note === undefined) return;
  const text = printable((JSON.parse(note) as string).replaceAll('?secrets=', '--secrets '));
  if (secrets === 'masked') terminal.err(`warning: ${text}`);
  else if (!options.has('quiet')) terminal.err(`note: ${text}`);
}

function readSecrets(options: Options): string | undefined {
  const secrets = options.text('secrets');
  if (secrets !== undefined && secrets !== 'mask' && secrets !== 'include')
    throw usageFailure(`--secrets ${secrets}: expected mask or include`);
  return secrets;
}

/** Reads the one file name that a command needs. @throws CommandFailure (usage) */
export function oneFile(words: readonly string[], what: string): string {
  const [file, ...surplus] = words;
  if (file === undefined) throw usageFailure(`which file? ${what} FILE, or - for standard input`);
  refuseSurplus(surplus);
  return file;
}

/** Sends a document or a large file, and prints the changes of its endpoints. */
export async function upload(call: CommandCall, path: string, document: Sendable, done: string): Promise<void> {
  const { options, terminal } = call;
  const isDry = options.has('dry-run');
  const answer = await sent(call, path, document, isDry ? { dryRun: true } : {});
  printNotes(terminal, answer);
  printConfirm(terminal, answer.confirm);
  if (printedAsJson(call, answer) || options.has('quiet')) return;
  for (const change of answer.changes) printEndpointChange(terminal, change);
  const counts = countsText(answer);
  const history = 'adopted' in answer && answer.adopted ? ', with the history' : '';
  if (isDry) terminal.out(`${counts}: a dry run, nothing was changed`);
  else if (answer.changes.length === 0) terminal.out(`${counts}: nothing to do`);
  else terminal.out(`${done} ${countOf(answer.changes.length, 'change')}: ${counts}, revision ${answer.revision}${history}`);
}

/** A document in memory, or a file that is read while it is sent. */
type Sendable = Record<string, unknown> | ((more: Record<string, unknown>) => StreamedBody);

async function sent(
  { api, options }: CommandCall,
  path: string,
  document: Sendable,
  more: Record<string, unknown>,
): Promise<ImportAnswer | RestoreAnswer> {
  const keys = { ...changeKeys(options), ...more };
  const details = changeDetails(options);
  const answer =
    typeof document === 'function'
      ? await api.postFile(path, document(keys), details)
      : await api.post(path, { ...document, ...keys }, details);
  return answer as ImportAnswer | RestoreAnswer;
}

function countsText({ added, updated, removed, unchanged }: ImportAnswer): string {
  return `${added} added, ${updated} updated, ${removed} removed, ${unchanged} unchanged`;
}

async function restore(call: CommandCall): Promise<void> {
  const file = oneFile(call.words, 'restore');
  const document = largeFile(file, call.terminal.cwd) ?? (await readDocumentFile(file, ['endpoints', '0'], WITH_CONFIGS, call.terminal));
  if (!call.options.has('dry-run') && !call.options.has('yes')) await askBeforeRestore(call, document);
  await upload(call, RESTORE, document, 'restored');
}

/** Shows the plan of a restore and asks. A restore that only adds needs no question. @throws CommandFailure (refused, usage) */
async function askBeforeRestore(call: CommandCall, document: Sendable): Promise<void> {
  const { terminal } = call;
  const foreseen = await sent(call, RESTORE, document, { dryRun: true });
  if (foreseen.updated + foreseen.removed === 0) return;
  const counts = countsText(foreseen);
  if (!terminal.canAsk) {
    throw usageFailure(`a restore asks before it changes or removes endpoints (${counts}), and there is no terminal to ask on: give --yes`);
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
    summary: 'prints all endpoints as JSON',
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
    summary: 'prints all endpoints and their history as JSON',
    details: ['A backup with masked passwords can be restored only where the endpoints still exist; the command warns about it.'],
    examples: ['backup > backup.json', 'backup --secrets include --output backup.json', 'backup --no-history > endpoints.json'],
    options: [OUTPUT, SECRETS, { name: 'no-history', text: 'leave out the history' }],
    words: [],
    connects: true,
    run: backup,
  },
  {
    name: 'restore',
    usage: 'FILE',
    summary: 'makes the endpoints match a backup; all or nothing',
    details: [
      'A restore that changes or removes endpoints shows the plan and asks; without a terminal it needs --yes.',
      'An empty store takes the history too; any other store gets one new revision.',
    ],
    examples: ['restore backup.json --dry-run', 'restore backup.json --yes --reason "new machine"'],
    options: [YES, DRY_RUN, ...CHANGE_OPTIONS, DRAIN, FORCE],
    words: ['file'],
    connects: true,
    run: restore,
  },
];
