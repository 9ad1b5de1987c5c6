/** Reads EMQX's files of built-in users, CSV and JSON: with passwords, or with hashes whose kind the file does not name. */

import { isObject } from '../../endpoint/problems.ts';
import { readHash } from '../../kernel/logins/hash-forms.ts';
import { type ImportedUser, linesOf, type UserFile } from './contract.ts';

/** The kinds of hash that EMQX may have written. */
export const EMQX_HASHES = ['plain', 'md5', 'sha', 'sha256', 'sha512', 'bcrypt', 'pbkdf2-sha256', 'pbkdf2-sha512'] as const;
export type EmqxHash = (typeof EMQX_HASHES)[number];

/** The configuration of EMQX's authenticator, which the file does not name. */
export interface EmqxTerms {
  by: 'username' | 'clientId';
  hash: EmqxHash;
  /** where the salt stands, with md5 and sha */
  salt: 'prefix' | 'suffix' | 'disable';
  /** of pbkdf2 */
  iterations: number;
}

const COLUMNS = ['user_id', 'password', 'password_hash', 'salt', 'is_superuser'];

/** A row of the file: its place, and its values by the name of the column. */
type Row = readonly [place: string, values: Readonly<Record<string, unknown>>];

export function readEmqxCsv(text: string, terms: EmqxTerms): UserFile {
  const file: UserFile = { users: [], problems: [], notes: [] };
  const rows: Row[] = [];
  let names: string[] | null = null;
  for (const [number, line] of linesOf(text)) {
    if (line.trim() === '') continue;
    const fields = fieldsOf(line);
    if (fields === null) file.problems.push(`line ${number}: a quotation mark is not closed`);
    else if (names === null) names = fields.map((name) => name.trim());
    else if (fields.length !== names.length) file.problems.push(`line ${number}: has ${fields.length} fields, expected ${names.length}`);
    else rows.push([`line ${number}`, Object.fromEntries(names.map((name, at) => [name, fields[at]]))]);
  }
  for (const name of names ?? [])
    if (!COLUMNS.includes(name)) file.problems.push(`line 1: unknown column ${name}; expected ${COLUMNS.join(', ')}`);
  return take(file, rows, terms);
}

export function readEmqxJson(list: readonly unknown[], terms: EmqxTerms): UserFile {
  const file: UserFile = { users: [], problems: [], notes: [] };
  const rows = list.flatMap((value, at): Row[] => {
    if (isObject(value)) return [[`[${at}]`, value]];
    file.problems.push(`[${at}]: must be an object`);
    return [];
  });
  return take(file, rows, terms);
}

function take(file: UserFile, rows: readonly Row[], terms: EmqxTerms): UserFile {
  const placeOf = new Map<string, string>();
  for (const [place, values] of rows) {
    const user = userOf(values, terms);
    const name = typeof values['user_id'] === 'string' ? values['user_id'] : '';
    const former = placeOf.get(name);
    if (typeof user === 'string') file.problems.push(`${place}: ${user}`);
    else if (former !== undefined) file.problems.push(`${place}: ${name} stands at ${former} already`);
    else {
      placeOf.set(name, place);
      file.users.push(user);
    }
  }
  return file;
}

/** The user, or what is wrong with the row. No part of a password or hash is repeated. */
function userOf(values: Readonly<Record<string, unknown>>, terms: EmqxTerms): ImportedUser | string {
  const { user_id: name, password, password_hash: hash, salt = '', is_superuser: isSuperuser = false } = values;
  if (typeof name !== 'string' || name === '') return 'has no user_id';
  const flag = isSuperuser === true || isSuperuser === 'true';
  if (!flag && isSuperuser !== false && isSuperuser !== 'false' && isSuperuser !== '') return `${name}: is_superuser must be true or false`;
  const user: ImportedUser = { [terms.by]: name, ...(flag ? { isSuperuser: true } : {}) };
  if (typeof password === 'string' && password !== '') return { ...user, password };
  if (typeof hash !== 'string' || hash === '' || typeof salt !== 'string') return `${name}: has neither password nor password_hash`;
  if (terms.hash === 'plain') return { ...user, password: hash };
  const stored = storedOf(hash, salt, terms);
  const read = readHash(stored);
  return typeof read === 'string' ? `${name}: is no hash of the kind ${terms.hash}` : { ...user, hash: stored };
}

function storedOf(hash: string, saltText: string, { hash: kind, salt: place, iterations }: EmqxTerms): string {
  if (kind === 'bcrypt') return hash;
  const bytes = Buffer.from(hash, 'hex').toString('base64');
  const salt = Buffer.from(place === 'disable' && !kind.startsWith('pbkdf2') ? '' : saltText).toString('base64');
  const bare = (text: string) => text.replace(/=+$/, '');
  if (kind === 'pbkdf2-sha256' || kind === 'pbkdf2-sha512') return `$${kind}$i=${iterations}$${bare(salt)}$${bare(bytes)}`;
  const algorithm = kind === 'sha' ? 'sha1' : kind;
  return `$digest-${algorithm}$${place === 'suffix' ? 'suffix' : 'prefix'}$${salt}$${bytes}`;
}

/** The fields of a line (RFC 4180); null: a quotation mark is not closed. */
function fieldsOf(line: string): string[] | null {
  const fields: string[] = [];
  let rest = line;
  for (;;) {
    const [whole = '', quoted, bare] = /^(?:"((?:[^"]|"")*)"|([^,"]*))(?=,|$)/.exec(rest) ?? [];
    if (quoted === undefined && bare === undefined) return null;
    fields.push(quoted === undefined ? (bare ?? '') : quoted.replaceAll('""', '"'));
    if (whole.length === rest.length) return fields;
    rest = rest.slice(whole.length + 1);
  }
}
