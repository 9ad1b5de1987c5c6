/** `user import` and `user rollback`: many users as one change. */

import { readFileSync, statSync } from 'node:fs';
import { resolve } from 'node:path';
import type { ImportUsersAnswer } from '../../../answers/users.ts';
import { messageOf } from '../../../kernel/errors.ts';
import { textOf } from '../../../kernel/input/file-text.ts';
import { makeHash } from '../../../kernel/logins/make-hash.ts';
import type { Command, CommandCall } from '../../command.ts';
import { CommandFailure, EXIT, usageFailure } from '../../failure.ts';
import type { OptionSpec, Options } from '../../option.ts';
import { hint } from '../../suggest.ts';
import { printable } from '../../terminal.ts';
import { type ImportedUser, PROBLEMS_MAX } from '../../user-files/contract.ts';
import { EMQX_HASHES, type EmqxTerms } from '../../user-files/emqx.ts';
import { kindOfUserFile, readUserFile, USER_FILES } from '../../user-files/read-user-file.ts';
import { printedAsJson, REASON_OPTION, readRevision, refuseSurplus, untilYes, YES } from '../common.ts';
import { DRY_RUN } from '../transfer.ts';
import { NAMESPACE, warnOfNodes } from './user-words.ts';

const BYTES_MAX = 128 * 1024 * 1024;
/** The broker hashes so many passwords of an import; the command line hashes more of them itself. */
const PASSWORDS_MAX = 1_000;
const SOME_HASH = `$6$AAAA$${Buffer.alloc(64).toString('base64')}`;
const SALTS = ['prefix', 'suffix', 'disable'] as const;
const EMQX_ITERATIONS = 4_096;

/** One of several words. @throws CommandFailure (usage) */
function oneOf<T extends string>(options: Options, name: string, words: readonly T[]): T | undefined {
  const word = options.text(name);
  if (word === undefined) return undefined;
  const known = words.find((each) => each === word);
  if (known === undefined) throw usageFailure(`--${name} ${word}: expected one of ${words.join(', ')}${hint(word, words)}`);
  return known;
}

/** @throws CommandFailure (usage) */
function termsOf(options: Options): EmqxTerms {
  const iterations = options.text('iterations') ?? String(EMQX_ITERATIONS);
  if (!/^[1-9]\d{0,6}$/.test(iterations)) throw usageFailure(`--iterations ${iterations}: expected a whole number, 1..9999999`);
  return {
    by: options.has('client') ? 'clientId' : 'username',
    hash: oneOf(options, 'hashed', EMQX_HASHES) ?? 'sha256',
    salt: oneOf(options, 'salt', SALTS) ?? 'prefix',
    iterations: Number(iterations),
  };
}

/** @throws CommandFailure (usage) */
async function readText({ terminal }: CommandCall, file: string): Promise<string> {
  try {
    if (file === '-') return await terminal.readInput(BYTES_MAX);
    const path = resolve(terminal.cwd, file);
    if (statSync(path).size > BYTES_MAX) throw new Error(`is larger than ${BYTES_MAX} bytes`);
    const { text, problem } = textOf(readFileSync(path), true);
    if (problem !== null) throw new Error(problem);
    return text;
  } catch (error) {
    throw usageFailure(`${file === '-' ? 'standard input' : file}: ${messageOf(error)}`);
  }
}

/** @throws CommandFailure (usage) that names every problem of the file */
async function readUsers(call: CommandCall): Promise<ImportedUser[]> {
  const { words, options, terminal } = call;
  const [file, ...surplus] = words;
  refuseSurplus(surplus);
  if (file === undefined) throw usageFailure('which file? - is standard input');
  const text = await readText(call, file);
  const kind = oneOf(options, 'from', USER_FILES) ?? kindOfUserFile(text);
  const aclFile = options.text('acl');
  if (aclFile !== undefined && kind !== 'mosquitto') throw usageFailure("--acl belongs to mosquitto's password file");
  const { users, problems, notes } = readUserFile(
    text,
    kind,
    termsOf(options),
    aclFile === undefined ? null : await readText(call, aclFile),
  );
  if (problems.length > 0) {
    const more = problems.length > PROBLEMS_MAX ? [`and ${problems.length - PROBLEMS_MAX} more`] : [];
    throw usageFailure(`${file} (${kind}) cannot be imported, and nothing was changed`, [
      ...problems.slice(0, PROBLEMS_MAX).map(printable),
      ...more,
    ]);
  }
  for (const note of notes) terminal.err(printable(`note: ${note}`));
  if (users.length === 0) throw new CommandFailure(EXIT.refused, `${file} (${kind}) has no user`);
  const namespace = options.text('namespace');
  return namespace === undefined ? users : users.map((user) => ({ ...user, namespace }));
}

