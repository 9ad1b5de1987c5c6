/** `endpoint history` and `endpoint diff`. */

import { isDeepStrictEqual } from 'node:util';
import type { PublicEndpoint, PublicHistoryRow } from '../../answers/endpoints.ts';
import type { Api } from '../api/client.ts';
import type { Command, CommandCall } from '../command.ts';
import { CommandFailure, EXIT, usageFailure } from '../failure.ts';
import { flatten, keyLines, type PrintedChange, type PrintedKey, printEndpointChange, valueText } from '../print/changes.ts';
import { type Column, printTable } from '../print/table.ts';
import { paint, printable } from '../terminal.ts';
import { optionalTarget, printedAsJson, readRevision, refuseSurplus, targetQuery, timeText } from './common.ts';

const COLUMNS: readonly Column[] = [
  { title: 'REV', align: 'right' },
  { title: 'WHEN' },
  { title: 'ACTION' },
  { title: 'ENDPOINT', flexible: true },
  { title: 'BY', flexible: true },
  { title: 'REASON', flexible: true },
  { title: 'CHANGE', flexible: true },
];

async function history(call: CommandCall): Promise<void> {
  const { options, terminal } = call;
  const query = {
    ...targetQuery(optionalTarget(call.words)),
    limit: options.text('limit'),
    before: options.text('before'),
    actor: options.text('actor'),
    since: options.text('since'),
    until: options.text('until'),
  };
  const rows = (await call.api.get('/api/endpoints/history', { query })) as PublicHistoryRow[];
  if (printedAsJson(call, rows)) return;
  if (options.has('quiet')) for (const revision of new Set(rows.map((row) => row.revision))) terminal.out(String(revision));
  else if (options.has('long')) for (const row of rows) printRow(call, row);
  else printTable(terminal, COLUMNS, tableRows(rows));
}

/** A revision with more rows than this is one line, such as an import of hundreds of endpoints. */
const ROWS_MAX = 5;

function tableRows(rows: readonly PublicHistoryRow[]): string[][] {
  const revisions = new Map<number, PublicHistoryRow[]>();
  for (const row of rows) {
    const group = revisions.get(row.revision);
    if (group === undefined) revisions.set(row.revision, [row]);
    else group.push(row);
  }
  return [...revisions.values()].flatMap((group) => {
    const shown = group.length > ROWS_MAX ? group.slice(0, 1) : group;
    return shown.map((row) => [
      String(row.revision),
      timeText(row.at),
      row.action,
      group.length > ROWS_MAX ? `(${group.length} endpoints)` : row.id,
      byText(row),
      row.reason ?? '',
      group.length > ROWS_MAX ? countsOf(group) : summaryOf(row),
    ]);
  });
}

function countsOf(rows: readonly PublicHistoryRow[]): string {
  const added = rows.filter(({ before }) => before === null).length;
  const removed = rows.filter(({ after }) => after === null).length;
  return `${added} added, ${rows.length - added - removed} updated, ${removed} removed`;
}

function byText({ actor, source }: PublicHistoryRow): string {
  return source === 'http' ? actor : `${actor} (${source})`;
}

function summaryOf({ diff, after, before, port }: PublicHistoryRow): string {
  if (before === null || after === null) return `port ${port}`;
  return diff.map(({ path, from, to }) => `${path} ${valueText(from)} → ${valueText(to)}`).join(', ');
}

function printRow(call: CommandCall, row: PublicHistoryRow): void {
  const { terminal } = call;
  const reason = row.reason === null ? '' : `: ${row.reason}`;
  terminal.out(
    paint(
      terminal,
      'bold',
      printable(
        `${row.revision}  ${timeText(row.at)}  ${row.action} ${row.id} (port ${row.port}) by ${byText(row)} on ${row.node}${reason}`,
      ),
    ),
  );
  for (const line of keyLines(terminal, row.diff, '    ')) terminal.out(line);
}

const PAGE = '1000';

/** All rows with a revision above `after` and at most `upTo`, newest first. */
async function rowsBetween(
  api: Api,
  after: number,
  upTo: number | null,
  query: Record<string, string | undefined>,
): Promise<PublicHistoryRow[]> {
  const rows: PublicHistoryRow[] = [];
  let before = upTo === null ? undefined : String(upTo + 1);
  for (;;) {
    const page = (await api.get('/api/endpoints/history', { query: { ...query, limit: PAGE, before } })) as PublicHistoryRow[];
    rows.push(...page.filter(({ revision }) => revision > after));
    const oldest = page.at(-1)?.revision;
    if (oldest === undefined || oldest <= after) return rows;
    before = String(oldest);
  }
}

