/** Changes of endpoints as people read them: one line a key, old and new value. */

import { isObject } from '../../endpoint/problems.ts';
import type { EndpointChange, KeyChange, NodeOutcome } from '../api/answers.ts';
import { paint, printable, type Terminal } from '../terminal.ts';

const SIGNS = { added: '+', updated: '~', removed: '-' } as const;
const COLORS = { added: 'green', updated: 'yellow', removed: 'red' } as const;

/** How an effect is told. */
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

/** An object with option objects as dotted keys, in order. */
export function flatten(value: Record<string, unknown>, prefix = ''): [string, unknown][] {
  return Object.entries(value).flatMap(([key, part]): [string, unknown][] => {
    const path = prefix + key;
    const isGroup =
      (path === 'serverOptions' || path === 'childOptions' || path === 'sslConfig') && isObject(part) && Object.keys(part).length > 0;
    return isGroup ? flatten(part as Record<string, unknown>, `${path}.`) : [[path, part]];
  });
}

/** `maxSessionSize  100 → 200`; a secret shows only that it changed. */
export function keyLines(terminal: Terminal, all: readonly KeyChange[], indent: string): string[] {
  // An endpoint that comes or goes is one change without a path.
  const changes = all.filter(({ path }) => path !== '');
  const width = Math.max(0, ...changes.map(({ path }) => path.length));
  const texts = changes.map((change) => (isSecret(change) ? 'changed (secret)' : `${shown(change.from)} → ${shown(change.to)}`));
  const values = Math.min(40, Math.max(0, ...texts.map((text) => text.length)));
  return changes.map(({ path, effect }, index) => {
    const text = texts[index]!;
    const told =
      effect === undefined ? '' : paint(terminal, 'dim', `${' '.repeat(Math.max(0, values - text.length))}  ${EFFECTS[effect] ?? effect}`);
    return `${indent}${path.padEnd(width)}  ${text}${told}`;
  });
}

function shown(value: unknown): string {
  return printable(valueText(value));
}

function isSecret({ from, to, secret }: KeyChange): boolean {
  return secret === true || (from === to && typeof from === 'string' && /^\*+$/.test(from));
}

/** One endpoint's part of a diff: its line, then its keys. */
export function printEndpointChange(terminal: Terminal, change: EndpointChange): void {
  const { action, id, port, clientsAffected } = change;
  const clients = clientsAffected === undefined || clientsAffected === 0 ? '' : `, ${countOf(clientsAffected, 'client')} affected`;
  terminal.out(paint(terminal, COLORS[action], `${SIGNS[action]} ${printable(id)} (port ${port})${clients}`));
  for (const line of keyLines(terminal, change.changes ?? [], '    ')) terminal.out(line);
}

/** The changes of one endpoint, which may itself come or go. */
export function printKeyChanges(terminal: Terminal, changes: readonly KeyChange[]): void {
  for (const { path, from, to } of changes) {
    if (path === '') terminal.out(from === null ? paint(terminal, 'green', `+ ${shown(to)}`) : paint(terminal, 'red', `- ${shown(from)}`));
  }
  for (const line of keyLines(terminal, changes, '')) terminal.out(line);
}

/** `1 client`, `2 clients` */
export function countOf(count: number, what: string): string {
  return `${count} ${what}${count === 1 ? '' : 's'}`;
}

/** Warnings, and nodes that have not applied a change: said even when little is printed. */
export function printNotes(terminal: Terminal, answer: { warnings?: readonly string[]; nodes?: readonly NodeOutcome[] }): void {
  for (const warning of answer.warnings ?? []) terminal.err(`warning: ${printable(warning)}`);
  for (const { node, state, reason } of answer.nodes ?? []) {
    if (state !== 'applied') terminal.err(`node ${printable(node)}: ${state}${reason === null ? '' : `: ${printable(reason)}`}`);
  }
}
