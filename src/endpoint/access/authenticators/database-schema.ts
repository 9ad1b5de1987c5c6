/** The `database` authenticator in its normal form (docs/access.md). */

import { z } from 'zod';
import { type DatabaseLogin, readDatabaseUrl } from '../../../kernel/input/database-url.ts';
import { join, type Problems } from '../../problems.ts';
import { textField } from '../../value-types.ts';
import type { DatabaseAuthConfig } from '../config.ts';
import { sqlTemplateProblem } from '../sql-template.ts';
import { type EntryInput, readFields, whole } from './fields.ts';
import { checkRecordTerms, RECORD_READ, RECORD_SHAPE } from './record-schema.ts';

const url = textField(1, 4096);
const username = textField(1, 256);
const password = textField(0);
const connections = whole(1, 64);
const authSql = textField(1, 16_384);

export const DATABASE_SHAPE = { ...RECORD_SHAPE, datasource: z.object({ url, username, password, connections }), authSql };

const schema = z.strictObject({
  ...RECORD_READ,
  datasource: z.strictObject(
    { url, username, password: password.default(''), connections: connections.default(4) },
    { error: (issue) => (issue.code === 'invalid_type' ? 'must be an object: {url, username, password}' : undefined) },
  ),
  authSql,
});

export function readDatabase(input: EntryInput<DatabaseAuthConfig>): DatabaseAuthConfig | undefined {
  const { path, problems, filter, fields } = input;
  const read = readFields(schema, input);
  if (read === undefined) return undefined;
  checkRecordTerms(fields, read, path, problems);
  const kind = checkUrl(read.datasource.url, join(join(path, 'datasource'), 'url'), problems);
  const problem = kind === null ? null : sqlTemplateProblem(read.authSql, kind);
  if (problem !== null) problems.add(join(path, 'authSql'), problem);
  return { authType: 'database', filter, ...read };
}

function checkUrl(given: string, path: string, problems: Problems): DatabaseLogin['kind'] | null {
  const { address, problems: found } = readDatabaseUrl(given);
  for (const problem of found) problems.add(path, problem);
  if (address === null) return null;
  // Answers show the URL.
  if (address.username !== null || address.password !== null) problems.add(path, 'may not hold a login: use username and password');
  return address.kind;
}
