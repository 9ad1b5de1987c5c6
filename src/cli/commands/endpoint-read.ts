/** `endpoint list`, `get` and `status`. */

import type { EndpointStatus, GetAnswer, ListAnswer, PublicEndpoint } from '../../answers/endpoints.ts';
import { isObject } from '../../endpoint/problems.ts';
import type { Command, CommandCall } from '../command.ts';
import { flatten, valueText } from '../print/changes.ts';
import { type Column, printPairs, printTable } from '../print/table.ts';
import { printable } from '../terminal.ts';
import { oneTarget, optionalTarget, printedAsJson, refuseSurplus, targetQuery, timeText } from './common.ts';

const LIST_COLUMNS: readonly Column[] = [
  { title: 'ID', flexible: true },
  { title: 'PORT', align: 'right' },
  { title: 'HOST', flexible: true },
  { title: 'TRANSPORT' },
  { title: 'NAMESPACE', flexible: true },
  { title: 'LOGIN' },
  { title: 'CLIENTS', align: 'right' },
  { title: 'STATE' },
];

/** `tcp` or `ws`; with TLS `tls` or `wss` */
function transportOf({ useWebsocket, sslConfig }: PublicEndpoint): string {
  const isTls = isObject(sslConfig) && Object.keys(sslConfig).length > 0 && sslConfig['enabled'] !== false;
  return useWebsocket ? (isTls ? 'wss' : 'ws') : isTls ? 'tls' : 'tcp';
}

async function list(call: CommandCall): Promise<void> {
  refuseSurplus(call.words);
  const answer = (await call.api.get('/api/endpoints/list')) as ListAnswer;
  if (printedAsJson(call, answer)) return;
  const endpoints = Object.values(answer.endpoints).sort((a, b) => a.port - b.port);
  if (call.options.has('quiet')) {
    for (const { id } of endpoints) call.terminal.out(id);
    return;
  }
  const active = new Set(answer.activePorts);
  const rows = endpoints.map((endpoint) => [
    endpoint.id,
    String(endpoint.port),
    endpoint.host,
    transportOf(endpoint),
    endpoint.namespace,
    endpoint.enableAuth ? 'yes' : 'no',
    `≤ ${endpoint.maxConnectionSize}`,
    `${!endpoint.enabled ? 'disabled' : active.has(endpoint.port) ? 'listening' : 'not listening'}${endpoint.isDefault ? ' (default)' : ''}`,
  ]);
  printTable(call.terminal, LIST_COLUMNS, rows);
}

async function get(call: CommandCall): Promise<void> {
  const answer = (await call.api.get('/api/endpoints/get', { query: targetQuery(oneTarget(call.words)) })) as GetAnswer;
  if (printedAsJson(call, answer)) return;
  const pairs = flatten(answer.endpoint).map(([key, value]): [string, string] => [key, value === null ? 'null' : valueText(value)]);
  printPairs(call.terminal, [...pairs, ['(revision)', String(answer.revision)]]);
}

const STATUS_COLUMNS: readonly Column[] = [
  { title: 'ID', flexible: true },
  { title: 'PORT', align: 'right' },
  { title: 'NODE', flexible: true },
  { title: 'STATE' },
  { title: 'WORKERS', align: 'right' },
  { title: 'CLIENTS', align: 'right' },
  { title: 'SESSIONS', align: 'right' },
  { title: 'SINCE' },
  { title: 'REV', align: 'right' },
];

async function status(call: CommandCall): Promise<void> {
  const rows = (await call.api.get('/api/endpoints/status', { query: targetQuery(optionalTarget(call.words)) })) as EndpointStatus[];
  if (printedAsJson(call, rows)) return;
  const inOrder = [...rows].sort((a, b) => a.port - b.port || a.node.localeCompare(b.node));
  if (call.options.has('quiet')) {
    for (const { id } of inOrder) call.terminal.out(id);
    return;
  }
  const cells = inOrder.map((row) => [
    row.id,
    String(row.port),
    row.node,
    row.state,
    String(row.workers),
    String(row.connections),
    String(row.sessions),
    row.listeningSince === null ? '' : timeText(row.listeningSince),
    revisionText(row),
  ]);
  printTable(call.terminal, STATUS_COLUMNS, cells);
  for (const { id, node, lastError, certificate } of inOrder) {
    if (lastError !== null) call.terminal.out(printable(`${id} on ${node}: ${lastError}`));
    const refused = certificate?.refused ?? null;
    if (refused !== null) call.terminal.out(printable(`${id} on ${node}: its certificate files have changed and are not used: ${refused}`));
  }
}

/** `7`, or `6 → 7` while a node still runs an older revision. */
function revisionText({ runningRevision, desiredRevision }: EndpointStatus): string {
  return runningRevision === null || runningRevision === desiredRevision
    ? String(desiredRevision)
    : `${runningRevision} → ${desiredRevision}`;
}

export const READ_COMMANDS: readonly Command[] = [
  {
    name: 'endpoint list',
    usage: '',
    summary: 'lists all endpoints with address, transport, limits and state',
    examples: ['endpoint list', 'endpoint list --json'],
    options: [],
    words: [],
    connects: true,
    run: list,
  },
  {
    name: 'endpoint get',
    usage: 'PORT|ID',
    summary: 'shows every key of one endpoint, and its revision',
    examples: ['endpoint get 1883', 'endpoint get sensors --json'],
    options: [],
    words: ['target'],
    connects: true,
    run: get,
  },
  {
    name: 'endpoint status',
    usage: '[PORT|ID]',
    summary: 'shows state, threads, clients and revision on each node',
    examples: ['endpoint status', 'endpoint status 1883'],
    options: [],
    words: ['target'],
    connects: true,
    run: status,
  },
];
