/** Turns unknown input into a complete Endpoint and reports all problems at once (docs/endpoints.md). */

import { isIP } from 'node:net';
import { z } from 'zod';
import { readEndpointAcl } from './acl-schema.ts';
import { renameOptions } from './aliases.ts';
import { readEndpointAuth } from './auth-schema.ts';
import { defaultEndpoint, defaultSessionSize, defaultSslConfig } from './defaults.ts';
import { type ChildOptions, type Endpoint, KEEP_ALIVE_MAX, type ServerOptions } from './endpoint.ts';
import { check, isObject, join, Problems, splitNulls } from './problems.ts';
import { readSslConfig } from './ssl-schema.ts';

export { parseAcl } from './acl-schema.ts';
export { parseAuthList } from './auth-schema.ts';
export { toPublicEndpoint } from './public-form.ts';

export interface ParsedEndpoint {
  endpoint: Endpoint;
  /** keys that are accepted without effect; the answer carries these warnings */
  warnings: string[];
}

const integer = (min: number, max: number) => {
  const error = `must be a whole number, ${min}..${max}`;
  return z.int({ error }).min(min, { error }).max(max, { error });
};
const boolean = z.boolean({ error: 'must be true or false' });
const string = z.string({ error: 'must be a string' });
const hasControlCharacter = (value: string) => /\p{Cc}/u.test(value);

