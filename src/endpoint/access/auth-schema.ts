/** Turns the authenticators of an endpoint or of the node into their normal form (docs/access.md). */

import { z } from 'zod';
import { AUTH_TYPES, type AuthConfig, type AuthFilter, type AuthType, ENCRYPTIONS, type FixedUser } from '../endpoint.ts';
import { PATTERN_LENGTH_MAX, patternProblem } from '../pattern/pattern.ts';
import { check, isObject, join, Problems, splitNulls } from '../problems.ts';
import { MASK } from '../secrets/mask.ts';
import { oneOf } from '../value-types.ts';
import { readDatabase } from './authenticators/database-schema.ts';
import { readFileEntry } from './authenticators/file-schema.ts';
import { readHttp } from './authenticators/http-schema.ts';
import { KEY_SOURCES, readJwt } from './authenticators/jwt-schema.ts';
import { readRedis } from './authenticators/redis-schema.ts';
import { readUsersEntry } from './authenticators/users-schema.ts';
import { readX509 } from './authenticators/x509-schema.ts';
import { passwordFormProblem } from './password-forms.ts';

const TYPES: readonly string[] = AUTH_TYPES;
/** Hashes that include their salt, or have none. */
const WITHOUT_SALT = new Set<unknown>(['plain', 'scrypt', 'bcrypt', 'argon2id', 'pbkdf2', 'scram', 'auto', undefined]);
/** Characters of a filter in its text form: two patterns and the words around them. */
const FILTER_LENGTH_MAX = 2 * PATTERN_LENGTH_MAX + 64;

const text = (min: number) =>
  z.string({ error: 'must be a string' }).min(min, { error: 'must not be empty' }).max(65535, { error: 'is too long' });

/** A user in its normal form. */
export const USER_SHAPE = {
  username: text(1),
  password: text(1),
  encrypt: oneOf(ENCRYPTIONS),
  salt: text(0),
  saltMode: oneOf(['disable', 'prefix', 'suffix']),
};

const userSchema = z.strictObject(
  {
    ...USER_SHAPE,
    encrypt: USER_SHAPE.encrypt.default('plain'),
    salt: USER_SHAPE.salt.default(''),
    saltMode: USER_SHAPE.saltMode.default('disable'),
  },
  { error: (issue) => (issue.code === 'invalid_type' ? 'must be an object' : undefined) },
);

/** Reads one list of authenticators, for example the node's `auth`. `null` and absent keys are defaults. @throws FluxError `invalid` */
export function parseAuthList(input: unknown): AuthConfig[] {
  const problems = new Problems();
  const list = input === null || input === undefined ? [] : readAuthList(input, 'auth', problems, null);
  problems.throwIfAny('auth');
  return list;
}

/**
 * The value of an endpoint's `authType` + `authConfig`: one authenticator's configuration, or a list of entries.
 * @param old the endpoint's former value: a masked secret keeps its old value, and an object is merged into a single old entry of its kind
 */
export function readEndpointAuth(
  authType: unknown,
  authConfig: unknown,
  problems: Problems,
  old: AuthConfig[] | null,
): AuthConfig[] | null {
  if (authType !== undefined && readType(authType, 'authType', problems) === null) return null;
  if (Array.isArray(authConfig)) return readAuthList(authConfig, 'authConfig', problems, old);
  const only = old?.length === 1 ? old[0] : undefined;
  if (authConfig === undefined || (isObject(authConfig) && Object.keys(authConfig).length === 0)) {
    if (authType === undefined) return null;
    if (authType === 'users' && only?.authType !== 'users')
      return [readEntry({ authType }, 'authConfig', problems, { list: null, same: undefined })];
    if (old === null) problems.add('authConfig', `is needed with authType ${authType}${authType === 'fixed' ? ': {users: [...]}' : ''}`);
    else if (only !== undefined && only.authType !== authType) problems.add('authConfig', `is needed with another authType: ${authType}`);
    return old;
  }
  if (!isObject(authConfig)) {
    problems.add('authConfig', 'must be an object or a list');
    return null;
  }
  const named = authConfig['authType'] ?? authConfig['type'] ?? authType ?? only?.authType ?? 'fixed';
  const merged = { ...keptOf(only, named, authConfig), ...authConfig, ...('type' in authConfig ? {} : { authType: named }) };
  return [readEntry(merged, 'authConfig', problems, { list: old, same: only })];
}

