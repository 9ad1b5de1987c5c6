/** Help texts, made from the declarations of the commands. */

import { COMMON, CONNECTION } from './arguments.ts';
import type { Command } from './command.ts';
import { EXIT } from './failure.ts';
import type { OptionSpec } from './option.ts';

const PROGRAM = './fluxmq';
const WIDTH = 100;

function wrap(text: string, indent: number): string {
  const lines: string[] = [];
  let line = '';
  for (const word of text.split(' ')) {
    if (line !== '' && line.length + word.length + 1 > WIDTH - indent) {
      lines.push(line);
      line = word;
    } else line = line === '' ? word : `${line} ${word}`;
  }
  return [...lines, line].join(`\n${' '.repeat(indent)}`);
}

function rows(pairs: readonly (readonly [string, string])[]): string {
  const width = Math.max(0, ...pairs.map(([name]) => name.length));
  return pairs.map(([name, text]) => `  ${name.padEnd(width)}  ${wrap(text, width + 4)}`).join('\n');
}

function optionRows(options: readonly OptionSpec[]): string {
  const nameOf = ({ name, short, value }: OptionSpec): string =>
    `${short === undefined ? '' : `-${short}, `}--${name}${value === undefined ? '' : ` ${value}`}`;
  return rows(options.map((option) => [nameOf(option), option.text]));
}

/** The usage of a command, as one line. */
export function usageLine(command: Command): string {
  return `${PROGRAM} ${command.name}${command.usage === '' ? '' : ` ${command.usage}`} [options]`;
}

/** `./fluxmq COMMAND --help` */
export function commandHelp(command: Command): string {
  const parts = [`${command.summary}\n\nusage: ${usageLine(command)}`];
  if (command.details !== undefined) parts.push(wrap(command.details.join(' '), 0));
  const own = new Set(command.options.map(({ name }) => name));
  if (command.options.length > 0) parts.push(`options:\n${optionRows(command.options)}`);
  const common = [...(command.connects ? CONNECTION : []), ...COMMON].filter(({ name }) => !own.has(name));
  parts.push(`${command.options.length > 0 ? 'common ' : ''}options:\n${optionRows(common)}`);
  parts.push(`examples:\n${command.examples.map((example) => `  ${PROGRAM} ${example}`).join('\n')}`);
  return parts.join('\n\n');
}

/** `./fluxmq endpoint --help`: every command whose name begins with the group's. */
export function groupHelp(group: string, commands: readonly Command[]): string {
  const inGroup = commands.filter(({ name }) => name.startsWith(`${group} `));
  const list = rows(inGroup.map(({ name, usage, summary }) => [`${name.slice(group.length + 1)} ${usage}`.trim(), summary]));
  const codes: [string, string][] = [
    [String(EXIT.ok), 'done'],
    [String(EXIT.refused), 'the broker refused: not valid, not there, exists already, changed by somebody else'],
    [String(EXIT.usage), 'wrong arguments'],
    [String(EXIT.unreachable), 'no broker there, no answer in time, or its store is away'],
    [String(EXIT.notAllowed), 'no or wrong login, or not allowed'],
  ];
  return [
    `usage: ${PROGRAM} ${group} COMMAND [options]`,
    `commands:\n${list}`,
    `exit codes:\n${rows(codes)}`,
    `More about a command: ${PROGRAM} ${group} COMMAND --help`,
  ].join('\n\n');
}
