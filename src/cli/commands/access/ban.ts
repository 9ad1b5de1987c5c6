/** `ban add`, `list` and `remove`. */

import type { BanChangeAnswer, BansAnswer, BanView } from '../../../answers/bans.ts';
import { BAN_SUBJECTS, type BanSubject } from '../../../endpoint/bans/ban.ts';
import { wallNow } from '../../../kernel/clock.ts';
import type { Command, CommandCall } from '../../command.ts';
import { usageFailure } from '../../failure.ts';
import { readDuration } from '../../input/duration.ts';
import type { OptionSpec, Options } from '../../option.ts';
import { type Column, printTable } from '../../print/table.ts';
import { printable, type Terminal } from '../../terminal.ts';
import { printedAsJson, refuseSurplus, timeText } from '../common.ts';

const COLUMNS: readonly Column[] = [
  { title: 'BAN' },
  { title: 'OF', flexible: true },
  { title: 'NAMESPACE', flexible: true },
  { title: 'UNTIL' },
  { title: 'BY', flexible: true },
  { title: 'REASON', flexible: true },
];
const PAGE_SIZE = 100;

/** The words for what a ban names. */
export const BAN_WORDS: Readonly<Record<string, BanSubject>> = {
  client: 'clientId',
  username: 'username',
  address: 'address',
  'client-pattern': 'clientIdPattern',
  'username-pattern': 'usernamePattern',
};
const EXPECTED = Object.keys(BAN_WORDS).join(', ');

const NAMESPACE: OptionSpec = { name: 'namespace', value: 'NAME', text: 'in this namespace alone; default: in all' };

/** @throws CommandFailure (usage) */
function subject(word: string): BanSubject {
  const by = Object.hasOwn(BAN_WORDS, word) ? BAN_WORDS[word] : undefined;
  if (by === undefined) throw usageFailure(`${word}: expected one of ${EXPECTED}`);
  return by;
}

/** @throws CommandFailure (usage) */
function named({ words, options }: CommandCall): Record<string, string | undefined> {
  const [word, value, ...surplus] = words;
  refuseSurplus(surplus);
  if (word === undefined || value === undefined) throw usageFailure(`whom? Give one of ${EXPECTED}, and its value`);
  return { [subject(word)]: value, namespace: options.text('namespace') };
}

/** @throws CommandFailure (usage) */
function endOf(options: Options): { until?: string } {
  const [span, until] = [options.text('for'), options.text('until')];
  if (span !== undefined && until !== undefined) throw usageFailure('give either --for or --until');
  if (until !== undefined) return { until };
  return span === undefined ? {} : { until: new Date(wallNow() + readDuration('for', span)).toISOString() };
}

function warnOf({ nodes }: BanChangeAnswer, terminal: Terminal): void {
  for (const { node, state, reason } of nodes)
    if (state !== 'applied') terminal.err(printable(`warning: node ${node} does not obey it yet: ${reason ?? state}`));
}

async function add(call: CommandCall): Promise<void> {
  const { options, terminal, api } = call;
  const reason = options.text('reason');
  const body = { ...named(call), ...endOf(options), ...(reason === undefined ? {} : { reason }) };
  const answer = (await api.post('/api/bans', body, { isChange: true })) as BanChangeAnswer;
  warnOf(answer, terminal);
  if (printedAsJson(call, answer)) return;
  const [ban] = answer.bans;
  if (!options.has('quiet') && ban !== undefined)
    terminal.out(printable(`banned: ${nameOf(ban).join(' ')}${ban.until === null ? '' : ` until ${timeText(ban.until)}`}`));
}

async function remove(call: CommandCall): Promise<void> {
  const { options, terminal, api } = call;
  const answer = (await api.post('/api/bans/remove', named(call), { isChange: true })) as BanChangeAnswer;
  warnOf(answer, terminal);
  if (!printedAsJson(call, answer) && !options.has('quiet')) terminal.out('removed');
}

async function list(call: CommandCall): Promise<void> {
  const { options, terminal, api } = call;
  refuseSurplus(call.words);
  const by = options.text('by');
  const query = {
    search: options.text('search'),
    by: by === undefined ? undefined : subject(by),
    namespace: options.text('namespace'),
    limit: options.text('limit') ?? String(PAGE_SIZE),
    after: options.text('after'),
  };
  const page = (await api.get('/api/bans', { query })) as BansAnswer;
  if (printedAsJson(call, page)) return;
  if (options.has('quiet')) for (const ban of page.bans) terminal.out(printable(nameOf(ban)[1]));
  else {
    const rows = page.bans.map((ban) => [
      ...nameOf(ban),
      ban.namespace ?? '',
      ban.until === null ? '' : timeText(ban.until),
      ban.author,
      ban.reason,
    ]);
    printTable(terminal, COLUMNS, rows);
  }
  if (page.next !== null) terminal.err(`${page.bans.length} of ${page.total} bans; --after ${page.next} shows more`);
}

/** What a ban names, as `ban add` takes it. */
function nameOf(ban: BanView): [word: string, value: string] {
  const by = BAN_SUBJECTS.find((each) => ban[each] !== undefined) ?? 'clientId';
  const word = Object.keys(BAN_WORDS).find((each) => BAN_WORDS[each] === by) ?? by;
  return [word, ban[by] ?? ''];
}

const WHAT = [
  `WHAT is ${EXPECTED}. A pattern has * for any text and ? for one character; an address may be a network, such as 10.0.0.0/8.`,
];

export const BAN_COMMANDS: readonly Command[] = [
  {
    name: 'ban add',
    usage: 'WHAT VALUE',
    summary: 'bans clients, and disconnects them on every node',
    details: [...WHAT, 'A ban of the same is replaced.'],
    examples: ['ban add client sensor-1 --reason stolen', 'ban add address 203.0.113.0/24 --for 24h', "ban add client-pattern 'bot-*'"],
    options: [
      { name: 'for', value: 'TIME', text: 'how long, such as 30m or 24h; default: without an end' },
      { name: 'until', value: 'DATE', text: 'when it ends, ISO 8601' },
      { name: 'reason', value: 'TEXT', text: 'the reason, which lists show' },
      NAMESPACE,
    ],
    words: ['banSubject', 'banned'],
    connects: true,
    run: add,
  },
  {
    name: 'ban list',
    usage: '',
    summary: 'lists the bans that apply',
    examples: ['ban list', 'ban list --by address --search 203.', 'ban list --json'],
    options: [
      { name: 'search', value: 'TEXT', text: 'beginning of the name, pattern or address' },
      { name: 'by', value: 'WHAT', text: `only these: ${EXPECTED}`, completes: Object.keys(BAN_WORDS) },
      { ...NAMESPACE, text: 'only bans of this namespace alone' },
      { name: 'limit', value: 'NUMBER', text: `bans of a page, 1 to 1000; default: ${PAGE_SIZE}` },
      { name: 'after', value: 'PLACE', text: 'continue where the page before ended' },
    ],
    words: [],
    connects: true,
    run: list,
  },
  {
    name: 'ban remove',
    usage: 'WHAT VALUE',
    summary: 'removes a ban',
    details: WHAT,
    examples: ['ban remove client sensor-1', 'ban remove address 203.0.113.0/24'],
    options: [NAMESPACE],
    words: ['banSubject', 'banned'],
    connects: true,
    run: remove,
  },
];
