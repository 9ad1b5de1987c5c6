/** Shared by the readers of authenticators that ask a store of users for a password: `redis`, `database` (docs/access.md). */

import { join, type Problems } from '../../problems.ts';
import { oneOf } from '../../value-types.ts';
import { ENCRYPTIONS, type RecordTerms } from '../config.ts';
import { TERMS_READ, TERMS_SHAPE } from './fields.ts';

/** Forms of a stored password that have their salt beside them. */
const SALTED: readonly RecordTerms['encrypt'][] = ['md5', 'sha1', 'sha256', 'sha512'];

const encrypt = oneOf(ENCRYPTIONS);
const saltMode = oneOf(['prefix', 'suffix']);

export const RECORD_SHAPE = { ...TERMS_SHAPE, encrypt, saltMode };
export const RECORD_READ = { ...TERMS_READ, encrypt: encrypt.default('auto'), saltMode: saltMode.default('prefix') };

/** @param given the keys as they were written */
export function checkRecordTerms(
  given: Record<string, unknown>,
  terms: Pick<RecordTerms, 'encrypt'>,
  path: string,
  problems: Problems,
): void {
  if (given['saltMode'] === 'suffix' && !SALTED.includes(terms.encrypt))
    problems.add(join(path, 'saltMode'), `has no use with encrypt ${terms.encrypt}`);
}
