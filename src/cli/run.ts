/** Runs one command line: finds the command, parses its arguments, and turns every failure into words and an exit code. */

import { Api } from './api/client.ts';
import { findTarget } from './api/target.ts';
import { findOption, optionsOf, parseArguments, splitOption } from './arguments.ts';
import { allCommands, commandName, findCommand } from './catalogue.ts';
import type { Command } from './command.ts';
import type { FluxmqSource } from './commands/import.ts';
import { ASK_MS, complete } from './completion/complete.ts';
import { CommandFailure, EXIT, type ExitCode } from './failure.ts';
import { commandHelp, groupHelp, usageLine } from './help.ts';
import { Options } from './option.ts';
import { printable, type Terminal } from './terminal.ts';

/** The command that the completion scripts call. */
const COMPLETE = '__complete';

/**
 * @param args without the program's name
 * @param source reads the table of a FluxMQ database
 * @returns the exit code; everything has been printed
 */
export async function runCommandLine(args: readonly string[], terminal: Terminal, source: FluxmqSource): Promise<ExitCode> {
  const commands = allCommands(source);
  if (args[0] === COMPLETE) return printCandidates(args.slice(1), commands, terminal);
  let command: Command | null = null;
  try {
    const asksHelp = args[0] === 'help';
    const asked = asksHelp ? args.slice(1) : args;
    const found = findCommand(asked, commands);
    if (found === null) {
      const isAlone = args.length === 1 && !asksHelp;
      terminal[isAlone ? 'err' : 'out'](groupHelp(asked[0] ?? '', commands));
      return isAlone ? EXIT.usage : EXIT.ok;
    }
    command = found.command;
    const { words, options } = parseArguments(asksHelp ? ['--help'] : found.rest, optionsOf(command));
    if (options.has('help')) terminal.out(commandHelp(command));
    else {
      const connection = command.connectionOf?.(options) ?? options;
      await command.run({ words, options, terminal, api: new Api(() => findTarget(connection, terminal)) });
    }
    return EXIT.ok;
  } catch (error) {
    if (!(error instanceof CommandFailure)) throw error;
    complain(terminal, error, command);
    return error.exitCode;
  }
}

function complain(terminal: Terminal, failure: CommandFailure, command: Command | null): void {
  terminal.err(printable(`fluxmq: ${failure.message}`));
  for (const line of failure.lines) terminal.err(printable(`  ${line}`));
  if (failure.exitCode !== EXIT.usage) return;
  if (command === null) terminal.err('see ./fluxmq --help');
  else terminal.err(`usage: ${usageLine(command)}\nmore:  ./fluxmq ${command.name} --help`);
}

/** Prints completion candidates. Stays silent about failures, because the user is still typing. */
async function printCandidates(words: readonly string[], commands: readonly Command[], terminal: Terminal): Promise<ExitCode> {
  const before = words.slice(0, -1);
  const current = words.at(-1) ?? '';
  const api = new Api(async () => ({ ...(await findTarget(connectionOf(before, commands), terminal)), deadlineMs: ASK_MS }));
  try {
    for (const { value, text } of await complete({ commands, before, current, api }))
      terminal.out(text === '' ? value : `${value}\t${text}`);
  } catch (error) {
    if (!(error instanceof CommandFailure)) throw error;
  }
  return EXIT.ok;
}

/** The connection options on the line so far, without an incomplete one. */
function connectionOf(before: readonly string[], commands: readonly Command[]): Options {
  const command = commands.find(({ name }) => name === commandName(before));
  const values = new Map<string, string | true>();
  const specs = command === undefined ? [] : optionsOf(command);
  for (const [index, word] of before.entries()) {
    const { name: written, inline } = splitOption(word);
    const spec = word.startsWith('-') ? findOption(written, specs) : undefined;
    const value = inline ?? before[index + 1];
    if (spec?.value !== undefined && value !== undefined && value !== '-') values.set(spec.name, value);
  }
  return new Options(values);
}