/** The keys of a single old entry that an object of the same kind does not replace. */
function keptOf(only: AuthConfig | undefined, type: unknown, given: Record<string, unknown>): Record<string, unknown> {
  if (only === undefined || only.authType !== type) return only === undefined ? {} : { filter: only.filter };
  const { authType, ...kept } = only;
  // Another spelling of the same key, and another source of keys, replace what was there.
  const replaced: readonly string[] = [
    ...('fixedAuthConfig' in given ? ['users'] : []),
    ...(KEY_SOURCES.some((name) => (given[name] ?? null) !== null) ? [...KEY_SOURCES, 'algorithms'] : []),
  ];
  return Object.fromEntries(Object.entries(kept).filter(([key]) => !replaced.includes(key)));
}

function readAuthList(input: unknown, path: string, problems: Problems, old: AuthConfig[] | null): AuthConfig[] {
  if (!Array.isArray(input)) {
    problems.add(path, 'must be a list');
    return [];
  }
  return input.flatMap((entry, index) => {
    const at = join(path, index);
    if (isObject(entry)) return [readEntry(entry, at, problems, { list: old, same: old?.[index] })];
    problems.add(at, 'must be an object');
    return [];
  });
}

function readType(value: unknown, path: string, problems: Problems): AuthType | null {
  if (TYPES.includes(value as string)) return value as AuthType;
  problems.add(path, `must be one of ${TYPES.join(', ')}`);
  return null;
}

/** The former authenticators. */
interface Former {
  readonly list: AuthConfig[] | null;
  /** the one in the same place */
  readonly same: AuthConfig | undefined;
}

/** One entry: `{authType, filter, …}`; `type` is the same as `authType`, and the configuration may stand in `authConfig`. */
function readEntry(input: Record<string, unknown>, path: string, problems: Problems, old: Former): AuthConfig {
  const { authType, type, authConfig, ...inline } = splitNulls(input).given;
  const none: AuthConfig = { authType: 'fixed', filter: {}, users: [] };
  if (authType !== undefined && type !== undefined) problems.add(join(path, 'type'), 'is the same as authType');
  const named = readType(authType ?? type ?? 'fixed', join(path, authType === undefined ? 'type' : 'authType'), problems);
  // This version does not know the keys of another type: one problem is enough.
  if (named === null) return none;
  let given = inline;
  if (isObject(authConfig)) given = { ...inline, ...splitNulls(authConfig).given };
  else if (authConfig !== undefined) problems.add(join(path, 'authConfig'), 'must be an object');
  const { filter: written, ...fields } = given;
  const filter = readFilter(written, join(path, 'filter'), problems);
  if (named === 'fixed') return { authType: 'fixed', filter, users: readFixed(fields, path, problems, old.list) };
  const entry = { fields, filter, path, problems };
  const former = old.same;
  switch (named) {
    case 'http':
      return readHttp({ ...entry, old: former?.authType === 'http' ? former : null }) ?? none;
    case 'jwt':
      return readJwt({ ...entry, old: former?.authType === 'jwt' ? former : null }) ?? none;
    case 'file':
      return readFileEntry({ ...entry, old: former?.authType === 'file' ? former : null }) ?? none;
    case 'redis':
      return readRedis({ ...entry, old: former?.authType === 'redis' ? former : null }) ?? none;
    case 'database':
      return readDatabase({ ...entry, old: former?.authType === 'database' ? former : null }) ?? none;
    case 'users':
      return readUsersEntry({ ...entry, old: null }) ?? none;
    case 'x509':
      return readX509({ ...entry, old: null }) ?? none;
  }
}

function readFixed(fields: Record<string, unknown>, path: string, problems: Problems, old: AuthConfig[] | null): FixedUser[] {
  const { users, fixedAuthConfig, ...unknown } = fields;
  for (const key of Object.keys(unknown)) problems.addUnknownKey(join(path, key));
  const [usersKey, list] = users === undefined && fixedAuthConfig !== undefined ? ['fixedAuthConfig', fixedAuthConfig] : ['users', users];
  return readUsers(list, join(path, usersKey as string), problems, old);
}

