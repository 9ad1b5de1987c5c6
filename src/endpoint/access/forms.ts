/** Schemas of `authConfig` and `aclConfig` in requests and answers, for descriptions: the readers also take FluxMQ's spellings. */

import { z } from 'zod';
import { ACL_SHAPE, RULE_SHAPE } from './acl-schema.ts';
import { USER_SHAPE } from './auth-schema.ts';
import { DATABASE_SHAPE } from './authenticators/database-schema.ts';
import { FILE_SHAPE } from './authenticators/file-schema.ts';
import { HTTP_SHAPE } from './authenticators/http-schema.ts';
import { JWT_SHAPE } from './authenticators/jwt-schema.ts';
import { REDIS_SHAPE } from './authenticators/redis-schema.ts';
import { USERS_SHAPE } from './authenticators/users-schema.ts';
import { X509_SHAPE } from './authenticators/x509-schema.ts';

const user = z.object(USER_SHAPE).meta({ id: 'User' });
const newUser = z.object(USER_SHAPE).partial({ encrypt: true, salt: true, saltMode: true }).meta({ id: 'NewUser' });
const pattern = z.string().meta({ description: 'Regular expression over the whole value' });
const filter = z.object({ Client: pattern, User: pattern }).partial();
const newFilter = z.union([filter, z.string().meta({ description: '`Client{regex}`, `User{regex}`, or both' })]);

const fixed = { filter, users: z.array(user) };
const http = { filter, ...HTTP_SHAPE };
const jwt = { filter, ...JWT_SHAPE };
const file = { filter, ...FILE_SHAPE };
const x509 = { filter, ...X509_SHAPE };
const database = { filter, ...DATABASE_SHAPE };
const redis = { filter, ...REDIS_SHAPE };
const directory = { filter, ...USERS_SHAPE };
/** One authenticator, whose kind stands beside it in `authType`. */
const oneAnswer = z.union([
  z.object(fixed),
  z.object(http),
  z.object(jwt),
  z.object(file),
  z.object(x509),
  z.object(redis),
  z.object(database),
  z.object(directory),
]);
export type OneAuthConfig = z.infer<typeof oneAnswer>;
const listedAnswer = z.discriminatedUnion('authType', [
  z.object({ authType: z.literal('fixed'), ...fixed }),
  z.object({ authType: z.literal('http'), ...http }),
  z.object({ authType: z.literal('jwt'), ...jwt }),
  z.object({ authType: z.literal('file'), ...file }),
  z.object({ authType: z.literal('x509'), ...x509 }),
  z.object({ authType: z.literal('redis'), ...redis }),
  z.object({ authType: z.literal('database'), ...database }),
  z.object({ authType: z.literal('users'), ...directory }),
]);

const newFixed = z.object({ filter: newFilter, users: z.array(newUser) }).partial();
const newHttp = z.object({ ...http, filter: newFilter }).partial();
const newJwt = z.object({ ...jwt, filter: newFilter }).partial();
const newFile = z.object({ ...file, filter: newFilter }).partial();
const { servers, ...redisKeys } = REDIS_SHAPE.redis.shape;
const newServers = z.object({ ...redisKeys, servers, host: z.string(), port: z.number() }).partial();
const newRedis = z.object({ ...redis, redis: newServers, filter: newFilter }).partial();
const newDatabase = z.object({ ...database, datasource: DATABASE_SHAPE.datasource.partial(), filter: newFilter }).partial();
const newX509 = z.object({ ...x509, filter: newFilter }).partial();
const newDirectory = z.object({ ...directory, filter: newFilter }).partial();
const listedRequest = z.union([
  z.object({ ...newFixed.shape, authType: z.literal('fixed').optional() }),
  z.object({ ...newHttp.shape, authType: z.literal('http') }),
  z.object({ ...newJwt.shape, authType: z.literal('jwt') }),
  z.object({ ...newFile.shape, authType: z.literal('file') }),
  z.object({ ...newX509.shape, authType: z.literal('x509') }),
  z.object({ ...newRedis.shape, authType: z.literal('redis') }),
  z.object({ ...newDatabase.shape, authType: z.literal('database') }),
  z.object({ ...newDirectory.shape, authType: z.literal('users') }),
]);

/** A rule in its normal form. */
export const ruleSchema = z.object(RULE_SHAPE).meta({ id: 'Rule' });
const qos = z.int().min(0).max(2);
const newRule = z
  .object({
    ...RULE_SHAPE,
    qos: z.union([qos, z.array(qos)]).optional(),
    subject: RULE_SHAPE.subject.partial({ value: true }),
    action: RULE_SHAPE.action.optional(),
  })
  .meta({ id: 'NewRule' });
const newAcl = z.object({ ...ACL_SHAPE, rules: z.array(newRule) }).partial();

/** The forms in answers. One authenticator is an object, several are a list. */
export const ACCESS_ANSWERS = {
  authConfig: z.union([oneAnswer, z.array(listedAnswer)]),
  aclConfig: z.object({ ...ACL_SHAPE, rules: z.array(ruleSchema) }),
};

/** The forms in requests. */
export const ACCESS_REQUESTS = {
  authConfig: z.union([newFixed, newHttp, newJwt, newFile, newX509, newRedis, newDatabase, newDirectory, z.array(listedRequest)]),
  aclConfig: z.union([newAcl, z.array(newRule)]),
};
