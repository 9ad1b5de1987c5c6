/** Reads the answer of an `http` authenticator: ours and EMQX's, VerneMQ's and mosquitto-go-auth's, as far as they do not collide. */

import { readOwnGroups, rightsOrNone } from '../../../../src/endpoint/access/own-groups.ts';
import { readOwnRules } from '../../../../src/endpoint/access/own-rules.ts';
import { isObject } from '../../../../src/endpoint/problems.ts';
import { wallNow } from '../../../../src/kernel/clock.ts';
import type { Allowed, LoginVerdict } from '../../../../src/thread/access/ask.ts';

export const DENY: LoginVerdict = { result: 'deny' };
const WORDS: Readonly<Record<string, LoginVerdict>> = {
  allow: { result: 'allow' },
  ok: { result: 'allow' },
  true: { result: 'allow' },
  deny: DENY,
  false: DENY,
  ignore: { result: 'ignore' },
  // VerneMQ
  next: { result: 'ignore' },
};
/** A time beyond this number of seconds (the year 5138) is in milliseconds. */
const SECONDS_MAX = 1e11;

/** The decision of a status alone; null: the body decides. @throws Error when the server did not decide */
export function judgeStatus(status: number): LoginVerdict | null {
  if (status === 204) return { result: 'allow' };
  if (status === 200) return null;
  // The server is overloaded or asks for patience: it has not looked at the login.
  if (status >= 400 && status < 500 && status !== 408 && status !== 425 && status !== 429) return DENY;
  throw new Error(`the server answered with status ${status}`);
}

/**
 * Reads the body of a 200. An empty one allows.
 * @param contentType of the answer, or empty
 * @throws Error when the body has no known form: a login page of a proxy must let nobody in
 */
export function readBody(contentType: string, body: string): LoginVerdict {
  const text = body.trim();
  if (text === '') return { result: 'allow' };
  if (/^application\/x-www-form-urlencoded\b/i.test(contentType)) return readObject(Object.fromEntries(new URLSearchParams(text)));
  if (text.startsWith('{')) return readObject(parse(text));
  const word = text.toLowerCase().replace(/^"(.*)"$/s, '$1');
  if (Object.hasOwn(WORDS, word)) return WORDS[word]!;
  throw new Error('the server answered with something else than a decision');
}

function parse(text: string): Record<string, unknown> {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw new Error('the server answered with malformed JSON');
  }
  if (!isObject(value)) throw new Error('the server answered with something else than an object');
  return value;
}

function readObject(answer: Record<string, unknown>): LoginVerdict {
  const decided = decisionOf(answer);
  if (decided.result !== 'allow') return decided;
  // VerneMQ: a client that is not given its mountpoint would come in under another name than the server meant.
  if (isObject(answer['modifiers']) && Object.keys(answer['modifiers']).length > 0)
    throw new Error('the server answered with modifiers, which are not supported');
  const allowed: Allowed = { result: 'allow' };
  const isSuperuser = readFlag(either(answer, 'isSuperuser', 'is_superuser'));
  const { acl } = answer;
  const rules = acl === undefined || acl === null ? [] : readOwnRules(acl);
  const rights = rightsOrNone(isSuperuser, rules, readOwnGroups(answer['groups']));
  if (rights !== null) allowed.rights = rights;
  const expireAt = readTime(either(answer, 'expireAt', 'expire_at'));
  if (expireAt === null) return allowed;
  return expireAt <= wallNow() ? DENY : { ...allowed, expireAt };
}

/** `result` as a word; VerneMQ's `{result: {error: …}}`; mosquitto-go-auth's `{Ok, Error}`. */
function decisionOf(answer: Record<string, unknown>): LoginVerdict {
  const { result } = answer;
  if (typeof result === 'string' && Object.hasOwn(WORDS, result)) return WORDS[result]!;
  if (isObject(result) && 'error' in result) return DENY;
  const ok = either(answer, 'ok', 'Ok');
  if (result === undefined && typeof ok === 'boolean') return ok ? { result: 'allow' } : DENY;
  throw new Error('the server answered with an object that holds no decision');
}

/** @throws Error when both spellings are there */
function either(answer: Record<string, unknown>, one: string, other: string): unknown {
  if (answer[one] !== undefined && answer[other] !== undefined) throw new Error(`the server answered with ${one} and ${other}`);
  return answer[one] ?? answer[other];
}

/** A form has texts only. */
function readFlag(value: unknown): boolean {
  if (value === undefined || value === null || value === false || value === 'false') return false;
  if (value === true || value === 'true') return true;
  throw new Error('the server answered with isSuperuser that is neither true nor false');
}

/** Seconds or milliseconds since the epoch, or an ISO date. @returns wall milliseconds; null: never */
function readTime(value: unknown): number | null {
  if (value === undefined || value === null) return null;
  const ms =
    typeof value === 'number' ? (value < SECONDS_MAX ? value * 1000 : value) : typeof value === 'string' ? Date.parse(value) : Number.NaN;
  if (!Number.isFinite(ms) || ms <= 0) throw new Error('the server answered with expireAt that is no time');
  return ms;
}
