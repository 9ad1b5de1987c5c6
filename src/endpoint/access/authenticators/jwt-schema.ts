/** The `jwt` authenticator in its normal form (docs/access.md). */

import { createPublicKey } from 'node:crypto';
import { z } from 'zod';
import { join, type Problems } from '../../problems.ts';
import { oneOf, textField } from '../../value-types.ts';
import { JWT_BY_KEY, JWT_BY_SECRET, type JwtAuthConfig } from '../config.ts';
import { templateProblem } from '../placeholders.ts';
import { type EntryInput, readFields, TERMS_READ, TERMS_SHAPE, whole } from './fields.ts';

const CLAIMS_MAX = 32;
/** Where the keys come from; one of them is given. */
export const KEY_SOURCES = ['secret', 'publicKey', 'jwksUrl'] as const;

const from = oneOf(['password', 'username']);
const secretEncoding = oneOf(['utf8', 'base64']);
const algorithms = z.array(oneOf([...JWT_BY_SECRET, ...JWT_BY_KEY]), { error: 'must be a list' }).min(1, { error: 'must not be empty' });
const claims = z
  .record(textField(1, 256), textField(0, 4096), { error: 'must be an object of texts' })
  .refine((given) => Object.keys(given).length <= CLAIMS_MAX, { error: `must have at most ${CLAIMS_MAX} claims` });
const jwksRefresh = whole(10, 86_400);
const clockTolerance = whole(0, 300);
const disconnectAfterExpire = z.boolean({ error: 'must be true or false' });
const optional = (max?: number) => textField(1, max).optional();

export const JWT_SHAPE = {
  ...TERMS_SHAPE,
  from,
  secret: textField().nullable(),
  secretEncoding,
  publicKey: textField().nullable(),
  jwksUrl: textField().nullable(),
  jwksRefresh,
  ca: textField().nullable(),
  algorithms,
  issuer: textField().nullable(),
  audience: textField().nullable(),
  claims,
  usernameClaim: textField().nullable(),
  clockTolerance,
  disconnectAfterExpire,
};

const schema = z.strictObject({
  ...TERMS_READ,
  from: from.default('password'),
  secret: optional(),
  secretEncoding: secretEncoding.default('utf8'),
  publicKey: optional(),
  jwksUrl: optional(4096),
  jwksRefresh: jwksRefresh.default(300),
  ca: optional(),
  algorithms: algorithms.optional(),
  issuer: optional(1024),
  audience: optional(1024),
  claims: claims.default({}),
  usernameClaim: optional(256),
  clockTolerance: clockTolerance.default(0),
  disconnectAfterExpire: disconnectAfterExpire.default(true),
});

export function readJwt(input: EntryInput<JwtAuthConfig>): JwtAuthConfig | undefined {
  const { path, problems, filter } = input;
  const read = readFields(schema, input);
  if (read === undefined) return undefined;
  const { secret, publicKey, jwksUrl } = read;
  const given = KEY_SOURCES.filter((name) => read[name] !== undefined);
  if (given.length !== 1) problems.add(join(path, given[1] ?? 'secret'), `exactly one of ${KEY_SOURCES.join(', ')} is needed`);
  const possible: readonly string[] = secret === undefined ? JWT_BY_KEY : JWT_BY_SECRET;
  const algorithmsOf = read.algorithms ?? (secret === undefined ? [...JWT_BY_KEY] : [...JWT_BY_SECRET]);
  for (const [index, name] of algorithmsOf.entries())
    if (!possible.includes(name)) problems.add(join(join(path, 'algorithms'), index), `must be one of ${possible.join(', ')}`);
  if (secret !== undefined) checkSecret(secret, read.secretEncoding, join(path, 'secret'), problems);
  if (publicKey !== undefined) checkPublicKey(publicKey, join(path, 'publicKey'), problems);
  if (jwksUrl !== undefined) checkUrl(jwksUrl, join(path, 'jwksUrl'), problems);
  if (read.ca !== undefined && jwksUrl === undefined) problems.add(join(path, 'ca'), 'has no use without jwksUrl');
  for (const [name, value] of Object.entries(read.claims)) {
    const problem = templateProblem(value);
    if (problem !== null) problems.add(join(join(path, 'claims'), name), problem);
  }
  return {
    authType: 'jwt',
    filter,
    ...read,
    secret: secret ?? null,
    publicKey: publicKey ?? null,
    jwksUrl: jwksUrl ?? null,
    ca: read.ca ?? null,
    algorithms: algorithmsOf,
    issuer: read.issuer ?? null,
    audience: read.audience ?? null,
    usernameClaim: read.usernameClaim ?? null,
  };
}

function checkSecret(secret: string, encoding: 'utf8' | 'base64', path: string, problems: Problems): void {
  if (encoding === 'base64' && !/^[A-Za-z0-9+/_-]+={0,2}$/.test(secret)) problems.add(path, 'must be base64');
}

/** PEM text, which must be a public key or a certificate, or the path of such a file. */
function checkPublicKey(given: string, path: string, problems: Problems): void {
  if (!given.includes('-----BEGIN')) return;
  if (given.includes('PRIVATE KEY')) {
    problems.add(path, 'is a private key');
    return;
  }
  try {
    createPublicKey(given);
  } catch {
    problems.add(path, 'is no public key in PEM');
  }
}

function checkUrl(given: string, path: string, problems: Problems): void {
  const url = URL.canParse(given) ? new URL(given) : null;
  if (url === null || !['http:', 'https:'].includes(url.protocol)) problems.add(path, 'must be a URL that begins with http:// or https://');
  else if (url.username !== '' || url.password !== '') problems.add(path, 'may not hold a login');
}
