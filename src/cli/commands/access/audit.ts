/** `audit`. */

import type { AuditAnswer } from '../../../answers/audit.ts';
import type { Command, CommandCall } from '../../command.ts';
import { type Column, printTable } from '../../print/table.ts';
import { printedAsJson, refuseSurplus, timeText } from '../common.ts';

const COLUMNS: readonly Column[] = [
  { title: 'AT' },
  { title: 'WHO', flexible: true },
  { title: 'FROM', flexible: true },
  { title: 'WHAT', flexible: true },
  { title: 'ABOUT', flexible: true },
  { title: 'RESULT' },
  { title: 'REV' },
];
const PAGE_SIZE = 50;

async function list(call: CommandCall): Promise<void> {
  const { options, terminal, api } = call;
  refuseSurplus(call.words);
  const query = {
    actor: options.text('actor'),
    action: options.text('action'),
    refused: options.has('refused') ? 'true' : undefined,
    since: options.text('since'),
    until: options.text('until'),
    after: options.text('after'),
    limit: options.text('limit') ?? String(PAGE_SIZE),
  };
  const page = (await api.get('/api/audit', { query })) as AuditAnswer;
  if (printedAsJson(call, page)) return;
  const rows = page.entries.map((entry) => [
    timeText(entry.at),
    entry.actor ?? '',
    entry.address ?? entry.source,
    entry.action,
    Object.entries(entry.about)
      .map(([key, value]) => `${key}=${value}`)
      .join(' '),
    `${entry.status}${entry.count > 1 ? ` (${entry.count} times)` : ''}`,
    entry.revision === null ? '' : String(entry.revision),
  ]);
  printTable(terminal, COLUMNS, rows);
  if (page.lost > 0) terminal.err(`warning: ${page.lost} entries of this node were lost, because the store did not take them`);
  if (page.next !== null) terminal.err(`--after ${page.next} shows more`);
}

export const AUDIT_COMMANDS: readonly Command[] = [
  {
    name: 'audit',
    usage: '',
    summary: 'lists who changed what, and who was refused, newest first',
    examples: ['audit', 'audit --actor ann --since 2026-01-31', 'audit --refused --json'],
    options: [
      { name: 'actor', value: 'NAME', text: 'only requests of this login; key:NAME for an API key' },
      { name: 'action', value: 'TEXT', text: 'only those whose method and route contain this, such as /api/users' },
      { name: 'refused', text: 'only refused ones' },
      { name: 'since', value: 'DATE', text: 'this moment or later, ISO 8601' },
      { name: 'until', value: 'DATE', text: 'this moment or earlier' },
      { name: 'limit', value: 'NUMBER', text: `entries of a page, 1 to 1000; default: ${PAGE_SIZE}` },
      { name: 'after', value: 'PLACE', text: 'continue where the page before ended' },
    ],
    words: [],
    connects: true,
    run: list,
  },
];
