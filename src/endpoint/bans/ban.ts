/** A ban (docs/bans.md): who may not connect, its form in the store, in requests and in answers. Pure. */

import { networkText, readNetwork } from '../../kernel/address.ts';
import { isObject, join, type Problems } from '../problems.ts';
import { GLOB_MAX } from './glob.ts';

/** The kind of the documents that are bans. */
export const BAN_KIND = 'ban';
/** Bans of a cluster. */
export const BANS_MAX = 100_000;
/** Of them, those with a pattern: each is compared with every client that connects. */
export const BAN_PATTERNS_MAX = 300;
/** Bans of one request. */
export const BANS_AT_ONCE_MAX = 10_000;
/** What a ban names. */
export const BAN_SUBJECTS = ['clientId', 'username', 'address', 'clientIdPattern', 'usernamePattern'] as const;
export type BanSubject = (typeof BAN_SUBJECTS)[number];

const VALUE_MAX = 255;
const NAMESPACE_MAX = 128;
const REASON_MAX = 500;
/** Last moment that the ISO form writes with a year of four digits. */
const UNTIL_MAX = Date.UTC(9999, 0);

/** Who a ban is about. */
export interface BanId {
  by: BanSubject;
  /** null: in all namespaces, as always for addresses */
  namespace: string | null;
  /** an address stands in its one form, see networkText() */
  value: string;
}

export interface Ban extends BanId {
  /** wall milliseconds at which it ends; null: never */
  until: number | null;
  reason: string;
  /** login that made it, or the part of the broker */
  author: string;
  /** wall milliseconds at which it was made */
  at: number;
}

/** The key of a ban's document. */
export function banKey({ by, namespace, value }: BanId): string {
  return JSON.stringify([by, namespace ?? '', value]);
}

/** The ban of a key. */
export function banIdOf(key: string): BanId {
  const [by, namespace, value] = JSON.parse(key) as [BanSubject, string, string];
  return { by, namespace: namespace === '' ? null : namespace, value };
}

/** The body of a ban's document. */
export function toBanBody({ until, reason, author, at }: Ban): string {
  return JSON.stringify({ until, reason, author, at });
}

/** @param body as toBanBody() made it */
export function fromBanBody(key: string, body: string): Ban {
  return { ...banIdOf(key), ...(JSON.parse(body) as Omit<Ban, keyof BanId>) };
}

export function isBanPattern(by: BanSubject): boolean {
  return by === 'clientIdPattern' || by === 'usernamePattern';
}

/** Reads which ban is meant. Null: there are problems. */
export function readBanId(given: Record<string, unknown>, path: string, problems: Problems): BanId | null {
  const count = problems.issues.length;
  const { namespace } = given;
  const named = BAN_SUBJECTS.filter((by) => given[by] !== undefined && given[by] !== null);
  const [by] = named;
  if (by === undefined || named.length > 1) problems.add(join(path, 'clientId'), `give one of ${BAN_SUBJECTS.join(', ')}`);
  if (namespace !== undefined && namespace !== null) {
    checkLine(namespace, 1, NAMESPACE_MAX, join(path, 'namespace'), problems);
    if (by === 'address') problems.add(join(path, 'namespace'), 'a ban of addresses is for all namespaces');
  }
  if (by === undefined || named.length > 1) return null;
  const value = readValue(by, given[by], join(path, by), problems);
  if (problems.issues.length > count || value === null) return null;
  return { by, namespace: (namespace as string | null | undefined) ?? null, value };
}

function readValue(by: BanSubject, value: unknown, path: string, problems: Problems): string | null {
  if (by === 'address') {
    const network = typeof value === 'string' ? readNetwork(value) : null;
    if (network === null) problems.add(path, 'must be an IP address or a network (10.0.0.0/8)');
    return network === null ? null : networkText(network);
  }
  checkLine(value, 1, isBanPattern(by) ? GLOB_MAX : VALUE_MAX, path, problems);
  return typeof value === 'string' ? value : null;
}

/**
 * Reads a ban of a request.
 * @param now wall milliseconds
 * @returns null: there are problems
 */
export function readBan(input: unknown, path: string, problems: Problems, author: string, now: number): Ban | null {
  if (!isObject(input)) {
    problems.add(path, 'must be an object');
    return null;
  }
  const count = problems.issues.length;
  const known: readonly string[] = [...BAN_SUBJECTS, 'namespace', 'until', 'reason'];
  for (const key of Object.keys(input)) if (!known.includes(key)) problems.addUnknownKey(join(path, key));
  const id = readBanId(input, path, problems);
  const reason = input['reason'] ?? '';
  checkLine(reason, 0, REASON_MAX, join(path, 'reason'), problems);
  const until = readUntil(input['until'] ?? null, join(path, 'until'), problems, now);
  if (id === null || problems.issues.length > count) return null;
  return { ...id, until, reason: reason as string, author, at: now };
}

function readUntil(value: unknown, path: string, problems: Problems, now: number): number | null {
  if (value === null) return null;
  const until = typeof value === 'string' && /^\d{4}-\d\d-\d\d/.test(value) ? Date.parse(value) : value;
  if (typeof until !== 'number' || !Number.isInteger(until) || until > UNTIL_MAX)
    problems.add(path, 'must be a moment: an ISO 8601 date, or milliseconds since 1970');
  else if (until <= now) problems.add(path, 'is in the past');
  else return until;
  return null;
}

function checkLine(value: unknown, min: number, max: number, path: string, problems: Problems): void {
  if (typeof value !== 'string' || value.length < min || value.length > max || /[\p{Cc}\p{Cs}]/u.test(value))
    problems.add(path, `must be a text of ${min}..${max} characters without control characters`);
}
