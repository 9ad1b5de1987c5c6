/** Turns the words of a command (`1884 namespace=a serverOptions.workerGroupSize=2`) into the body of a request. */

import { isObject } from '../../endpoint/problems.ts';
import { usageFailure } from '../failure.ts';
import { keyInfo } from './endpoint-keys.ts';

/** An endpoint, named by port or by id. */
export interface TargetKey {
  port?: number;
  id?: string;
}

/** Reads `1884` as a port and any other word as an id. Write an id of digits as `id=1884`. @throws CommandFailure (usage) */
export function readTarget(word: string): TargetKey {
  const [, key, value] = /^(port|id)=(.*)$/s.exec(word) ?? [];
  const text = value ?? word;
  if (key !== 'id' && /^\d+$/.test(text)) {
    if (Number(text) < 1 || Number(text) > 65535) throw usageFailure(`${text} is no port: expected 1..65535`);
    return { port: Number(text) };
  }
  if (key === 'port') throw usageFailure(`${word}: a port is a number`);
  if (!/^[A-Za-z0-9_.-]{1,64}$/.test(text)) throw usageFailure(`${word} is neither a port nor an id`);
  return { id: text };
}

export interface Pairs {
  /** words without `=`, in order */
  others: string[];
  body: Record<string, unknown>;
}

/**
 * Splits words into KEY=VALUE pairs and others. Dotted keys make objects; `null` means the default.
 * @throws CommandFailure (usage) with every problem
 */
export function readPairs(words: readonly string[]): Pairs {
  const others: string[] = [];
  const body: Record<string, unknown> = {};
  const problems: string[] = [];
  for (const word of words) {
    const equals = word.indexOf('=');
    if (equals < 0) {
      others.push(word);
      continue;
    }
    const path = word.slice(0, equals);
    const text = word.slice(equals + 1);
    if (!/^[A-Za-z][A-Za-z0-9_-]*(\.[A-Za-z0-9_-]+)*$/.test(path)) problems.push(`${word}: expected KEY=VALUE`);
    else if (text === '') problems.push(`${path}= has no value: ${path}=null sets the default`);
    else {
      const problem = put(body, path, readValue(path, text));
      if (problem !== null) problems.push(problem);
    }
  }
  const [first, ...more] = problems;
  if (first !== undefined) throw usageFailure(first, more);
  return { others, body };
}

/** Parses a value by the kind of its key, or by its own form when the kind is unknown. The broker makes the final check. */
function readValue(path: string, text: string): unknown {
  if (text === 'null') return null;
  const kind = keyInfo(path)?.kind;
  if (kind === 'string') return /^".*"$/s.test(text) ? (parseJson(text) ?? text) : text;
  if (kind === 'number') return /^-?\d+(\.\d+)?$/.test(text) ? Number(text) : text;
  if (kind === 'boolean') return text === 'true' ? true : text === 'false' ? false : text;
  const parsed = parseJson(text);
  if (parsed === undefined && /^[[{]/.test(text)) throw usageFailure(`${path}: ${text.slice(0, 60)} is not JSON`);
  return parsed ?? text;
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return undefined;
  }
}

/** Sets a dotted key. Returns the reason when that is impossible, otherwise null. */
function put(body: Record<string, unknown>, path: string, value: unknown): string | null {
  const keys = path.split('.');
  const last = keys.pop() ?? '';
  let place = body;
  for (const key of keys) {
    if (!Object.hasOwn(place, key)) define(place, key, {});
    const next = place[key];
    if (!isObject(next)) return `${path}: ${key} is also given as a whole`;
    place = next;
  }
  if (Object.hasOwn(place, last)) return `${path} is given more than once`;
  define(place, last, value);
  return null;
}

/** Defines an own property for any name, so that a key `__proto__` reaches the broker, which refuses it. */
function define(place: Record<string, unknown>, key: string, value: unknown): void {
  Object.defineProperty(place, key, { value, enumerable: true, configurable: true, writable: true });
}
