/** The `file` authenticator in its normal form (docs/access.md). */

import { z } from 'zod';
import { join } from '../../problems.ts';
import { textField } from '../../value-types.ts';
import type { FileAuthConfig } from '../config.ts';
import { type EntryInput, readFields, TERMS_READ, TERMS_SHAPE } from './fields.ts';

const path = textField(1, 4096);

export const FILE_SHAPE = { ...TERMS_SHAPE, path };

const schema = z.strictObject({ ...TERMS_READ, path });

export function readFileEntry(input: EntryInput<FileAuthConfig>): FileAuthConfig | undefined {
  const read = readFields(schema, input);
  if (read === undefined) return undefined;
  if (read.path.includes('\0')) input.problems.add(join(input.path, 'path'), 'may not hold a null character');
  return { authType: 'file', filter: input.filter, ...read };
}