/** Hashes passwords where the broker would refuse their number. A dry run needs no true hash: each such user counts as changed. */
async function hashed(users: ImportedUser[], isDry: boolean): Promise<ImportedUser[]> {
  if (users.filter(({ password }) => password !== undefined).length <= PASSWORDS_MAX) return users;
  if (isDry) return users.map(({ password, ...user }) => (password === undefined ? user : { ...user, hash: SOME_HASH }));
  const done: ImportedUser[] = [];
  for (const { password, ...user } of users)
    done.push(password === undefined ? user : { ...user, hash: await makeHash('argon2id', password) });
  return done;
}

function report(call: CommandCall, answer: ImportUsersAnswer, isDry: boolean): void {
  warnOfNodes(call, answer);
  if (printedAsJson(call, answer) || call.options.has('quiet')) return;
  const { added, updated, removed, unchanged, revision } = answer;
  const counts = `${added} added, ${updated} changed, ${removed} removed, ${unchanged} unchanged`;
  call.terminal.out(isDry ? `would be: ${counts}` : `${counts}, revision ${revision}`);
}

async function importUsers(call: CommandCall): Promise<void> {
  const { options, api } = call;
  const isDry = options.has('dry-run');
  const users = await readUsers(call);
  const reason = options.text('reason');
  const body = {
    users: await hashed(users, isDry),
    mode: options.has('replace') ? 'replace' : 'merge',
    ...(isDry ? { dryRun: true } : {}),
    ...(reason === undefined ? {} : { reason }),
  };
  report(call, (await api.post('/api/users/import', body, { isChange: !isDry })) as ImportUsersAnswer, isDry);
}

async function rollback(call: CommandCall): Promise<void> {
  const { options, terminal, api } = call;
  const [word, ...surplus] = call.words;
  refuseSurplus(surplus);
  const revision = readRevision(word);
  const isDry = options.has('dry-run');
  const asks = !isDry && !options.has('yes');
  if (asks && !terminal.canAsk)
    throw usageFailure('a rollback asks before it changes anything, and there is no terminal to ask on: give --yes');
  if (isDry || asks) {
    const planned = (await api.post('/api/users/rollback', { revision, dryRun: true })) as ImportUsersAnswer;
    report(call, planned, true);
    if (isDry) return;
    await untilYes(terminal, `Set all users back to revision ${revision}?`);
  }
  const reason = options.text('reason');
  const body = { revision, ...(reason === undefined ? {} : { reason }) };
  report(call, (await api.post('/api/users/rollback', body, { isChange: true })) as ImportUsersAnswer, false);
}

const FROM: OptionSpec = { name: 'from', value: 'FORM', text: `${USER_FILES.join(', ')}; default: by the content`, completes: USER_FILES };

export const USER_IMPORT_COMMANDS: readonly Command[] = [
  {
    name: 'user import',
    usage: 'FILE',
    summary: 'adds or changes users from a file; all or nothing, one revision',
    details: [
      "FILE is an export of fluxmq, mosquitto's password_file or dynamic-security.json, or EMQX's CSV or JSON of built-in users; - is standard input.",
      'An EMQX file does not name its hashes: --hashed and --salt do. --client says that its names are client identifiers.',
    ],
    examples: [
      'user import users.json --dry-run',
      'user import /etc/mosquitto/passwd --acl /etc/mosquitto/acl',
      'user import dynamic-security.json --replace',
      'user import emqx-users.csv --hashed sha256 --salt suffix',
    ],
    options: [
      FROM,
      { name: 'acl', value: 'FILE', text: "mosquitto's acl_file, whose rules the users take", completes: 'file' },
      { name: 'hashed', value: 'KIND', text: `EMQX: ${EMQX_HASHES.join(', ')}; default sha256`, completes: EMQX_HASHES },
      { name: 'salt', value: 'WHERE', text: `EMQX: ${SALTS.join(', ')}; default prefix`, completes: SALTS },
      { name: 'iterations', value: 'N', text: `EMQX, pbkdf2: default ${EMQX_ITERATIONS}` },
      { name: 'client', text: 'EMQX: the names are client identifiers' },
      NAMESPACE,
      { name: 'replace', text: 'remove all users that the file does not have' },
      DRY_RUN,
      REASON_OPTION,
    ],
    words: ['file'],
    connects: true,
    run: importUsers,
  },
  {
    name: 'user rollback',
    usage: 'REV',
    summary: 'sets all users back to a revision; a new revision',
    details: ['Says what changes and asks; without a terminal it needs --yes.'],
    examples: ['user rollback 7', 'user rollback 7 --yes --reason "wrong import"'],
    options: [YES, DRY_RUN, REASON_OPTION],
    words: ['revision'],
    connects: true,
    run: rollback,
  },
];
