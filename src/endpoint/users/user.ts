/** A user of the directory (docs/users.md): its form in the store, in requests and in answers. Pure. */

import { messageOf } from '../../kernel/errors.ts';
import { readHash } from '../../kernel/logins/hash-forms.ts';
import type { AclRule } from '../access/config.ts';
import { GROUP_LENGTH_MAX, GROUPS_MAX } from '../access/own-groups.ts';
import { readOwnRules } from '../access/own-rules.ts';
import { isObject, join, type Problems } from '../problems.ts';

/** The kind of the documents that are users. */
export const USER_KIND = 'user';
/** Users that a cluster keeps. */
export const USERS_MAX = 250_000;

const NAME_MAX = 255;
const NAMESPACE_MAX = 128;
const PASSWORD_BYTES_MAX = 65_535;
const COMMENT_MAX = 500;
const DEFAULT_NAMESPACE = 'default';

/** Who a user is: a user name or a client identifier, in one namespace. */
export interface UserId {
  namespace: string;
  by: 'username' | 'clientId';
  name: string;
}

export interface DirectoryUser extends UserId {
  /** of the password, in any form that names its own kind */
  hash: string;
  isSuperuser: boolean;
  groups: string[];
  /** rules of the user, before all others */
  acl: AclRule[];
  disabled: boolean;
  comment: string;
}

/** A user as a request gives it: with a password, which is still to be hashed, or with a hash. */
export interface GivenUser {
  user: DirectoryUser;
  /** null: the hash is given, or is the former one */
  password: string | null;
}

/** A user as answers show it: without its hash. */
export interface PublicUser extends Omit<DirectoryUser, 'by' | 'name' | 'hash' | 'acl'> {
  username?: string;
  clientId?: string;
  acl: Omit<AclRule, 'subject'>[];
}

/** The key of a user's document. It sorts by namespace, and never ends in a blank. */
export function userKey({ namespace, by, name }: UserId): string {
  return JSON.stringify([namespace, by, name]);
}

/** The user of a key. */
export function userIdOf(key: string): UserId {
  const [namespace, by, name] = JSON.parse(key) as [string, UserId['by'], string];
  return { namespace, by, name };
}

/** The body of a user's document. */
export function toUserBody({ hash, isSuperuser, groups, acl, disabled, comment }: DirectoryUser): string {
  return JSON.stringify({ hash, isSuperuser, groups, acl, disabled, comment });
}

/** @param body as toUserBody() made it */
export function fromUserBody(key: string, body: string): DirectoryUser {
  return { ...userIdOf(key), ...(JSON.parse(body) as Omit<DirectoryUser, keyof UserId>) };
}

export function toPublicUser({ namespace, by, name, hash, acl, ...rest }: DirectoryUser): PublicUser {
  return { namespace, [by]: name, ...rest, acl: acl.map(({ subject, ...rule }) => rule) };
}

/** Reads which user is meant. Null: there are problems. */
export function readUserId(given: Record<string, unknown>, path: string, problems: Problems): UserId | null {
  const { username, clientId, namespace = DEFAULT_NAMESPACE } = given;
  const count = problems.issues.length;
  if ((username === undefined) === (clientId === undefined)) problems.add(join(path, 'username'), 'give either username or clientId');
  const [by, name] = username === undefined ? (['clientId', clientId] as const) : (['username', username] as const);
  if (problems.issues.length === count) checkText(name, 1, NAME_MAX, join(path, by), problems);
  checkText(namespace, 1, NAMESPACE_MAX, join(path, 'namespace'), problems);
  return problems.issues.length > count ? null : { namespace: namespace as string, by, name: name as string };
}

/**
 * Reads a user of a request. A null key is its default.
 * @param old the user whose other values stay; null: a new one, which needs a password or a hash
 * @returns null: there are problems
 */
export function readUser(input: unknown, path: string, problems: Problems, old: DirectoryUser | null): GivenUser | null {
  if (!isObject(input)) {
    problems.add(path, 'must be an object');
    return null;
  }
  const count = problems.issues.length;
  const nulls = new Set(Object.keys(input).filter((key) => input[key] === null));
  const given = Object.fromEntries(Object.entries(input).filter(([, value]) => value !== null && value !== undefined));
  const { username, clientId, namespace, password, hash, isSuperuser, groups, acl, disabled, comment, ...unknown } = given;
  for (const key of Object.keys(unknown)) problems.addUnknownKey(join(path, key));
  const id = readUserId(given, path, problems);
  checkPassword(password, hash, old === null || nulls.has('hash') || nulls.has('password'), path, problems);
  for (const [key, value] of Object.entries({ isSuperuser, disabled }))
    if (value !== undefined && typeof value !== 'boolean') problems.add(join(path, key), 'must be true or false');
  if (comment !== undefined) checkText(comment, 0, COMMENT_MAX, join(path, 'comment'), problems);
  if (groups !== undefined) checkGroups(groups, join(path, 'groups'), problems);
  const former = <K extends keyof DirectoryUser>(key: K, fallback: DirectoryUser[K]) =>
    old === null || nulls.has(key) ? fallback : old[key];
  const rules = acl === undefined ? former('acl', []) : readRules(acl, join(path, 'acl'), problems);
  if (id === null || problems.issues.length > count) return null;
  const user: DirectoryUser = {
    ...id,
    hash: (hash as string | undefined) ?? former('hash', ''),
    isSuperuser: (isSuperuser as boolean | undefined) ?? former('isSuperuser', false),
    groups: (groups as string[] | undefined) ?? former('groups', []),
    acl: rules,
    disabled: (disabled as boolean | undefined) ?? former('disabled', false),
    comment: (comment as string | undefined) ?? former('comment', ''),
  };
  return { user, password: (password as string | undefined) ?? null };
}

function checkText(value: unknown, min: number, max: number, path: string, problems: Problems): void {
  if (typeof value !== 'string' || value.length < min || value.length > max || /[\p{Cc}\p{Cs}]/u.test(value))
    problems.add(path, `must be a text of ${min}..${max} characters without control characters`);
}

function checkPassword(password: unknown, hash: unknown, isNeeded: boolean, path: string, problems: Problems): void {
  if (password !== undefined && hash !== undefined) problems.add(join(path, 'hash'), 'is given beside password: give one of the two');
  if (password === undefined && hash === undefined && isNeeded) problems.add(join(path, 'password'), 'is required, or a hash');
  if (password !== undefined && (typeof password !== 'string' || password === '' || Buffer.byteLength(password) > PASSWORD_BYTES_MAX))
    problems.add(join(path, 'password'), `must be a text of 1..${PASSWORD_BYTES_MAX} bytes`);
  if (hash === undefined) return;
  const read = typeof hash === 'string' ? readHash(hash) : 'must be a text';
  if (typeof read === 'string') problems.add(join(path, 'hash'), read);
}

function checkGroups(groups: unknown, path: string, problems: Problems): void {
  if (!Array.isArray(groups) || groups.length > GROUPS_MAX) {
    problems.add(path, `must be a list of at most ${GROUPS_MAX} groups`);
    return;
  }
  for (const [index, group] of groups.entries()) checkText(group, 1, GROUP_LENGTH_MAX, join(path, index), problems);
}

function readRules(acl: unknown, path: string, problems: Problems): AclRule[] {
  try {
    return readOwnRules(acl);
  } catch (error) {
    problems.add(path, messageOf(error));
    return [];
  }
}