function readUsers(input: unknown, path: string, problems: Problems, old: AuthConfig[] | null): FixedUser[] {
  if (!Array.isArray(input)) {
    problems.add(path, input === undefined ? 'is required' : 'must be a list');
    return [];
  }
  const seen = new Set<string>();
  return input.flatMap((raw, index) => {
    const at = join(path, index);
    const given = isObject(raw) ? unmask(splitNulls(raw).given, at, problems, old) : raw;
    if (isObject(given)) checkUserForm(given, at, problems);
    const user = check(userSchema, given, at, problems);
    if (user === undefined) return [];
    if (seen.has(user.username)) problems.add(join(at, 'username'), 'is in the list twice');
    seen.add(user.username);
    return [user];
  });
}

/** Replaces a mask by the old password. */
function unmask(user: Record<string, unknown>, path: string, problems: Problems, old: AuthConfig[] | null): Record<string, unknown> {
  if (user['password'] !== MASK) return user;
  const known = old?.flatMap((entry) => ('users' in entry ? entry.users : [])).find((candidate) => candidate.username === user['username']);
  if (known === undefined) problems.add(join(path, 'password'), 'is only a mask: there is no old password of this user to keep');
  else if (user['encrypt'] !== undefined && user['encrypt'] !== known.encrypt) {
    problems.add(join(path, 'password'), 'is only a mask: give the password in its new form to change encrypt');
  } else return { ...known, ...user, password: known.password };
  return user;
}

/** Rules over several keys, checked on the raw values so that all problems are reported together. */
function checkUserForm(user: Record<string, unknown>, path: string, problems: Problems): void {
  const encrypt = ENCRYPTIONS.find((name) => name === user['encrypt']);
  const { password, salt, saltMode } = user;
  if (encrypt !== undefined && typeof password === 'string' && password !== MASK) {
    const problem = passwordFormProblem(encrypt, password);
    if (problem !== null) problems.add(join(path, 'password'), problem);
  }
  const isSalted = saltMode === 'prefix' || saltMode === 'suffix';
  if (isSalted && WITHOUT_SALT.has(user['encrypt'])) problems.add(join(path, 'saltMode'), `has no use with encrypt ${encrypt ?? 'plain'}`);
  if (typeof salt === 'string' && salt !== '' && saltMode === undefined) {
    problems.add(join(path, 'saltMode'), 'is needed with a salt: prefix, suffix or disable');
  }
}

/** `Client{regex}`, `User{regex}`, both, or `{Client, User}`. Each is matched against the whole value. */
function readFilter(input: unknown, path: string, problems: Problems): AuthFilter {
  if (input === undefined || input === '') return {};
  let filter: AuthFilter = {};
  if (typeof input === 'string') {
    const read = readFilterText(input);
    if (read === null) problems.add(path, 'must be Client{regex}, User{regex} or both');
    else filter = read;
  } else if (isObject(input)) {
    for (const [key, value] of Object.entries(splitNulls(input).given)) {
      if (key !== 'Client' && key !== 'User') problems.addUnknownKey(join(path, key));
      else if (typeof value !== 'string') problems.add(join(path, key), 'must be a regular expression');
      else filter[key] = value;
    }
  } else problems.add(path, 'must be Client{regex}, User{regex} or an object {Client, User}');
  for (const [key, source] of Object.entries(filter)) {
    const problem = patternProblem(source);
    if (problem !== null) problems.add(join(path, key), problem);
  }
  return filter;
}

/** Trims blanks first: otherwise the expression below would be tried at each of a million blanks. */
function readFilterText(text: string): AuthFilter | null {
  const match = text.length > FILTER_LENGTH_MAX ? null : /^(?:Client\{(.*?)\})?\s{0,64}(?:User\{(.*)\})?$/s.exec(text.trim());
  if (match === null || (match[1] ?? match[2]) === undefined) return null;
  return { ...(match[1] === undefined ? {} : { Client: match[1] }), ...(match[2] === undefined ? {} : { User: match[2] }) };
}
