/** What a store of users says about one user: the stored password and the rights, of whatever types the store gives. */

import { readOwnGroups, rightsOrNone } from '../../../../src/endpoint/access/own-groups.ts';
import { readOwnRules } from '../../../../src/endpoint/access/own-rules.ts';
import type { OwnRights } from '../../../../src/endpoint/endpoint.ts';

/** That of a password in MQTT. */
const PASSWORD_BYTES_MAX = 65_535;
const SALT_BYTES_MAX = 1_024;
const ACL_BYTES_MAX = 65_536;

export interface UserRecord {
  readonly password: string;
  /** '' for none */
  readonly salt: string;
  /** null: none */
  readonly rights: OwnRights | null;
}

/** Values by the names of their columns or fields. */
export type RawRecord = Readonly<Record<string, unknown>>;

/**
 * Null: the store has no password for the user, and so no user.
 * @throws Error for values of other types and for oversized ones; the message holds none of them
 */
export function readUserRecord(raw: RawRecord): UserRecord | null {
  const password = textOf(raw['password'] ?? raw['password_hash'], 'password', PASSWORD_BYTES_MAX);
  if (password === null || password === '') return null;
  const isSuperuser = flagOf(raw['is_superuser'] ?? raw['isSuperuser'] ?? raw['issuperuser'], 'is_superuser');
  const rights = rightsOrNone(isSuperuser, rulesOf(raw['acl']), groupsOf(raw['groups']));
  return { password, salt: textOf(raw['salt'], 'salt', SALT_BYTES_MAX) ?? '', rights };
}

function textOf(value: unknown, name: string, bytesMax: number): string | null {
  if (value === null || value === undefined) return null;
  const text = value instanceof Uint8Array ? Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString('utf8') : value;
  if (typeof text !== 'string') throw new Error(`the ${name} is no text`);
  if (Buffer.byteLength(text) > bytesMax) throw new Error(`the ${name} has more than ${bytesMax} bytes`);
  return text;
}

/** A number, a boolean, a bit, or the text of one; null and empty are false. */
function flagOf(value: unknown, name: string): boolean {
  if (value === null || value === undefined || value === '') return false;
  if (typeof value === 'boolean') return value;
  if (value instanceof Uint8Array && value.length === 1 && value[0]! <= 1) return value[0] === 1;
  const text = value instanceof Uint8Array ? '' : String(value as string).toLowerCase();
  if (['1', 't', 'true'].includes(text)) return true;
  if (['0', 'f', 'false'].includes(text)) return false;
  throw new Error(`the ${name} is neither true nor false`);
}

/** A list or an object, or its JSON text. */
function rulesOf(value: unknown): OwnRights['rules'] {
  if (value === null || value === undefined || value === '') return [];
  if (typeof value === 'object' && !(value instanceof Uint8Array)) return readOwnRules(value);
  return readOwnRules(parse(textOf(value, 'acl', ACL_BYTES_MAX) ?? '', 'acl'));
}

/** A list, its JSON text, or names with commas between them. */
function groupsOf(value: unknown): string[] {
  if (value === null || value === undefined || value === '') return [];
  if (Array.isArray(value)) return readOwnGroups(value);
  const text = textOf(value, 'groups', ACL_BYTES_MAX) ?? '';
  return readOwnGroups(text.trimStart().startsWith('[') ? parse(text, 'groups') : text.split(',').map((group) => group.trim()));
}

function parse(text: string, name: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw new Error(`the ${name} is no JSON`);
  }
}
