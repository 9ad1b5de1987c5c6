/** The `http` authenticator in its normal form (docs/access.md). */

import { z } from 'zod';
import { join, type Problems } from '../../problems.ts';
import { oneOf, textField } from '../../value-types.ts';
import type { HttpAuthConfig } from '../config.ts';
import { placeholdersIn, templateProblem } from '../placeholders.ts';
import { type EntryInput, readFields, TERMS_READ, TERMS_SHAPE } from './fields.ts';

const FIELDS_MAX = 64;
const FORM = 'application/x-www-form-urlencoded';
/** Headers that the connection itself needs. */
const RESERVED = new Set(['host', 'content-length', 'transfer-encoding', 'connection', 'upgrade', 'keep-alive', 'te', 'trailer', 'expect']);

const url = textField(1, 4096);
const method = oneOf(['POST', 'GET']);
const atMost = (record: Record<string, unknown>) => Object.keys(record).length <= FIELDS_MAX;
const few = { error: `must have at most ${FIELDS_MAX} fields` };
const headers = z.record(z.string(), textField(0, 8192), { error: 'must be an object of texts' }).refine(atMost, few);
const bodyValue = z.union([textField(0), z.number(), z.boolean()], { error: 'must be a text, a number or a boolean' });
const body = z.record(z.string(), bodyValue, { error: 'must be an object' }).refine(atMost, few);
const answer = oneOf(['auto', 'status']);

export const HTTP_SHAPE = { ...TERMS_SHAPE, url, method, headers, body: body.nullable(), answer, ca: textField().nullable() };

const schema = z.strictObject({
  ...TERMS_READ,
  url,
  method: method.default('POST'),
  headers: headers.default({}),
  body: body.optional(),
  answer: answer.default('auto'),
  ca: textField().optional(),
});

/** The body of a POST that names none. */
const DEFAULT_BODY = {
  clientId: '${clientId}',
  username: '${username}',
  password: '${password}',
  ip: '${ip}',
  endpoint: '${endpoint}',
};

export function readHttp(input: EntryInput<HttpAuthConfig>): HttpAuthConfig | undefined {
  const { path, problems, filter } = input;
  const read = readFields(schema, input);
  if (read === undefined) return undefined;
  checkUrl(read.url, join(path, 'url'), problems);
  const named = readHeaders(read.headers, join(path, 'headers'), problems);
  if (read.method === 'GET' && read.body !== undefined) problems.add(join(path, 'body'), 'has no use with method GET');
  for (const [key, value] of Object.entries(read.body ?? {})) checkTemplate(String(value), join(join(path, 'body'), key), problems);
  const { body: given, ca, ...rest } = read;
  const sent = read.method === 'GET' ? null : (given ?? DEFAULT_BODY);
  return { authType: 'http', filter, ...rest, headers: named, body: sent, ca: ca ?? null };
}

function checkUrl(given: string, path: string, problems: Problems): void {
  checkTemplate(given, path, problems);
  const origin = /^https?:\/\/[^/?#]*/i.exec(given)?.[0];
  if (origin === undefined) problems.add(path, 'must begin with http:// or https://');
  else if (placeholdersIn(origin).length > 0) problems.add(path, 'may have placeholders in its path and query only');
  else if (!URL.canParse(origin)) problems.add(path, 'is no URL');
  else if (origin.includes('@')) problems.add(path, 'may not hold a login: use a header');
  else if (/[\s#]|\p{Cc}/u.test(given)) problems.add(path, 'may not hold blanks, control characters or a fragment');
}

/** Headers by lower-case names, each once. */
function readHeaders(given: Record<string, string>, path: string, problems: Problems): Record<string, string> {
  const read: [string, string][] = [];
  for (const [key, value] of Object.entries(given)) {
    const at = join(path, key);
    const name = key.toLowerCase();
    if (!/^[a-z0-9!#$%&'*+.^_`|~-]+$/.test(name)) problems.add(at, 'is no name of a header');
    else if (RESERVED.has(name)) problems.add(at, 'is a header of the connection itself');
    else if (read.some(([other]) => other === name)) problems.add(at, 'is given twice');
    if (/\p{Cc}/u.test(value)) problems.add(at, 'may not hold control characters');
    if (name === 'content-type' && value !== FORM && !/^application\/json\b/.test(value))
      problems.add(at, `must be application/json or ${FORM}`);
    checkTemplate(value, at, problems);
    read.push([name, value]);
  }
  return Object.fromEntries(read);
}

function checkTemplate(given: string, path: string, problems: Problems): void {
  const problem = templateProblem(given);
  if (problem !== null) problems.add(path, problem);
}
