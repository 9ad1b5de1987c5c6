/** An administrator, and an API key (docs/administrators.md): their forms in the store, in requests and in answers. Pure. */

import { createHash } from 'node:crypto';
import { isObject, join, type Problems } from '../problems.ts';

/** `operator`: everything but users, administrators, keys, secrets and the audit; `viewer` reads. */
export const ROLES = ['admin', 'operator', 'viewer'] as const;
export type Role = (typeof ROLES)[number];

/** The kinds of the documents. */
export const ADMIN_KIND = 'admin';
export const API_KEY_KIND = 'apikey';
/** Of a cluster. */
export const ADMINS_MAX = 1_000;
export const API_KEYS_MAX = 1_000;

const PASSWORD_LENGTH = { least: 8, most: 1_024 };
const COMMENT_MAX = 500;
/** No name holds a character that a header or a log line could read otherwise. */
const NAME = /^[A-Za-z0-9_.@-]{1,64}$/;

/** An administrator of the store, of whatever role. */
export interface Administrator {
  name: string;
  /** argon2id */
  hash: string;
  role: Role;
  comment: string;
}

export interface ApiKey {
  name: string;
  /** SHA-256 of its secret, base64 */
  hash: string;
  role: Role;
  comment: string;
  /** wall milliseconds at which it ends; null: never */
  until: number | null;
  /** login that made it */
  author: string;
  /** wall milliseconds at which it was made */
  at: number;
  /** wall milliseconds of its last use that was written down; null: none */
  usedAt: number | null;
}

/** The key of the document of a name. */
export function nameKey(name: string): string {
  return JSON.stringify([name]);
}

/** The name of a document's key. */
export function nameOfKey(key: string): string {
  return (JSON.parse(key) as [string])[0];
}

export function toNamedBody({ name, ...body }: Administrator | ApiKey): string {
  return JSON.stringify(body);
}

/** @param body as toNamedBody() made it */
export function fromNamedBody<T extends Administrator | ApiKey>(key: string, body: string): T {
  return { name: nameOfKey(key), ...(JSON.parse(body) as Omit<T, 'name'>) } as T;
}

/** Reads which one is meant. Null: there are problems. */
export function readName(value: unknown, path: string, problems: Problems): string | null {
  if (typeof value === 'string' && NAME.test(value)) return value;
  problems.add(path, 'must be a name of 1..64 characters: A-Z a-z 0-9 _ . @ -');
  return null;
}

/** An administrator as a request gives it. */
export interface GivenAdministrator {
  admin: Administrator;
  /** to be hashed; null: the hash stays */
  password: string | null;
}

/** @param old whose other values stay; null: a new one, which needs a password and a role @returns null: there are problems */
export function readAdministrator(input: unknown, problems: Problems, old: Administrator | null): GivenAdministrator | null {
  const { username, password, role, comment, ...unknown } = isObject(input) ? input : {};
  for (const key of Object.keys(unknown)) problems.addUnknownKey(key);
  const name = readName(username, 'username', problems);
  const isMissing = password === undefined && old === null;
  const { least, most } = PASSWORD_LENGTH;
  if (isMissing) problems.add('password', 'is required');
  else if (password !== undefined && (typeof password !== 'string' || password.length < least || password.length > most))
    problems.add('password', `must be a text of ${least}..${most} characters`);
  const known = readRole(role, old?.role ?? null, problems);
  const text = readComment(comment, old?.comment ?? '', problems);
  if (name === null || known === null || problems.issues.length > 0) return null;
  const admin = { name, hash: old?.hash ?? '', role: known, comment: text };
  return { admin, password: (password as string | undefined) ?? null };
}

/** @param now wall milliseconds @returns null: there are problems */
export function readApiKey(input: unknown, problems: Problems, author: string, now: number): Omit<ApiKey, 'hash'> | null {
  const { name: given, role, until = null, comment, ...unknown } = isObject(input) ? input : {};
  for (const key of Object.keys(unknown)) problems.addUnknownKey(key);
  const name = readName(given, 'name', problems);
  const known = readRole(role, null, problems);
  const text = readComment(comment, '', problems);
  const end = typeof until === 'string' && /^\d{4}-\d\d-\d\d/.test(until) ? Date.parse(until) : until;
  if (end !== null && (typeof end !== 'number' || !Number.isInteger(end) || end <= now))
    problems.add('until', 'must be a moment to come: an ISO 8601 date, or milliseconds since 1970');
  if (name === null || known === null || problems.issues.length > 0) return null;
  return { name, role: known, comment: text, until: end as number | null, author, at: now, usedAt: null };
}

function readRole(value: unknown, old: Role | null, problems: Problems): Role | null {
  if (value === undefined && old !== null) return old;
  const role = ROLES.find((each) => each === value);
  if (role === undefined) problems.add('role', `must be ${ROLES.join(', ')}`);
  return role ?? null;
}

function readComment(value: unknown, old: string, problems: Problems): string {
  if (value === undefined) return old;
  if (typeof value !== 'string' || value.length > COMMENT_MAX || /[\p{Cc}\p{Cs}]/u.test(value))
    problems.add(join('', 'comment'), `must be a text of 0..${COMMENT_MAX} characters without control characters`);
  return String(value);
}

/** What every API key begins with, so that it is recognised in files and logs. */
const KEY_MARK = 'fmq_';
const KEY_FORM = /^fmq_([A-Za-z0-9_-]{43})\.([A-Za-z0-9_.@-]{1,64})$/;

/** The text of a key, which its owner keeps. @param secret 32 random bytes, base64url */
export function apiKeyText(name: string, secret: string): string {
  return `${KEY_MARK}${secret}.${name}`;
}

/** The parts of a key's text; null: it is none. */
export function readApiKeyText(text: string): { name: string; secret: string } | null {
  const match = KEY_FORM.exec(text);
  return match === null ? null : { secret: match[1]!, name: match[2]! };
}

/** The secret has 256 bits, so its hash needs no salt and no cost. */
export function apiKeyHash(secret: string): string {
  return createHash('sha256').update(secret).digest('base64');
}
