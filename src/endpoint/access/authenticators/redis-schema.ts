/** The `redis` authenticator in its normal form (docs/access.md). */

import { z } from 'zod';
import { join, type Problems } from '../../problems.ts';
import { oneOf, textField } from '../../value-types.ts';
import type { RedisAuthConfig, RedisServers } from '../config.ts';
import { placeholdersIn, templateProblem } from '../placeholders.ts';
import { readRedisCommand, redisCommandProblem } from '../redis-command.ts';
import { type EntryInput, readFields, whole } from './fields.ts';
import { checkRecordTerms, RECORD_READ, RECORD_SHAPE } from './record-schema.ts';

const SERVERS_MAX = 64;
const PORT = 6379;

const mode = oneOf(['single', 'cluster', 'sentinel']);
const servers = z
  .array(textField(1, 300), { error: 'must be a list of host:port' })
  .min(1, { error: 'must not be empty' })
  .max(SERVERS_MAX, { error: `must have at most ${SERVERS_MAX} servers` });
const flag = z.boolean({ error: 'must be true or false' });
const database = whole(0, 1_000_000);
const command = textField(1, 4096);

const redisShape = z.object({
  mode,
  servers,
  master: textField(1, 256).nullable(),
  username: textField(0, 256),
  password: textField(0),
  sentinelPassword: textField(0),
  database,
  tls: flag,
  ca: textField().nullable(),
});

export const REDIS_SHAPE = { ...RECORD_SHAPE, redis: redisShape, command };

const schema = z.strictObject({
  ...RECORD_READ,
  redis: z.strictObject(
    {
      mode: mode.default('single'),
      servers: servers.optional(),
      host: textField(1, 256).optional(),
      port: whole(1, 65_535).optional(),
      master: textField(1, 256).nullish(),
      username: textField(0, 256).default(''),
      password: textField(0).default(''),
      sentinelPassword: textField(0).default(''),
      database: database.default(0),
      tls: flag.default(false),
      ca: textField().nullish(),
    },
    { error: (issue) => (issue.code === 'invalid_type' ? 'must be an object: {host, port, …}' : undefined) },
  ),
  command,
});

export function readRedis(input: EntryInput<RedisAuthConfig>): RedisAuthConfig | undefined {
  const { path, problems, filter, fields } = input;
  const read = readFields(schema, input);
  if (read === undefined) return undefined;
  checkRecordTerms(fields, read, path, problems);
  checkCommand(read.command, join(path, 'command'), problems);
  return { authType: 'redis', filter, ...read, redis: readServers(read.redis, join(path, 'redis'), problems) };
}

function readServers(given: z.infer<typeof schema>['redis'], path: string, problems: Problems): RedisServers {
  const { host, port, servers: listed, master = null, ca = null, ...rest } = given;
  const { mode: kind, username, password, database: number, tls, sentinelPassword } = rest;
  if (listed !== undefined && (host !== undefined || port !== undefined))
    problems.add(join(path, host === undefined ? 'port' : 'host'), 'is given beside servers: one of them');
  const all = listed ?? [`${host?.includes(':') === true ? `[${host}]` : (host ?? 'localhost')}:${port ?? PORT}`];
  const normal = all.map((server, index) => {
    const normalised = serverOf(server);
    if (normalised === null) problems.add(join(join(path, 'servers'), index), 'must be host:port');
    return normalised ?? server;
  });
  if (kind === 'single' && all.length > 1) problems.add(join(path, 'servers'), 'must have one server with mode single');
  if ((kind === 'sentinel') !== (master !== null))
    problems.add(join(path, 'master'), kind === 'sentinel' ? 'is needed with mode sentinel' : 'has no use without mode sentinel');
  if (kind === 'cluster' && number !== 0) problems.add(join(path, 'database'), 'must be 0: a cluster has no other database');
  if (username !== '' && password === '') problems.add(join(path, 'password'), 'is needed with a username');
  if (sentinelPassword !== '' && kind !== 'sentinel') problems.add(join(path, 'sentinelPassword'), 'has no use without mode sentinel');
  if (ca !== null && !tls) problems.add(join(path, 'ca'), 'has no use without tls');
  return { ...rest, servers: normal, master, ca };
}

/** `host:port`; IPv6 addresses in brackets. Without a port it is Redis's own. */
function serverOf(text: string): string | null {
  const match = /^(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::(\d{1,5}))?$/.exec(text);
  if (match === null) return null;
  const port = Number(match[2] ?? PORT);
  return port >= 1 && port <= 65_535 ? `${match[1]}:${port}` : null;
}

function checkCommand(text: string, path: string, problems: Problems): void {
  const problem = templateProblem(text) ?? redisCommandProblem(text);
  if (problem !== null) problems.add(path, problem);
  else if (placeholdersIn(readRedisCommand(text).key).length === 0)
    problems.add(path, 'needs a key with a placeholder, such as ${username}');
}
