/** Parts that several commands share: options, bodies of changes, and the printing of answers. */

import type { Confirm } from '../../answers/changes.ts';
import type { RequestDetails } from '../api/exchange.ts';
import type { CommandCall } from '../command.ts';
import { CommandFailure, EXIT, usageFailure } from '../failure.ts';
import { readDocumentFile } from '../input/document-file.ts';
import { readDuration } from '../input/duration.ts';
import { isSecretKey } from '../input/endpoint-keys.ts';
import { readPairs, readTarget, type TargetKey } from '../input/key-values.ts';
import type { OptionSpec, Options } from '../option.ts';
import { printable, type Terminal } from '../terminal.ts';

export const REASON_OPTION: OptionSpec = { name: 'reason', value: 'TEXT', text: 'reason of the change, for the history' };
export const IF_MATCH: OptionSpec = { name: 'if-match', value: 'REV', text: 'only if this is still the revision', completes: 'revision' };
export const CONFIRM_WITHIN: OptionSpec = { name: 'confirm-within', value: 'TIME', text: 'undo it unless confirmed within this time' };
export const DRAIN: OptionSpec = {
  name: 'drain',
  value: 'TIME',
  text: 'spread the disconnects of clients over this time when their listener stops',
};
export const FORCE: OptionSpec = { name: 'force', text: 'allow it for the default endpoint too' };
export const FILE: OptionSpec = {
  name: 'file',
  value: 'FILE',
  text: 'read the keys from JSON or YAML (- is standard input)',
  completes: 'file',
};
export const YES: OptionSpec = { name: 'yes', short: 'y', text: 'do not ask' };

/** Options of every change. */
export const CHANGE_OPTIONS: readonly OptionSpec[] = [REASON_OPTION, IF_MATCH, CONFIRM_WITHIN];

const MS_PER_DAY = 86_400_000;

/** Query and headers of a change. @throws CommandFailure (usage) */
export function changeDetails(options: Options): RequestDetails {
  const within = options.text('confirm-within');
  if (within !== undefined && (readDuration('confirm-within', within) < 1000 || readDuration('confirm-within', within) > MS_PER_DAY)) {
    throw usageFailure(`--confirm-within ${within}: expected 1s to 24h`);
  }
  const ifMatch = options.text('if-match');
  if (ifMatch !== undefined && !/^(\d{1,15}|\*)$/.test(ifMatch))
    throw usageFailure(`--if-match ${ifMatch}: expected a revision, such as 7`);
  return {
    query: { confirmWithin: within },
    headers: { 'if-match': ifMatch === undefined || ifMatch === '*' ? ifMatch : `"${ifMatch}"` },
    isChange: true,
  };
}

/** The keys that options add to the body of a change. */
export function changeKeys(options: Options): Record<string, unknown> {
  const drain = options.text('drain');
  const reason = options.text('reason');
  return {
    ...(reason === undefined ? {} : { reason }),
    ...(drain === undefined ? {} : { drainMs: readDuration('drain', drain) }),
    ...(options.has('force') ? { force: true } : {}),
  };
}

/** Reads the keys of an endpoint from the words and from `--file`; the words win. */
export async function readKeys(call: CommandCall, words: readonly string[]): Promise<{ others: string[]; body: Record<string, unknown> }> {
  const { others, body } = readPairs(words);
  for (const path of words.map((word) => word.split('=', 1)[0] ?? '').filter(isSecretKey)) {
    call.terminal.err(`warning: ${printable(path)} is in an argument, where others can read it; --file - reads keys from standard input`);
  }
  const file = call.options.text('file');
  return { others, body: file === undefined ? body : { ...(await readEndpointFile(file, call.terminal)), ...body } };
}

/** Reads an endpoint's keys from a file; also accepts the output of `endpoint get --json`. */
async function readEndpointFile(file: string, terminal: Terminal): Promise<Record<string, unknown>> {
  const document = await readDocumentFile(file, ['endpoints', '0'], 'an object of keys', terminal);
  const { endpoint, revision, ...rest } = document;
  const isAnswer = typeof endpoint === 'object' && endpoint !== null && typeof revision === 'number' && Object.keys(rest).length === 0;
  return isAnswer ? (endpoint as Record<string, unknown>) : document;
}

/** Reads the one endpoint that a command needs. @throws CommandFailure (usage) */
export function oneTarget(words: readonly string[]): TargetKey {
  const target = optionalTarget(words);
  if (target === null) throw usageFailure('which endpoint? Give its port or its id');
  return target;
}

/** As `oneTarget`, but null when no endpoint is named. */
export function optionalTarget(words: readonly string[]): TargetKey | null {
  const [word, ...surplus] = words;
  refuseSurplus(surplus);
  return word === undefined ? null : readTarget(word);
}

/** @throws CommandFailure (usage) when there are more words than a command takes */
export function refuseSurplus(words: readonly string[]): void {
  if (words.length > 0) throw usageFailure(`unexpected: ${words.join(' ')}`);
}

/** A revision: a whole number. @throws CommandFailure (usage) */
export function readRevision(word: string | undefined): number {
  if (word === undefined) throw usageFailure('which revision? ./fluxmq endpoint history lists them');
  if (!/^\d{1,15}$/.test(word)) throw usageFailure(`${word} is no revision: expected a whole number`);
  return Number(word);
}

/** The target as query parameters. */
export function targetQuery(target: TargetKey | null): Record<string, string | undefined> {
  return { port: target?.port === undefined ? undefined : String(target.port), id: target?.id };
}

/** Prints the API's data and returns true with `--json`; otherwise returns false. */
export function printedAsJson(call: CommandCall, data: unknown): boolean {
  if (!call.options.has('json')) return false;
  call.terminal.out(JSON.stringify(data, null, 2));
  return true;
}

/** Returns when the answer is yes. @throws CommandFailure (refused) for any other answer */
export async function untilYes(terminal: Terminal, question: string): Promise<void> {
  const answer = await terminal.ask(`${question} [y/N] `);
  if (!/^y(es)?$/i.test(answer.trim())) throw new CommandFailure(EXIT.refused, 'nothing was changed');
}

/** Says how to keep a change that waits for a confirmation. */
export function printConfirm(terminal: Terminal, confirm: Confirm | undefined): void {
  if (confirm === undefined) return;
  terminal.err(
    `revision ${confirm.revision} is undone at ${timeText(confirm.until)} unless confirmed: ./fluxmq endpoint confirm ${confirm.revision}`,
  );
}

/** ISO 8601 to the second. */
export function timeText(at: string): string {
  return at.replace(/\.\d+Z$/, 'Z');
}
