/** `client list`, `check` and `close`: the clients of all nodes. */

import type { Unreachable } from '../../answers/envelope.ts';
import type { ClientLocation, ClientsAnswer } from '../../answers/node.ts';
import type { Command, CommandCall } from '../command.ts';
import { usageFailure } from '../failure.ts';
import type { OptionSpec, Options } from '../option.ts';
import { type Column, printTable } from '../print/table.ts';
import { printable, type Terminal } from '../terminal.ts';
import { printedAsJson, refuseSurplus, timeText } from './common.ts';

const NODE_OPTIONS: readonly OptionSpec[] = [
  { name: 'node', value: 'NAME', text: 'only the node of this name; default: all nodes' },
  { name: 'local', text: 'only the node that answers' },
];
const NAMESPACE: OptionSpec = { name: 'namespace', value: 'NAME', text: 'only in this namespace; default: in all' };

const LIST_COLUMNS: readonly Column[] = [
  { title: 'CLIENT', flexible: true },
  { title: 'USER', flexible: true },
  { title: 'NODE', flexible: true },
  { title: 'ENDPOINT', flexible: true },
  { title: 'ADDRESS', flexible: true },
  { title: 'MQTT' },
  { title: 'SINCE' },
];
const CHECK_COLUMNS: readonly Column[] = [
  { title: 'CLIENT', flexible: true },
  { title: 'NAMESPACE', flexible: true },
  { title: 'STATE' },
  { title: 'NODE', flexible: true },
  { title: 'ENDPOINT', flexible: true },
];
const VERSIONS = { 3: '3.1', 4: '3.1.1', 5: '5.0' } as const;
const PAGE_SIZE = 100;

function nodeQuery(options: Options): Record<string, string | undefined> {
  return { node: options.text('node'), local: options.has('local') ? 'true' : undefined };
}

function warnOf(unreachable: readonly Unreachable[], terminal: Terminal): void {
  for (const { node, reason } of unreachable) terminal.err(printable(`warning: the answer lacks node ${node}: ${reason}`));
}

/** @throws CommandFailure (usage) */
function identifiers(words: readonly string[]): string[] {
  if (words.length === 0) throw usageFailure('which clients? Give their identifiers');
  return [...words];
}

async function list(call: CommandCall): Promise<void> {
  const { options, terminal, api } = call;
  refuseSurplus(call.words);
  const query = { endpoint: options.text('endpoint'), page: options.text('page'), size: options.text('size') ?? String(PAGE_SIZE) };
  const { data, unreachable } = await api.gather('/api/clients', null, { query: { ...query, ...nodeQuery(options) } });
  warnOf(unreachable, terminal);
  const page = data as ClientsAnswer;
  if (printedAsJson(call, page)) return;
  if (options.has('quiet')) {
    for (const { clientId } of page.data) terminal.out(printable(clientId));
    return;
  }
  const rows = page.data.map((client) => [
    client.clientId,
    client.username ?? '',
    client.node,
    client.endpoint,
    client.address,
    VERSIONS[client.protocolVersion],
    timeText(client.connectedAt),
  ]);
  printTable(terminal, LIST_COLUMNS, rows);
  const shown = (page.page - 1) * page.size + page.data.length;
  if (shown < page.total) terminal.err(`${page.data.length} of ${page.total} clients; --page ${page.page + 1} shows more`);
}

async function check(call: CommandCall): Promise<void> {
  const { options, terminal, api } = call;
  const body = { ids: identifiers(call.words), namespace: options.text('namespace') };
  const { data, unreachable } = await api.gather('/api/check', body, { query: nodeQuery(options) });
  warnOf(unreachable, terminal);
  const found = data as ClientLocation[];
  if (printedAsJson(call, found)) return;
  const stateOf = ({ connected, session }: ClientLocation) => (connected ? 'connected' : session ? 'offline' : 'unknown');
  if (options.has('quiet')) {
    for (const { clientId, connected } of found) if (connected) terminal.out(printable(clientId));
    return;
  }
  const rows = found.map((each) => [each.clientId, each.namespace, stateOf(each), each.node ?? '', each.endpoint ?? '']);
  printTable(terminal, CHECK_COLUMNS, rows);
}

async function close(call: CommandCall): Promise<void> {
  const { options, terminal, api } = call;
  const body = { ids: identifiers(call.words), namespace: options.text('namespace') };
  const { data, unreachable } = await api.gather('/api/close', body, { query: nodeQuery(options) });
  warnOf(unreachable, terminal);
  const { closed } = data as { closed: number };
  if (printedAsJson(call, data)) return;
  terminal.out(options.has('quiet') ? String(closed) : `${closed} ${closed === 1 ? 'connection' : 'connections'} closed`);
}

export const CLIENT_COMMANDS: readonly Command[] = [
  {
    name: 'client list',
    usage: '',
    summary: 'lists the connected clients of all nodes',
    details: ['A node that does not answer is named in a warning.'],
    examples: ['client list', 'client list --endpoint mqtt-1883 --size 1000 --page 2', 'client list --node fluxmq-2'],
    options: [
      { name: 'endpoint', value: 'ID', text: 'only clients of this endpoint' },
      { name: 'page', value: 'NUMBER', text: 'counts from 1' },
      { name: 'size', value: 'NUMBER', text: `clients on a page, 1 to 1000; default: ${PAGE_SIZE}` },
      ...NODE_OPTIONS,
    ],
    words: [],
    connects: true,
    run: list,
  },
  {
    name: 'client check',
    usage: 'CLIENT...',
    summary: 'says on which node clients are, connected or with an offline session',
    details: ['-q prints the identifiers of those that are connected.'],
    examples: ['client check sensor-1', 'client check sensor-1 sensor-2 --namespace default'],
    options: [NAMESPACE, ...NODE_OPTIONS],
    words: ['clients'],
    connects: true,
    run: check,
  },
  {
    name: 'client close',
    usage: 'CLIENT...',
    summary: 'disconnects clients, on whichever node they are; they may connect again',
    examples: ['client close sensor-1', 'client close sensor-1 sensor-2 --node fluxmq-3'],
    options: [NAMESPACE, ...NODE_OPTIONS],
    words: ['clients'],
    connects: true,
    run: close,
  },
];
