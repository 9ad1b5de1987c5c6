/** `admin add`, `list`, `passwd`, `role`, `remove`, and `key add`, `list`, `remove`. */

import type { AdminChangeAnswer, AdminsAnswer, KeysAnswer, NewKeyAnswer } from '../../../answers/admins.ts';
import { ROLES } from '../../../endpoint/admins/admin.ts';
import { wallNow } from '../../../kernel/clock.ts';
import type { Command, CommandCall } from '../../command.ts';
import { usageFailure } from '../../failure.ts';
import { readDuration } from '../../input/duration.ts';
import { readNewPassword } from '../../input/new-password.ts';
import type { OptionSpec } from '../../option.ts';
import { type Column, printTable } from '../../print/table.ts';
import { printable } from '../../terminal.ts';
import { printedAsJson, refuseSurplus, timeText } from '../common.ts';

const ADMIN_COLUMNS: readonly Column[] = [
  { title: 'NAME', flexible: true },
  { title: 'ROLE' },
  { title: 'WHERE' },
  { title: 'COMMENT', flexible: true },
];
const KEY_COLUMNS: readonly Column[] = [
  { title: 'NAME', flexible: true },
  { title: 'ROLE' },
  { title: 'UNTIL' },
  { title: 'USED' },
  { title: 'BY', flexible: true },
  { title: 'COMMENT', flexible: true },
];
const COMMENT: OptionSpec = { name: 'comment', value: 'TEXT', text: 'what it is for, which lists show' };
const TYPED = 'The password is typed without echo, or read from standard input without the newline at its end; it is never an argument.';

/** The words of a command, which it needs all. @throws CommandFailure (usage) */
function words(call: CommandCall, count: number, missing: string): string[] {
  // A word too many may be a password: it is not repeated.
  if (call.words.length > count) throw usageFailure('too many arguments');
  if (call.words.length < count) throw usageFailure(missing);
  return [...call.words];
}

/** @throws CommandFailure (usage) */
function role(word: string | undefined): string {
  if (word !== undefined && (ROLES as readonly string[]).includes(word)) return word;
  throw usageFailure(`expected a role: ${ROLES.join(', ')}`);
}

function comment({ options }: CommandCall): { comment?: string } {
  const text = options.text('comment');
  return text === undefined ? {} : { comment: text };
}

async function changed(call: CommandCall, path: string, body: unknown, text: string): Promise<void> {
  const answer = (await call.api.post(path, body, { isChange: true })) as Pick<AdminChangeAnswer, 'nodes'>;
  for (const { node, state, reason } of answer.nodes)
    if (state !== 'applied') call.terminal.err(printable(`warning: node ${node} does not know it yet: ${reason ?? state}`));
  if (!printedAsJson(call, answer) && !call.options.has('quiet')) call.terminal.out(printable(text));
}

async function addAdmin(call: CommandCall): Promise<void> {
  const [username, given] = words(call, 2, 'which name and role?');
  const body = { username, role: role(given), ...comment(call), password: await readNewPassword(call.terminal) };
  await changed(call, '/api/admins/add', body, `added ${username}, ${given}`);
}

async function setPassword(call: CommandCall): Promise<void> {
  const [username] = words(call, 1, 'whose password?');
  const body = { username, password: await readNewPassword(call.terminal) };
  await changed(call, '/api/admins/update', body, `${username} has a new password`);
}

async function setRole(call: CommandCall): Promise<void> {
  const [username, given] = words(call, 2, 'which name and role?');
  await changed(call, '/api/admins/update', { username, role: role(given) }, `${username} is ${given}`);
}

async function removeAdmin(call: CommandCall): Promise<void> {
  const [username] = words(call, 1, 'which administrator?');
  await changed(call, '/api/admins/remove', { username }, `removed ${username}`);
}

async function listAdmins(call: CommandCall): Promise<void> {
  refuseSurplus(call.words);
  const answer = (await call.api.get('/api/admins')) as AdminsAnswer;
  if (printedAsJson(call, answer)) return;
  if (call.options.has('quiet')) for (const { username } of answer.admins) call.terminal.out(printable(username));
  else {
    const rows = answer.admins.map((admin) => [admin.username, admin.role, admin.isConfigured ? 'configuration' : 'store', admin.comment]);
    printTable(call.terminal, ADMIN_COLUMNS, rows);
  }
}

