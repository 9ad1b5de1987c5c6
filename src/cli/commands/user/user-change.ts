/** `user add`, `set`, `passwd`, `enable`, `disable` and `remove`. */

import { MADE_HASHES, type MadeHash, makeHash } from '../../../kernel/logins/make-hash.ts';
import type { Command, CommandCall } from '../../command.ts';
import { usageFailure } from '../../failure.ts';
import { readDocumentFile } from '../../input/document-file.ts';
import { readNewPassword } from '../../input/new-password.ts';
import type { OptionSpec } from '../../option.ts';
import { hint } from '../../suggest.ts';
import { printable } from '../../terminal.ts';
import { IF_MATCH, REASON_OPTION, untilYes, YES } from '../common.ts';
import { changeUser, WHO_OPTIONS, who } from './user-words.ts';

const HASH: OptionSpec = {
  name: 'hash',
  value: 'KIND',
  text: `kind of the hash: ${MADE_HASHES.join(', ')}; default argon2id, made by the broker`,
  completes: MADE_HASHES,
};
const KEYS: readonly OptionSpec[] = [
  { name: 'superuser', value: 'yes|no', text: 'yes: no access rule applies to the user', completes: ['yes', 'no'] },
  { name: 'groups', value: 'NAMES', text: 'groups of the user, with commas between them' },
  { name: 'comment', value: 'TEXT', text: 'what the user is for, which lists show' },
  { name: 'file', value: 'FILE', text: 'read further keys, such as acl, from JSON or YAML', completes: 'file' },
];
const KICK: OptionSpec = { name: 'kick', text: 'disconnect the clients of the user, on every node' };
const TYPED = 'The password is typed without echo, or read from standard input without the newline at its end; it is never an argument.';

/** The keys that options and `--file` give; options win. @throws CommandFailure (usage) */
async function keysOf({ options, terminal }: CommandCall): Promise<Record<string, unknown>> {
  const file = options.text('file');
  if (file === '-') throw usageFailure('--file -: standard input is for the password');
  const body: Record<string, unknown> = file === undefined ? {} : await readDocumentFile(file, [], 'an object of keys', terminal);
  const [superuser, groups, comment] = [options.text('superuser'), options.text('groups'), options.text('comment')];
  if (superuser !== undefined) {
    if (superuser !== 'yes' && superuser !== 'no') throw usageFailure(`--superuser ${superuser}: expected yes or no`);
    body['isSuperuser'] = superuser === 'yes';
  }
  if (groups !== undefined) body['groups'] = groups === '' ? [] : groups.split(',').map((group) => group.trim());
  if (comment !== undefined) body['comment'] = comment;
  return body;
}

/** The new password, or its hash of the kind that `--hash` names. @throws CommandFailure (usage) */
async function secretOf({ options, terminal }: CommandCall): Promise<{ password: string } | { hash: string }> {
  const kind = options.text('hash');
  if (kind !== undefined && !isMade(kind))
    throw usageFailure(`unknown hash: ${kind}${hint(kind, MADE_HASHES)}; one of ${MADE_HASHES.join(', ')}`);
  const password = await readNewPassword(terminal);
  return kind === undefined ? { password } : { hash: await makeHash(kind, password) };
}

function isMade(kind: string): kind is MadeHash {
  return (MADE_HASHES as readonly string[]).includes(kind);
}

async function add(call: CommandCall): Promise<void> {
  const user = who(call);
  const keys = await keysOf(call);
  const hasSecret = 'hash' in keys || 'password' in keys;
  await changeUser(call, '/api/users/add', { ...keys, ...user, ...(hasSecret ? {} : await secretOf(call)) }, 'added');
}

async function set(call: CommandCall): Promise<void> {
  const user = who(call);
  const keys = await keysOf(call);
  if (Object.keys(keys).length === 0) throw usageFailure('nothing to change: give an option, or --file');
  await changeUser(call, '/api/users/update', { ...keys, ...user }, 'changed');
}

async function setPassword(call: CommandCall): Promise<void> {
  const user = who(call);
  await changeUser(call, '/api/users/update', { ...user, ...(await secretOf(call)) }, 'new password for');
}

async function remove(call: CommandCall): Promise<void> {
  const user = who(call);
  if (!call.options.has('yes')) {
    if (!call.terminal.canAsk) throw usageFailure('remove asks first, and there is no terminal to ask on: give --yes');
    await untilYes(call.terminal, printable(`Remove the user ${call.words[0]}?`));
  }
  await changeUser(call, '/api/users/remove', user, 'removed');
}

const switched = (disabled: boolean) => (call: CommandCall) =>
  changeUser(call, '/api/users/update', { ...who(call), disabled }, disabled ? 'disabled' : 'enabled');
const one = { usage: 'NAME', words: ['userName'], connects: true } as const;

export const USER_CHANGE_COMMANDS: readonly Command[] = [
  {
    ...one,
    name: 'user add',
    summary: 'adds a user to the store, on every node',
    details: [TYPED, 'Endpoints know these users with authType: users.'],
    examples: [
      'user add ann',
      'user add sensor-1 --client --groups sensors < password.txt',
      'user add ann --hash scram-sha-256 --file ann.yaml',
    ],
    options: [...WHO_OPTIONS, HASH, ...KEYS, REASON_OPTION],
    run: add,
  },
  {
    ...one,
    name: 'user set',
    summary: 'changes keys of a user; the others keep their value',
    examples: ['user set ann --groups sensors,staff', 'user set ann --file rules.yaml --reason "ticket 4712"'],
    options: [...WHO_OPTIONS, ...KEYS, KICK, IF_MATCH, REASON_OPTION],
    run: set,
  },
  {
    ...one,
    name: 'user passwd',
    summary: 'sets the password of a user',
    details: [TYPED],
    examples: ['user passwd ann', 'user passwd ann < password.txt'],
    options: [...WHO_OPTIONS, HASH, KICK, IF_MATCH, REASON_OPTION],
    run: setPassword,
  },
  {
    ...one,
    name: 'user disable',
    summary: 'refuses the logins of a user, who stays in the store',
    examples: ['user disable ann --kick --reason "left"'],
    options: [...WHO_OPTIONS, KICK, IF_MATCH, REASON_OPTION],
    run: switched(true),
  },
  {
    ...one,
    name: 'user enable',
    summary: 'lets a disabled user log in again',
    examples: ['user enable ann'],
    options: [...WHO_OPTIONS, IF_MATCH, REASON_OPTION],
    run: switched(false),
  },
  {
    ...one,
    name: 'user remove',
    summary: 'removes a user from the store',
    details: ['Asks first; without a terminal it needs --yes. Clients that are connected stay, without --kick.'],
    examples: ['user remove ann', 'user remove sensor-1 --client --yes'],
    options: [...WHO_OPTIONS, YES, KICK, IF_MATCH, REASON_OPTION],
    run: remove,
  },
];
