/** All commands, and the search for a command by its words. */

import type { Command } from './command.ts';
import { ACL_COMMANDS } from './commands/access/acl.ts';
import { ADMIN_COMMANDS } from './commands/access/admin.ts';
import { AUDIT_COMMANDS } from './commands/access/audit.ts';
import { BAN_COMMANDS } from './commands/access/ban.ts';
import { PASSWD_COMMANDS } from './commands/access/passwd.ts';
import { APPLY_COMMANDS } from './commands/apply.ts';
import { CLIENT_COMMANDS } from './commands/client.ts';
import { COMPLETION_COMMANDS } from './commands/completion.ts';
import { CHANGE_COMMANDS } from './commands/endpoint-change.ts';
import { READ_COMMANDS } from './commands/endpoint-read.ts';
import { HISTORY_COMMANDS } from './commands/history.ts';
import { type FluxmqSource, importCommand } from './commands/import.ts';
import { ROLLBACK_COMMANDS } from './commands/rollback.ts';
import { TRANSFER_COMMANDS } from './commands/transfer.ts';
import { USER_CHANGE_COMMANDS } from './commands/user/user-change.ts';
import { USER_IMPORT_COMMANDS } from './commands/user/user-import.ts';
import { USER_READ_COMMANDS } from './commands/user/user-read.ts';
import { WATCH_COMMANDS } from './commands/watch.ts';
import { usageFailure } from './failure.ts';
import { hint } from './suggest.ts';

/** Commands of the launcher and of the broker itself, listed for suggestions and completion. */
export const OUTER_COMMANDS: readonly string[] = ['start', 'check', 'help', '--help', '--version'];

/** The words that group commands. */
export const GROUPS: readonly string[] = ['endpoint', 'client', 'acl', 'user', 'ban', 'admin', 'key'];

/** The name of the command that a line begins with: one word, or two in a group. */
export function commandName([first = '', second = '']: readonly string[]): string {
  return GROUPS.includes(first) ? `${first} ${second}` : first;
}

/**
 * Every command.
 * @param source reads the table of a FluxMQ database
 */
export const allCommands = (source: FluxmqSource): readonly Command[] => [
  ...READ_COMMANDS,
  ...CHANGE_COMMANDS,
  ...HISTORY_COMMANDS,
  ...ROLLBACK_COMMANDS,
  ...WATCH_COMMANDS,
  ...TRANSFER_COMMANDS,
  ...CLIENT_COMMANDS,
  ...ACL_COMMANDS,
  ...USER_READ_COMMANDS,
  ...USER_CHANGE_COMMANDS,
  ...USER_IMPORT_COMMANDS,
  ...BAN_COMMANDS,
  ...AUDIT_COMMANDS,
  ...ADMIN_COMMANDS,
  ...PASSWD_COMMANDS,
  importCommand(source),
  ...APPLY_COMMANDS,
  ...COMPLETION_COMMANDS,
];

export interface Found {
  command: Command;
  /** the arguments behind the name */
  rest: readonly string[];
}

/**
 * Finds the command at the beginning of the arguments; null when they name only a group, or ask for a group's help.
 * @throws CommandFailure (usage) for an unknown command
 */
export function findCommand(args: readonly string[], commands: readonly Command[]): Found | null {
  const [first = '', second, ...others] = args;
  if (GROUPS.includes(first)) {
    if (second === undefined || second === '--help' || second === '-h') return null;
    const command = commands.find(({ name }) => name === commandName(args));
    if (command !== undefined) return { command, rest: others };
    const inGroup = commands.filter(({ name }) => name.startsWith(`${first} `)).map(({ name }) => name.slice(first.length + 1));
    if (second.startsWith('-')) throw usageFailure(`${second}: options follow the command`, [`one of ${inGroup.join(', ')}`]);
    throw usageFailure(`unknown command: ${first} ${second}${hint(second, inGroup)}`, [`one of ${inGroup.join(', ')}`]);
  }
  const command = commands.find(({ name }) => name === first);
  if (command !== undefined) return { command, rest: args.slice(1) };
  throw usageFailure(`unknown command: ${first}${hint(first, topWords(commands))}`, [`one of ${topWords(commands).join(', ')}`]);
}

/** Every word that may come first. */
export function topWords(commands: readonly Command[]): string[] {
  const single = commands.map(({ name }) => name).filter((name) => !name.includes(' '));
  return [...OUTER_COMMANDS.filter((name) => !name.startsWith('-')), ...GROUPS, ...single];
}
