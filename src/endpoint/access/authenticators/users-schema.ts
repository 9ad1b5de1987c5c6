/** The `users` authenticator in its normal form (docs/users.md). */

import { z } from 'zod';
import { oneOf } from '../../value-types.ts';
import type { UsersAuthConfig } from '../config.ts';
import { type EntryInput, readFields, TERMS_READ, TERMS_SHAPE, whole } from './fields.ts';

const look = oneOf(['username', 'clientId', 'both']);
/** Decisions are not kept: each login sees the newest users. */
const cacheSeconds = whole(0, 0);

export const USERS_SHAPE = { ...TERMS_SHAPE, cacheSeconds, look };

const schema = z.strictObject({ ...TERMS_READ, cacheSeconds: cacheSeconds.default(0), look: look.default('username') });

export function readUsersEntry(input: EntryInput<UsersAuthConfig>): UsersAuthConfig | undefined {
  const read = readFields(schema, input);
  return read === undefined ? undefined : { authType: 'users', filter: input.filter, ...read };
}