const KEYS: Record<string, z.ZodType> = {
  id: string.regex(/^[A-Za-z0-9_.-]{1,64}$/, { error: 'must be 1..64 of letters, digits and _.-' }),
  port: integer(1, 65535),
  host: string.refine((value) => isIP(value) !== 0, { error: 'must be an IP address' }),
  useWebsocket: boolean,
  path: string.regex(/^\/[^\s?#]{0,255}$/, { error: 'must begin with / and hold no white space, ? or #, at most 256 characters' }),
  enableAuth: boolean,
  enableAcl: boolean,
  messageMaxSize: integer(1024, 268_435_455),
  maxConnectionSize: integer(1, 10_000_000),
  maxConnectionPerSecond: integer(1, 1_000_000),
  maxConnectionPerAddress: integer(1, 10_000_000),
  maxConnectionPerAddressPerSecond: integer(1, 1_000_000),
  maxSessionSize: integer(1, 10_000_000),
  maxSendWindowSize: integer(1, 65535),
  maxReceiveWindowSize: integer(1, 65535),
  maxQueuedMessages: integer(1, 1_000_000),
  maxQueuedBytes: integer(1024, 1_099_511_627_776),
  maxSubscriptions: integer(1, 1_000_000),
  maxTopicAlias: integer(0, 65535),
  maxRetainedMessages: integer(1, 10_000_000),
  maxRetainedBytes: integer(1024, 1_099_511_627_776),
  maxKeepAlive: integer(1, KEEP_ALIVE_MAX),
  idleTimeout: integer(100, 3_600_000),
  handshakeTimeout: integer(100, 3_600_000),
  sessionPersistence: boolean,
  namespace: string
    .min(1, { error: 'must not be empty' })
    .max(128, { error: 'must be at most 128 characters' })
    .refine((value) => !hasControlCharacter(value), { error: 'must not hold control characters' }),
  exclusivePool: boolean,
  wiretap: boolean,
  enabled: boolean,
  isDefault: boolean,
};

const OPTIONS = {
  serverOptions: {
    soBacklog: integer(1, 65535),
    workerGroupSize: z.union([integer(1, 64), z.literal('auto')], { error: 'must be a whole number, 1..64, or "auto"' }),
  },
  childOptions: { tcpNodelay: boolean, soKeepalive: boolean, soLinger: integer(-1, 65535) },
} satisfies Record<string, Record<string, z.ZodType>>;

/** Keys with a reader of their own. */
const SPECIAL = new Set(['authType', 'authConfig', 'aclType', 'aclConfig', 'serverOptions', 'childOptions', 'sslConfig']);
/** Keys of later versions: "off" is the only value that this version accepts. */
const LATER = new Set(['enableBridge', 'bridgeConfig', 'proxy']);
/** FluxMQ's keys for what fluxmq always does. */
const NEEDLESS: Record<string, { schema: z.ZodType; warning: string }> = {
  metrics: { schema: boolean, warning: 'metrics has no effect: metrics are always collected' },
  aclRefreshPeriod: {
    schema: integer(0, 86400),
    warning: 'aclRefreshPeriod has no effect: configured rules apply at once when they change',
  },
};

const isKnown = (key: string) => Object.hasOwn(KEYS, key) || SPECIAL.has(key) || LATER.has(key) || Object.hasOwn(NEEDLESS, key);

/**
 * Reads a new endpoint. Only `port` is required; null means the default.
 * @throws FluxError `invalid` with all problems, or `not-supported-yet` when every problem is a key that is not built yet
 */
export function parseEndpoint(input: unknown): ParsedEndpoint {
  const problems = new Problems();
  const warnings: string[] = [];
  if (!isObject(input)) {
    problems.add('', 'must be an object');
    throw problems.toError('endpoint');
  }
  const { given, nulls } = splitNulls(input);
  if (given['port'] === undefined) problems.add('port', 'is required');
  const port = typeof given['port'] === 'number' ? given['port'] : 0;
  const endpoint = readInto(defaultEndpoint(port), given, nulls, { problems, warnings, isUpdate: false });
  problems.throwIfAny('endpoint');
  return { endpoint, warnings };
}

/**
 * Merges a change into an endpoint. A named key replaces its old value, also within option objects; null restores the default. `port` and `id`
 * in the patch are the address; `newPort` moves the endpoint. A masked password keeps its old value.
 * @throws FluxError as parseEndpoint
 */
export function mergeEndpoint(current: Endpoint, patch: Record<string, unknown>): ParsedEndpoint {
  const problems = new Problems();
  const warnings: string[] = [];
  const { id, port, newPort, ...rest } = patch;
  const { given, nulls } = splitNulls(rest);
  const isNothing = (value: unknown) => value === undefined || value === null;
  if (!isNothing(id) && id !== current.id) problems.add('id', `cannot be changed, it is ${current.id}`);
  if (!isNothing(port) && port !== current.port) problems.add('port', `is ${current.port}; newPort moves an endpoint`);
  const endpoint = readInto(current, given, nulls, { problems, warnings, isUpdate: true });
  if (!isNothing(newPort)) {
    const moved = check(KEYS['port'] as z.ZodType<number>, newPort, 'newPort', problems);
    if (moved !== undefined) endpoint.port = moved;
  }
  problems.throwIfAny('endpoint');
  return { endpoint, warnings };
}

interface Context {
  problems: Problems;
  warnings: string[];
  isUpdate: boolean;
}

/** `base` with the given keys read into it, and the null ones set to their default. Problems go to the context. */
function readInto(base: Endpoint, given: Record<string, unknown>, nulls: string[], context: Context): Endpoint {
  const { problems, warnings } = context;
  const defaults = defaultEndpoint(base.port);
  const values: Record<string, unknown> = { ...base };
  for (const key of nulls) {
    if (!isKnown(key)) problems.addUnknownKey(key);
    else if (key in defaults && key !== 'id' && key !== 'port') values[key] = defaults[key as keyof Endpoint];
  }
  for (const [key, value] of Object.entries(given)) {
    const needless = Object.hasOwn(NEEDLESS, key) ? NEEDLESS[key] : undefined;
    if (Object.hasOwn(KEYS, key)) values[key] = check(KEYS[key] as z.ZodType, value, key, problems);
    else if (needless !== undefined) {
      check(needless.schema, value, key, problems);
      warnings.push(needless.warning);
    } else if (LATER.has(key)) checkLater(key, value, problems);
    else if (!SPECIAL.has(key)) problems.addUnknownKey(key);
  }
  for (const key of ['serverOptions', 'childOptions'] as const) {
    if (given[key] !== undefined) values[key] = readOptions(key, base, given[key], problems, warnings);
  }
  if (given['sslConfig'] !== undefined) {
    const old = context.isUpdate ? base.sslConfig : defaultSslConfig();
    values['sslConfig'] = readSslConfig(given['sslConfig'], old, problems, warnings);
  }
  readAccess(values, base, given, nulls, context);
  followConnections(values, base, given, nulls, context);
  return values as unknown as Endpoint;
}

/** Raises maxSessionSize with the connections of an endpoint that still has the default for its connections. */
function followConnections(
  values: Record<string, unknown>,
  base: Endpoint,
  given: Record<string, unknown>,
  nulls: string[],
  { isUpdate }: Context,
): void {
  if (given['maxSessionSize'] !== undefined || typeof values['maxConnectionSize'] !== 'number') return;
  const wanted = defaultSessionSize(values['maxConnectionSize']);
  const isFollowing = base.maxSessionSize === defaultSessionSize(base.maxConnectionSize) && wanted > base.maxSessionSize;
  if (!isUpdate || nulls.includes('maxSessionSize') || isFollowing) values['maxSessionSize'] = wanted;
}

function readAccess(
  values: Record<string, unknown>,
  base: Endpoint,
  given: Record<string, unknown>,
  nulls: string[],
  context: Context,
): void {
  const { problems, isUpdate } = context;
  if (given['authType'] !== undefined || given['authConfig'] !== undefined) {
    const old = isUpdate && !nulls.includes('authConfig') ? base.authConfig : null;
    values['authConfig'] = readEndpointAuth(given['authType'], given['authConfig'], problems, old);
  } else if (nulls.includes('authType')) values['authConfig'] = null;
  if (given['aclType'] !== undefined || given['aclConfig'] !== undefined) {
    const old = isUpdate && !nulls.includes('aclConfig') ? base.aclConfig : null;
    values['aclConfig'] = readEndpointAcl(given['aclType'], given['aclConfig'], problems, old);
  } else if (nulls.includes('aclType')) values['aclConfig'] = null;
}

/** Merges the keys of an option object into the endpoint's. */
function readOptions(
  key: 'serverOptions' | 'childOptions',
  base: Endpoint,
  input: unknown,
  problems: Problems,
  warnings: string[],
): ServerOptions | ChildOptions {
  const values: Record<string, unknown> = { ...base[key] };
  if (!isObject(input)) {
    problems.add(key, 'must be an object');
    return base[key];
  }
  const { options, written } = renameOptions(key, input, problems, warnings);
  const schemas: Record<string, z.ZodType> = OPTIONS[key];
  const defaults: Record<string, unknown> = { ...defaultEndpoint(base.port)[key] };
  for (const [name, value] of Object.entries(options)) {
    const schema = Object.hasOwn(schemas, name) ? schemas[name] : undefined;
    if (schema === undefined) problems.addUnknownKey(join(key, name));
    else if (value === null || value === undefined) values[name] = defaults[name];
    else values[name] = check(schema, value, join(key, written.get(name) ?? name), problems);
  }
  return values as unknown as ServerOptions | ChildOptions;
}

/** A key that is not built yet accepts "off" alone. */
function checkLater(key: string, value: unknown, problems: Problems): void {
  if (key === 'enableBridge' || key === 'proxy') {
    if (value === true) problems.addNotSupportedYet(key);
    else check(boolean, value, key, problems);
    return;
  }
  if (!isObject(value)) {
    problems.add(key, 'must be an object');
    return;
  }
  const { given } = splitNulls(value);
  for (const name of Object.keys(given)) problems.addNotSupportedYet(join(key, name));
}
