/** Reads a file of users of any known form. */

import { isObject } from '../../endpoint/problems.ts';
import { messageOf } from '../../kernel/errors.ts';
import type { ImportedUser, UserFile } from './contract.ts';
import { readDynamicSecurity } from './dynamic-security.ts';
import { type EmqxTerms, readEmqxCsv, readEmqxJson } from './emqx.ts';
import { giveRules, readMosquittoAcl } from './mosquitto-acl.ts';
import { readMosquittoPasswords } from './mosquitto-passwords.ts';

export const USER_FILES = ['fluxmq', 'mosquitto', 'dynamic-security', 'emqx'] as const;
export type UserFileKind = (typeof USER_FILES)[number];

/** The form of a file, by its content. */
export function kindOfUserFile(text: string): UserFileKind {
  const begin = text.replace(/^\ufeff/, '').trimStart();
  if (begin.startsWith('[')) return 'emqx';
  if (begin.startsWith('{')) return /"(?:clients|roles|defaultACLAccess)"\s*:/.test(text) ? 'dynamic-security' : 'fluxmq';
  return /^"?user_id"?\s*,/.test(begin) ? 'emqx' : 'mosquitto';
}

/** @param acl the text of mosquitto's acl_file, for the form `mosquitto`; null: none */
export function readUserFile(text: string, kind: UserFileKind, terms: EmqxTerms, acl: string | null): UserFile {
  switch (kind) {
    case 'mosquitto':
      return withAcl(readMosquittoPasswords(text), acl);
    case 'dynamic-security':
      return readJson(text, (value) => (isObject(value) ? readDynamicSecurity(value) : null));
    case 'emqx':
      if (!text.trimStart().startsWith('[')) return readEmqxCsv(text, terms);
      return readJson(text, (value) => (Array.isArray(value) ? readEmqxJson(value, terms) : null));
    case 'fluxmq':
      return readJson(text, (value) => {
        const users = isObject(value) ? value['users'] : null;
        return Array.isArray(users) ? { users: users.map(withoutRevision), problems: [], notes: [] } : null;
      });
  }
}

function withAcl(file: UserFile, text: string | null): UserFile {
  if (text === null) return file;
  const acl = readMosquittoAcl(text);
  const left = giveRules(file.users, acl).map((name) => `${name}: has rules and no password, so it is left out`);
  const problems = [...file.problems, ...acl.problems.map((problem) => `ACL file, ${problem}`)];
  return { users: file.users, problems, notes: [...acl.notes, ...left] };
}

function readJson(text: string, read: (value: unknown) => UserFile | null): UserFile {
  let value: unknown;
  try {
    value = JSON.parse(text.replace(/^\ufeff/, ''));
  } catch (error) {
    return { users: [], problems: [`is not JSON: ${messageOf(error)}`], notes: [] };
  }
  return read(value) ?? { users: [], problems: ['does not have the expected form'], notes: [] };
}

/** A user of an export, whose revision is not imported. */
function withoutRevision(user: unknown): ImportedUser {
  if (!isObject(user)) return user as ImportedUser;
  const { revision, ...rest } = user;
  return rest as ImportedUser;
}
