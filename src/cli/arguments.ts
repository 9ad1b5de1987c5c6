/** Splits arguments into words and options by a command's declaration. Reports every problem at once. */

import type { Command } from './command.ts';
import { usageFailure } from './failure.ts';
import type { OptionSpec } from './option.ts';
import { Options } from './option.ts';
import { hint } from './suggest.ts';

/** Options of every command. */
export const COMMON: readonly OptionSpec[] = [
  { name: 'json', text: "print the API's data as JSON instead of a table" },
  { name: 'quiet', short: 'q', text: 'print errors only; lists become bare ids' },
  { name: 'help', short: 'h', text: 'this help' },
];

/** Options of every command that connects to the broker. */
export const CONNECTION: readonly OptionSpec[] = [
  { name: 'api', value: 'URL', text: 'admin API; default: FLUXMQ_API, else http.host and http.port of the configuration' },
  {
    name: 'config',
    value: 'FILE',
    text: 'configuration to read them from; default: config.yaml in the working directory',
    completes: 'file',
  },
  { name: 'user', value: 'NAME', text: 'login; default: FLUXMQ_API_USER, else admin' },
  {
    name: 'password-file',
    value: 'FILE',
    text: 'password of the login (- is standard input); or set FLUXMQ_API_PASSWORD',
    completes: 'file',
  },
  { name: 'token-file', value: 'FILE', text: 'a token instead of a login; or set FLUXMQ_API_TOKEN', completes: 'file' },
  { name: 'cacert', value: 'FILE', text: 'certificates (PEM) to trust with https; or set FLUXMQ_API_CACERT', completes: 'file' },
  { name: 'timeout', value: 'TIME', text: 'longest wait for an answer, 1ms to 5m; default 30s' },
];

/** Options that are refused: every user of the machine can read a secret in an argument, and the shell's history keeps it. */
const SECRETS: Readonly<Record<string, string>> = {
  password: 'use FLUXMQ_API_PASSWORD or --password-file',
  token: 'use FLUXMQ_API_TOKEN or --token-file',
};

/** All options of a command, its own first. An own option replaces a common one of the same name. */
export function optionsOf(command: Command): OptionSpec[] {
  const own = new Set(command.options.map(({ name }) => name));
  const common = [...(command.connects ? CONNECTION : []), ...COMMON].filter(({ name }) => !own.has(name));
  return [...command.options, ...common];
}

export interface ParsedArguments {
  words: string[];
  options: Options;
}

/** The option name in an argument, and the value behind its `=`. */
export function splitOption(argument: string): { name: string; inline: string | undefined } {
  const equals = argument.indexOf('=');
  return equals < 0 ? { name: argument, inline: undefined } : { name: argument.slice(0, equals), inline: argument.slice(equals + 1) };
}

/** The declaration of the option written as `--name` or `-n`. */
export function findOption(written: string, specs: readonly OptionSpec[]): OptionSpec | undefined {
  return specs.find(({ name, short }) => written === `--${name}` || (short !== undefined && written === `-${short}`));
}

/**
 * Reads the arguments behind a command's name. `--` ends the options; `-` alone is a word.
 * @throws CommandFailure (usage) with every problem
 */
export function parseArguments(args: readonly string[], specs: readonly OptionSpec[]): ParsedArguments {
  const words: string[] = [];
  const values = new Map<string, string | true>();
  const problems: string[] = [];
  for (let at = 0; at < args.length; at++) {
    const argument = args[at]!;
    if (argument === '--') {
      words.push(...args.slice(at + 1));
      break;
    }
    if (!argument.startsWith('-') || argument === '-') {
      words.push(argument);
      continue;
    }
    const { name: written, inline } = splitOption(argument);
    const spec = findOption(written, specs);
    if (spec === undefined) {
      problems.push(unknownOption(written, specs));
      if (isSecret(written) && inline === undefined) at++;
      continue;
    }
    if (values.has(spec.name)) problems.push(`--${spec.name} is given more than once`);
    if (spec.value === undefined) {
      if (inline !== undefined) problems.push(`--${spec.name} takes no value`);
      values.set(spec.name, true);
      continue;
    }
    const next = args[at + 1];
    if (inline !== undefined) values.set(spec.name, inline);
    else if (next !== undefined && (next === '-' || !next.startsWith('-'))) {
      values.set(spec.name, next);
      at++;
    } else problems.push(`--${spec.name} needs a value: --${spec.name} ${spec.value}`);
    if (values.get(spec.name) === '') problems.push(`--${spec.name} needs a value: --${spec.name} ${spec.value}`);
  }
  const [first, ...others] = problems;
  if (first !== undefined && !values.has('help')) throw usageFailure(first, others);
  return { words, options: new Options(values) };
}

function isSecret(written: string): boolean {
  return written.startsWith('--') && Object.hasOwn(SECRETS, written.slice(2));
}

function unknownOption(written: string, specs: readonly OptionSpec[]): string {
  if (isSecret(written)) {
    const instead = specs.some(({ name }) => name === 'password-file') ? SECRETS[written.slice(2)] : 'use standard input';
    return `${written} is refused on the command line, where others can read it: ${instead}`;
  }
  const known = specs.flatMap(({ name, short }) => [`--${name}`, ...(short === undefined ? [] : [`-${short}`])]);
  return `unknown option: ${written}${written.startsWith('--') ? hint(written, known) : ''}`;
}
