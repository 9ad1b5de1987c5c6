/** Completes a command line: `__complete WORDS...`, whose last word is the one at the cursor. */

import type { ListAnswer, PublicHistoryRow } from '../../answers/endpoints.ts';
import { ROLES } from '../../endpoint/admins/admin.ts';
import type { Api } from '../api/client.ts';
import { findOption, optionsOf, splitOption } from '../arguments.ts';
import { commandName, GROUPS, topWords } from '../catalogue.ts';
import type { Command, WordKind } from '../command.ts';
import { ACL_ACTIONS } from '../commands/access/acl.ts';
import { BAN_WORDS } from '../commands/access/ban.ts';
import { PLANNED } from '../commands/endpoint-change.ts';
import { KEYS, keyInfo } from '../input/endpoint-keys.ts';
import type { OptionSpec } from '../option.ts';
import { SCRIPTS } from './scripts.ts';

/** A word that fits, and its description. `:file` asks the shell to complete file names itself. */
export interface Candidate {
  value: string;
  text: string;
}

/** Time limit of the broker's answer, milliseconds: the user is waiting at the prompt. */
export const ASK_MS = 1500;

const FILE: Candidate = { value: ':file', text: '' };
const REVISIONS = '20';
/** A key of requests that is no key of an endpoint. */
const MOVE = 'newPort';

function plain(values: readonly string[]): Candidate[] {
  return values.map((value) => ({ value, text: '' }));
}

export interface Question {
  commands: readonly Command[];
  /** words before the cursor, without the program's name */
  before: readonly string[];
  /** the word at the cursor, '' for a new one */
  current: string;
  /** the broker named by the options before the cursor */
  api: Api;
}

/** Candidates that begin with the current word; none when the broker does not answer. */
export async function complete(question: Question): Promise<Candidate[]> {
  const found = await candidates(question);
  return found.filter((candidate) => candidate === FILE || candidate.value.startsWith(question.current));
}

async function candidates({ commands, before, current, api }: Question): Promise<Candidate[]> {
  const [first, second] = before;
  if (first === undefined) return plain([...topWords(commands), '--help', '--version']);
  if (GROUPS.includes(first) && second === undefined) {
    const inGroup = commands.filter(({ name }) => name.startsWith(`${first} `));
    return [...inGroup.map(({ name, summary }) => ({ value: name.slice(first.length + 1), text: summary })), { value: '--help', text: '' }];
  }
  if (first === 'start' || first === 'check') return before.at(-1) === '--config' ? [FILE] : plain(['--config', '--help']);
  const name = commandName(before);
  const command = commands.find((candidate) => candidate.name === name);
  if (command === undefined) return [];
  return inCommand(command, before.slice(name.split(' ').length), current, api);
}

async function inCommand(command: Command, before: readonly string[], current: string, api: Api): Promise<Candidate[]> {
  const specs = optionsOf(command);
  const { words, open, used } = walk(before, specs);
  if (open !== undefined) return valuesOf(open, '', api);
  const { name, inline } = splitOption(current);
  const spec = current.startsWith('-') ? findOption(name, specs) : undefined;
  if (spec?.value !== undefined && inline !== undefined) return valuesOf(spec, `${name}=`, api);
  if (current.startsWith('-')) {
    return specs.filter((option) => !used.has(option.name)).map((option) => ({ value: `--${option.name}`, text: option.text }));
  }
  const kind = kindAt(command, words);
  return kind === undefined ? [] : ofKind(kind, words, current, api);
}

/** The words before the cursor, the options already given, and the option whose value is at the cursor. */
function walk(
  before: readonly string[],
  specs: readonly OptionSpec[],
): { words: string[]; open: OptionSpec | undefined; used: Set<string> } {
  const words: string[] = [];
  const used = new Set<string>();
  let open: OptionSpec | undefined;
  for (const word of before) {
    if (open !== undefined) {
      open = undefined;
      continue;
    }
    const { name, inline } = splitOption(word);
    const spec = word.startsWith('-') ? findOption(name, specs) : undefined;
    if (spec === undefined) {
      if (!word.startsWith('-')) words.push(word);
      continue;
    }
    used.add(spec.name);
    if (spec.value !== undefined && inline === undefined) open = spec;
  }
  return { words, open, used };
}

/** The kinds of words behind an action of `plan`. */
const AFTER_ACTION: Readonly<Record<string, readonly WordKind[]>> = {
  add: ['pairs'],
  update: ['target', 'pairs'],
  rollback: ['revision', 'target'],
};

/** The kind of the next word; `pairs` repeats without limit. */
function kindAt({ words: declared }: Command, words: readonly string[]): WordKind | undefined {
  const isAction = declared[0] === 'action' && words.length > 0;
  const kinds: readonly WordKind[] = isAction ? ['action', ...(AFTER_ACTION[words[0]!] ?? (['target'] as const))] : declared;
  return kinds[words.length] ?? (kinds.at(-1) === 'pairs' ? 'pairs' : undefined);
}

async function valuesOf({ completes }: OptionSpec, prefix: string, api: Api): Promise<Candidate[]> {
  if (completes === 'file') return [FILE];
  const found = completes === 'revision' ? await revisions(api) : plain(completes ?? []);
  return found.map(({ value, text }) => ({ value: prefix + value, text }));
}

async function ofKind(kind: WordKind, words: readonly string[], current: string, api: Api): Promise<Candidate[]> {
  switch (kind) {
    case 'target':
      return targets(api);
    case 'pairs':
      return pairs(words, current);
    case 'revision':
      return [...(await revisions(api)), ...(words.length === 1 && /^\d+$/.test(words[0]!) ? plain(['now']) : [])];
    case 'action':
      return plain(PLANNED);
    case 'aclAction':
      return plain(ACL_ACTIONS);
    case 'banSubject':
      return plain(Object.keys(BAN_WORDS));
    case 'role':
      return plain(ROLES);
    case 'shell':
      return plain(Object.keys(SCRIPTS));
    case 'file':
      return [FILE];
    default:
      return [];
  }
}

async function targets(api: Api): Promise<Candidate[]> {
  const answer = (await api.get('/api/endpoints/list')) as ListAnswer;
  const endpoints = Object.values(answer.endpoints);
  return [
    ...endpoints.map(({ id, port }) => ({ value: id, text: `port ${port}` })),
    ...endpoints.map(({ id, port }) => ({ value: String(port), text: id })),
  ];
}

async function revisions(api: Api): Promise<Candidate[]> {
  const rows = (await api.get('/api/endpoints/history', { query: { limit: REVISIONS } })) as PublicHistoryRow[];
  const seen = new Map(rows.map((row) => [row.revision, row]));
  return [...seen.values()].map((row) => ({ value: String(row.revision), text: `${row.action} ${row.id} by ${row.actor}` }));
}

/** Keys not given yet, or the values of the key before the `=`. */
function pairs(words: readonly string[], current: string): Candidate[] {
  const equals = current.indexOf('=');
  if (equals >= 0) {
    const path = current.slice(0, equals);
    return [...(keyInfo(path)?.values ?? []), 'null'].map((value) => ({ value: `${path}=${value}`, text: '' }));
  }
  const given = new Set(words.map((word) => word.split('=', 1)[0]));
  return [...KEYS.map(({ path }) => path), MOVE].filter((path) => !given.has(path)).map((path) => ({ value: `${path}=`, text: '' }));
}
