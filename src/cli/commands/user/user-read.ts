/** `user list`, `show`, `history` and `export`. */

import type { UserAnswer, UserHistoryAnswer, UsersAnswer, UserView } from '../../../answers/users.ts';
import type { Command, CommandCall } from '../../command.ts';
import { type Column, printTable } from '../../print/table.ts';
import { printable } from '../../terminal.ts';
import { printedAsJson, refuseSurplus, timeText } from '../common.ts';
import { NAMESPACE, WHO_OPTIONS, who } from './user-words.ts';

const COLUMNS: readonly Column[] = [
  { title: 'USER', flexible: true },
  { title: 'BY' },
  { title: 'NAMESPACE', flexible: true },
  { title: 'STATE' },
  { title: 'GROUPS', flexible: true },
  { title: 'RULES', align: 'right' },
  { title: 'COMMENT', flexible: true },
];
const HISTORY_COLUMNS: readonly Column[] = [
  { title: 'REV', align: 'right' },
  { title: 'WHEN' },
  { title: 'ACTION' },
  { title: 'USERS', flexible: true },
  { title: 'BY', flexible: true },
  { title: 'REASON', flexible: true },
];
const PAGE = '1000';
/** Names of a revision that its line shows. */
const NAMED_MAX = 3;

const nameOf = ({ username, clientId }: Pick<UserView, 'username' | 'clientId'>): string => username ?? clientId ?? '';

function stateOf({ disabled, isSuperuser }: UserView): string {
  if (disabled) return 'disabled';
  return isSuperuser ? 'superuser' : '';
}

/** All pages of a list of users, one by one. */
async function* pages({ api, options }: CommandCall, path: string): AsyncGenerator<UsersAnswer> {
  let after: string | undefined;
  do {
    const query = { search: options.text('search'), namespace: options.text('namespace'), limit: PAGE, after };
    const page = (await api.get(path, { query })) as UsersAnswer;
    yield page;
    after = page.next ?? undefined;
  } while (after !== undefined);
}

async function list(call: CommandCall): Promise<void> {
  refuseSurplus(call.words);
  const users: UserView[] = [];
  for await (const page of pages(call, '/api/users')) users.push(...page.users);
  if (printedAsJson(call, { users })) return;
  if (call.options.has('quiet')) for (const user of users) call.terminal.out(printable(nameOf(user)));
  else {
    const rows = users.map((user) => [
      nameOf(user),
      user.username === undefined ? 'client' : 'name',
      user.namespace,
      stateOf(user),
      user.groups.join(', '),
      String(user.acl.length),
      user.comment,
    ]);
    printTable(call.terminal, COLUMNS, rows);
  }
}

async function show(call: CommandCall): Promise<void> {
  const answer = (await call.api.get('/api/users/get', { query: who(call) })) as UserAnswer;
  if (printedAsJson(call, answer)) return;
  const { acl, groups, ...rest } = answer.user;
  for (const [key, value] of Object.entries({ ...rest, groups: groups.join(', ') })) call.terminal.out(printable(`${key}: ${value}`));
  for (const rule of acl) call.terminal.out(printable(`rule: ${rule.permission} ${rule.action} ${rule.topic}`));
}

async function history(call: CommandCall): Promise<void> {
  refuseSurplus(call.words);
  const query = { limit: call.options.text('limit'), before: call.options.text('before') };
  const revisions = (await call.api.get('/api/users/history', { query })) as UserHistoryAnswer;
  if (printedAsJson(call, revisions)) return;
  if (call.options.has('quiet')) for (const { revision } of revisions) call.terminal.out(String(revision));
  else {
    const rows = revisions.map(({ revision, at, action, changes, count, actor, source, reason }) => {
      const names = changes.slice(0, NAMED_MAX).map(({ before, after }) => nameOf(after ?? before ?? {}));
      const more = count > names.length ? ` and ${count - names.length} more` : '';
      const by = source === 'http' ? actor : `${actor} (${source})`;
      return [String(revision), timeText(at), action, names.join(', ') + more, by, reason ?? ''];
    });
    printTable(call.terminal, HISTORY_COLUMNS, rows);
  }
}

/** Prints the pages as they come: an export may have 250,000 users. */
async function exportAll(call: CommandCall): Promise<void> {
  refuseSurplus(call.words);
  let isFirst = true;
  await call.terminal.write(Buffer.from('{"users": ['));
  for await (const { users } of pages(call, '/api/users/export')) {
    const lines = users.map(({ revision, ...user }) => `\n  ${JSON.stringify(user)}`).join(',');
    if (lines === '') continue;
    await call.terminal.write(Buffer.from(isFirst ? lines : `,${lines}`));
    isFirst = false;
  }
  await call.terminal.write(Buffer.from('\n]}\n'));
}

const SEARCH = { name: 'search', value: 'TEXT', text: 'beginning of the user name or client identifier' };

export const USER_READ_COMMANDS: readonly Command[] = [
  {
    name: 'user list',
    usage: '',
    summary: 'lists the users of the store',
    examples: ['user list', 'user list --search sensor- --json'],
    options: [SEARCH, NAMESPACE],
    words: [],
    connects: true,
    run: list,
  },
  {
    name: 'user show',
    usage: 'NAME',
    summary: 'shows a user with its rules',
    examples: ['user show ann', 'user show sensor-1 --client'],
    options: WHO_OPTIONS,
    words: ['userName'],
    connects: true,
    run: show,
  },
  {
    name: 'user history',
    usage: '',
    summary: 'shows who changed which users, newest first',
    examples: ['user history', 'user history --limit 5'],
    options: [
      { name: 'limit', value: 'N', text: 'largest number of revisions, 1..100; default 20' },
      { name: 'before', value: 'REV', text: 'only older revisions, for the next page' },
    ],
    words: [],
    connects: true,
    run: history,
  },
  {
    name: 'user export',
    usage: '',
    summary: 'prints all users with their hashes, as user import reads them',
    examples: ['user export > users.json', 'user export --namespace plant-2'],
    options: [SEARCH, NAMESPACE],
    words: [],
    connects: true,
    run: exportAll,
  },
];
