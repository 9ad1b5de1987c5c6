/** The `x509` authenticator in its normal form (docs/access.md). */

import { z } from 'zod';
import { join, type Problems } from '../../problems.ts';
import { oneOf } from '../../value-types.ts';
import type { X509AuthConfig } from '../config.ts';
import { type EntryInput, readFields } from './fields.ts';

const use = oneOf(['commonName', 'subject', 'dns', 'email', 'uri']);
const flag = z.boolean({ error: 'must be true or false' });

export const X509_SHAPE = { use, asClientId: flag };

const schema = z.strictObject({
  use: use.optional(),
  asClientId: flag.default(false),
  // mosquitto's names, in our spelling
  useCommonNameAsUsername: flag.optional(),
  useSubjectAsUsername: flag.optional(),
});

export function readX509(input: EntryInput<X509AuthConfig>): X509AuthConfig | undefined {
  const read = readFields(schema, input);
  if (read === undefined) return undefined;
  return { authType: 'x509', filter: input.filter, use: useOf(read, input.path, input.problems), asClientId: read.asClientId };
}

function useOf(read: z.infer<typeof schema>, path: string, problems: Problems): X509AuthConfig['use'] {
  const byFlag = [
    ...(read.useCommonNameAsUsername === true ? (['commonName'] as const) : []),
    ...(read.useSubjectAsUsername === true ? (['subject'] as const) : []),
  ];
  if (byFlag.length > 1) problems.add(join(path, 'useSubjectAsUsername'), 'is given beside useCommonNameAsUsername: one of them');
  if (byFlag.length > 0 && read.use !== undefined && read.use !== byFlag[0]) problems.add(join(path, 'use'), `is not ${byFlag[0]}`);
  return read.use ?? byFlag[0] ?? 'commonName';
}
