/** Reads the groups and the rights that an authenticator gives to one client. */

import type { AclRule, OwnRights } from './config.ts';

export const GROUPS_MAX = 32;
export const GROUP_LENGTH_MAX = 64;

/**
 * A list of names.
 * @throws Error when the value is no such list; the message holds no part of it
 */
export function readOwnGroups(value: unknown): string[] {
  if (value === undefined || value === null) return [];
  if (!Array.isArray(value) || value.length > GROUPS_MAX) throw new Error(`groups is no list of at most ${GROUPS_MAX} names`);
  return value.map((group: unknown) => {
    if (typeof group !== 'string' || group === '' || group.length > GROUP_LENGTH_MAX)
      throw new Error(`groups has a name that is no text of 1..${GROUP_LENGTH_MAX} characters`);
    return group;
  });
}

/** The rights of a client; null: it has none beside the rules of its endpoint. */
export function rightsOrNone(isSuperuser: boolean, rules: readonly AclRule[], groups: readonly string[]): OwnRights | null {
  if (!isSuperuser && rules.length === 0 && groups.length === 0) return null;
  return { isSuperuser, rules, ...(groups.length === 0 ? {} : { groups }) };
}
