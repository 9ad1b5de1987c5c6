/** Prints changes of endpoints: one line per key, with its old and new value. */

import type { NodeOutcome } from '../../answers/changes.ts';
import { isObject } from '../../endpoint/problems.ts';
import { paint, printable, type Terminal } from '../terminal.ts';

/** A changed key, with its effect as in the answer to a change, or without as in the history. */
export interface PrintedKey {
  path: string;
  from: unknown;
  to: unknown;
  effect?: string;
  secret?: true | undefined;
}

/** The actual or planned change of one endpoint among several. */
export interface PrintedChange {
  id: string;
  port: number;
  action: 'added' | 'updated' | 'removed';
  clientsAffected?: number;
  changes?: PrintedKey[];
}

const SIGNS = { added: '+', updated: '~', removed: '-' } as const;
const COLORS = { added: 'green', updated: 'yellow', removed: 'red' } as const;

/** Words for the effects of a change. */
const EFFECTS: Readonly<Record<string, string>> = {
  none: 'no effect on clients',
  live: 'at once, for all clients',
  admission: 'from the next CONNECT',
  handshake: 'from the next TLS handshake',
  rebind: 'new listener; clients stay connected on the old one',
};

/** A value on one line. */
export function valueText(value: unknown): string {
  if (value === null || value === undefined) return '(default)';
  return typeof value === 'string' ? value : JSON.stringify(value);
}

/** The keys of an object in order; option objects become dotted keys. */
export function flatten(value: Record<string, unknown>, prefix = ''): [string, unknown][] {
  return Object.entries(value).flatMap(([key, part]): [string, unknown][] => {
    const path = prefix + key;
    const isGroup =
      (path === 'serverOptions' || path === 'childOptions' || path === 'sslConfig') && isObject(part) && Object.keys(part).length > 0;
    return isGroup ? flatten(part as Record<string, unknown>, `${path}.`) : [[path, part]];
  });
}

/** `maxSessionSize  100 → 200`; for a secret only the fact of a change. */
export function keyLines(terminal: Terminal, all: readonly PrintedKey[], indent: string): string[] {
  // Adding or removing an endpoint is one change without a path.
  const changes = all.filter(({ path }) => path !== '');
  const width = Math.max(0, ...changes.map(({ path }) => path.length));
  const texts = changes.map((change) => (isSecret(change) ? 'changed (secret)' : `${shown(change.from)} → ${shown(change.to)}`));
  const values = Math.min(40, Math.max(0, ...texts.map((text) => text.length)));
  return changes.map(({ path, effect }, index) => {
    const text = texts[index]!;
    const effectText =
      effect === undefined ? '' : paint(terminal, 'dim', `${' '.repeat(Math.max(0, values - text.length))}  ${EFFECTS[effect] ?? effect}`);
    return `${indent}${path.padEnd(width)}  ${text}${effectText}`;
  });
}

function shown(value: unknown): string {
  return printable(valueText(value));
}

function isSecret({ from, to, secret }: PrintedKey): boolean {
  return secret === true || (from === to && typeof from === 'string' && /^\*+$/.test(from));
}

/** Prints the change of one endpoint: its line, then its keys. */
export function printEndpointChange(terminal: Terminal, change: PrintedChange): void {
  const { action, id, port, clientsAffected } = change;
  const clients = clientsAffected === undefined || clientsAffected === 0 ? '' : `, ${countOf(clientsAffected, 'client')} affected`;
  terminal.out(paint(terminal, COLORS[action], `${SIGNS[action]} ${printable(id)} (port ${port})${clients}`));
  for (const line of keyLines(terminal, change.changes ?? [], '    ')) terminal.out(line);
}

/** Prints the changes of one endpoint, also its addition or removal. */
export function printKeyChanges(terminal: Terminal, changes: readonly PrintedKey[]): void {
  for (const { path, from, to } of changes) {
    if (path === '') terminal.out(from === null ? paint(terminal, 'green', `+ ${shown(to)}`) : paint(terminal, 'red', `- ${shown(from)}`));
  }
  for (const line of keyLines(terminal, changes, '')) terminal.out(line);
}

/** `1 client`, `2 clients` */
export function countOf(count: number, what: string): string {
  return `${count} ${what}${count === 1 ? '' : 's'}`;
}

/** Prints warnings, and nodes that have not applied a change; also with --quiet and --json. */
export function printNotes(terminal: Terminal, answer: { warnings?: readonly string[]; nodes?: readonly NodeOutcome[] }): void {
  for (const warning of answer.warnings ?? []) terminal.err(`warning: ${printable(warning)}`);
  for (const { node, state, reason } of answer.nodes ?? []) {
    if (state !== 'applied') terminal.err(`node ${printable(node)}: ${state}${reason === null ? '' : `: ${printable(reason)}`}`);
  }
}