async function addKey(call: CommandCall): Promise<void> {
  const [name, given] = words(call, 2, 'which name and role?');
  const span = call.options.text('for');
  const until = span === undefined ? {} : { until: new Date(wallNow() + readDuration('for', span)).toISOString() };
  const answer = (await call.api.post(
    '/api/keys',
    { name, role: role(given), ...until, ...comment(call) },
    { isChange: true },
  )) as NewKeyAnswer;
  if (printedAsJson(call, answer)) return;
  call.terminal.out(answer.key);
  if (!call.options.has('quiet')) call.terminal.err('The key is not shown again. Use it as: Authorization: Bearer KEY');
}

async function removeKey(call: CommandCall): Promise<void> {
  const [name] = words(call, 1, 'which key?');
  await changed(call, '/api/keys/remove', { name }, `removed ${name}`);
}

async function listKeys(call: CommandCall): Promise<void> {
  refuseSurplus(call.words);
  const answer = (await call.api.get('/api/keys')) as KeysAnswer;
  if (printedAsJson(call, answer)) return;
  if (call.options.has('quiet')) for (const { name } of answer.keys) call.terminal.out(printable(name));
  else {
    const time = (at: string | null) => (at === null ? '' : timeText(at));
    const rows = answer.keys.map((key) => [key.name, key.role, time(key.until), time(key.usedAt), key.author, key.comment]);
    printTable(call.terminal, KEY_COLUMNS, rows);
  }
}

const ROLE_TEXT = 'ROLE is admin, operator (everything but users, administrators and keys) or viewer (reads).';

export const ADMIN_COMMANDS: readonly Command[] = [
  {
    name: 'admin add',
    usage: 'NAME ROLE',
    summary: 'adds an administrator, on every node',
    details: [ROLE_TEXT, TYPED],
    examples: ['admin add ann operator', 'admin add ann viewer --comment on-call < password.txt'],
    options: [COMMENT],
    words: ['userName', 'role'],
    connects: true,
    run: addAdmin,
  },
  {
    name: 'admin list',
    usage: '',
    summary: 'lists the administrators of the configuration and of the store',
    examples: ['admin list', 'admin list --json'],
    options: [],
    words: [],
    connects: true,
    run: listAdmins,
  },
  {
    name: 'admin passwd',
    usage: 'NAME',
    summary: 'sets the password of an administrator, whose tokens end',
    details: [TYPED],
    examples: ['admin passwd ann'],
    options: [],
    words: ['userName'],
    connects: true,
    run: setPassword,
  },
  {
    name: 'admin role',
    usage: 'NAME ROLE',
    summary: 'sets the role of an administrator, whose tokens end',
    details: [ROLE_TEXT],
    examples: ['admin role ann viewer'],
    options: [],
    words: ['userName', 'role'],
    connects: true,
    run: setRole,
  },
  {
    name: 'admin remove',
    usage: 'NAME',
    summary: 'removes an administrator, whose tokens end',
    examples: ['admin remove ann'],
    options: [],
    words: ['userName'],
    connects: true,
    run: removeAdmin,
  },
  {
    name: 'key add',
    usage: 'NAME ROLE',
    summary: 'makes an API key and prints it, this once',
    details: [ROLE_TEXT],
    examples: ['key add ci operator --for 720h', 'key add grafana viewer -q > key.txt'],
    options: [{ name: 'for', value: 'TIME', text: 'how long it is valid, such as 24h; default: without an end' }, COMMENT],
    words: ['userName', 'role'],
    connects: true,
    run: addKey,
  },
  {
    name: 'key list',
    usage: '',
    summary: 'lists the API keys, and when they were used',
    examples: ['key list'],
    options: [],
    words: [],
    connects: true,
    run: listKeys,
  },
  {
    name: 'key remove',
    usage: 'NAME',
    summary: 'revokes an API key at once, on every node',
    examples: ['key remove ci'],
    options: [],
    words: ['userName'],
    connects: true,
    run: removeKey,
  },
];
