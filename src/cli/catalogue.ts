/** All commands, and how a command is found by its words. */

import type { Command } from './command.ts';
import { APPLY_COMMANDS } from './commands/apply.ts';
import { COMPLETION_COMMANDS } from './commands/completion.ts';
import { CHANGE_COMMANDS } from './commands/endpoint-change.ts';
import { READ_COMMANDS } from './commands/endpoint-read.ts';
import { HISTORY_COMMANDS } from './commands/history.ts';
import { type FluxmqSource, importCommand } from './commands/import.ts';
import { ROLLBACK_COMMANDS } from './commands/rollback.ts';
import { TRANSFER_COMMANDS } from './commands/transfer.ts';
import { WATCH_COMMANDS } from './commands/watch.ts';
import { usageFailure } from './failure.ts';
import { hint } from './suggest.ts';

/** Commands of the launcher and of the broker itself: named here for suggestions and completion. */
export const OUTER_COMMANDS: readonly string[] = ['start', 'check', 'help', '--help', '--version'];

/** The one word that stands before others. */
export const GROUP = 'endpoint';

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
  importCommand(source),
  ...APPLY_COMMANDS,
  ...COMPLETION_COMMANDS,
];

export interface Found {
  command: Command;
  /** what stands behind its name */
  rest: readonly string[];
}

/**
 * The command that the arguments begin with; null when they name the group alone, or ask for its help.
 * @throws CommandFailure (usage) for an unknown one
 */
export function findCommand(args: readonly string[], commands: readonly Command[]): Found | null {
  const [first = '', second, ...others] = args;
  if (first === GROUP) {
    if (second === undefined || second === '--help' || second === '-h') return null;
    const command = commands.find(({ name }) => name === `${GROUP} ${second}`);
    if (command !== undefined) return { command, rest: others };
    const inGroup = commands.filter(({ name }) => name.startsWith(`${GROUP} `)).map(({ name }) => name.slice(GROUP.length + 1));
    if (second.startsWith('-')) throw usageFailure(`${second}: options stand behind the command`, [`one of ${inGroup.join(', ')}`]);
    throw usageFailure(`unknown command: ${GROUP} ${second}${hint(second, inGroup)}`, [`one of ${inGroup.join(', ')}`]);
  }
  const command = commands.find(({ name }) => name === first);
  if (command !== undefined) return { command, rest: args.slice(1) };
  throw usageFailure(`unknown command: ${first}${hint(first, topWords(commands))}`, [`one of ${topWords(commands).join(', ')}`]);
}

/** What may stand first. */
export function topWords(commands: readonly Command[]): string[] {
  const single = commands.map(({ name }) => name).filter((name) => !name.includes(' '));
  return [...OUTER_COMMANDS.filter((name) => !name.startsWith('-')), GROUP, ...single];
}