/** The overall change of each endpoint. @param rows newest first */
export function foldHistory(rows: readonly PublicHistoryRow[]): PrintedChange[] {
  const spans = new Map<string, { before: PublicEndpoint | null; after: PublicEndpoint | null; secrets: Map<string, PrintedKey> }>();
  for (const row of rows) {
    const span = spans.get(row.id) ?? { before: row.before, after: row.after, secrets: new Map() };
    span.before = row.before;
    for (const change of row.diff) if (isDeepStrictEqual(change.from, change.to)) span.secrets.set(change.path, change);
    spans.set(row.id, span);
  }
  const changes: PrintedChange[] = [];
  for (const [id, { before, after, secrets }] of spans) {
    const shown = after ?? before;
    if (shown === null) continue;
    const keys = before === null || after === null ? [] : [...compare(before, after), ...secrets.values()];
    if (before !== null && after !== null && keys.length === 0) continue;
    changes.push({ id, port: shown.port, action: before === null ? 'added' : after === null ? 'removed' : 'updated', changes: keys });
  }
  return changes.sort((a, b) => a.port - b.port);
}

function compare(before: PublicEndpoint, after: PublicEndpoint): PrintedKey[] {
  const [old, current] = [new Map(flatten(before)), new Map(flatten(after))];
  return [...new Set([...old.keys(), ...current.keys()])]
    .filter((path) => !isDeepStrictEqual(old.get(path), current.get(path)))
    .map((path) => ({ path, from: old.get(path) ?? null, to: current.get(path) ?? null }));
}

const INVERSE = { added: 'removed', removed: 'added', updated: 'updated' } as const;

function reverse(change: PrintedChange): PrintedChange {
  return {
    ...change,
    action: INVERSE[change.action],
    changes: (change.changes ?? []).map((key) => ({ ...key, from: key.to, to: key.from })),
  };
}

async function newestRevision(api: Api): Promise<number> {
  const rows = (await api.get('/api/endpoints/history', { query: { limit: '1' } })) as PublicHistoryRow[];
  return rows[0]?.revision ?? 0;
}

async function diff(call: CommandCall): Promise<void> {
  const [from, to = 'now', target, ...surplus] = call.words;
  refuseSurplus(surplus);
  const isRevision = /^(\d+|now)$/.test(to);
  if (!isRevision && target !== undefined) throw usageFailure(`${to} is no revision: expected a whole number, or now`);
  // `diff 3 sensors` leaves out the second revision; a port in that place is written port=1884
  const [second, named] = isRevision ? [to, target] : ['now', to];
  const newest = await newestRevision(call.api);
  const [a, b] = [readRevision(from), second === 'now' ? newest : readRevision(second)];
  if (Math.max(a, b) > newest) throw new CommandFailure(EXIT.refused, `there is no revision ${Math.max(a, b)}: the newest is ${newest}`);
  const query = targetQuery(optionalTarget(named === undefined ? [] : [named]));
  const folded = foldHistory(await rowsBetween(call.api, Math.min(a, b), Math.max(a, b), query));
  const changes = a > b ? folded.map(reverse) : folded;
  if (printedAsJson(call, changes)) return;
  if (changes.length === 0) call.terminal.out('no difference');
  for (const change of changes) printEndpointChange(call.terminal, change);
}

export const HISTORY_COMMANDS: readonly Command[] = [
  {
    name: 'endpoint history',
    usage: '[PORT|ID]',
    summary: 'shows who changed what, when and why, newest first',
    examples: ['endpoint history', 'endpoint history sensors --limit 5 --long', 'endpoint history --actor anna --since 2026-01-01'],
    options: [
      { name: 'limit', value: 'N', text: 'largest number of revisions, 1..1000; default 50' },
      { name: 'before', value: 'REV', text: 'only older revisions, for the next page', completes: 'revision' },
      { name: 'actor', value: 'NAME', text: 'only changes of this login' },
      { name: 'since', value: 'TIME', text: 'only from this time on (ISO 8601)' },
      { name: 'until', value: 'TIME', text: 'only before this time' },
      { name: 'long', short: 'l', text: 'every changed key on a line of its own' },
    ],
    words: ['target'],
    connects: true,
    run: history,
  },
  {
    name: 'endpoint diff',
    usage: 'REV [REV|now] [PORT|ID]',
    summary: 'shows the differences between two revisions, or between a revision and now',
    details: [
      'Compares the state right after the first revision with the state right after the second one. Revision 0 is the empty configuration.',
    ],
    examples: ['endpoint diff 3', 'endpoint diff 3 7', 'endpoint diff 3 now 1884'],
    options: [],
    words: ['revision', 'revision', 'target'],
    connects: true,
    run: diff,
  },
];
