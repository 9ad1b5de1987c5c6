/** Turns unknown input into a complete Endpoint and reports all problems at once (docs/endpoints.md). */

import type { z } from 'zod';
import { readEndpointAcl } from './access/acl-schema.ts';
import { readEndpointAuth } from './access/auth-schema.ts';
import { renameOptions } from './aliases.ts';
import { defaultEndpoint, defaultSessionSize, defaultSslConfig } from './defaults.ts';
import type { ChildOptions, Endpoint, ServerOptions } from './endpoint.ts';
import { isGroup, type Key, type KeyGroup, type KeyTable } from './keys/key.ts';
import { schemaOf } from './keys/schema-of.ts';
import { CHILD_OPTION_KEYS, SERVER_OPTION_KEYS } from './keys/sockets.ts';
import { ENDPOINT_KEYS, LATER_KEYS, WRITTEN_KEYS } from './keys/table.ts';
import { boolean, integer } from './keys/value.ts';
import { check, isObject, join, Problems, splitNulls } from './problems.ts';
import { readSslConfig } from './ssl-schema.ts';

export { parseAcl } from './access/acl-schema.ts';
export { parseAuthList } from './access/auth-schema.ts';
export { toPublicEndpoint } from './public-form.ts';

export interface ParsedEndpoint {
  endpoint: Endpoint;
  /** keys that are accepted without effect; the answer carries these warnings */
  warnings: string[];
}

/** Schemas of the keys that are checked by themselves. */
const SCHEMAS = new Map(
  Object.entries<Key<unknown> | KeyGroup>(ENDPOINT_KEYS).flatMap(([name, entry]): [string, z.ZodType][] =>
    isGroup(entry) || entry.value.kind === 'structure' ? [] : [[name, schemaOf(entry.value)]],
  ),
);
const PORT = schemaOf(ENDPOINT_KEYS.port.value);
const OPTIONS = { serverOptions: schemasOf(SERVER_OPTION_KEYS), childOptions: schemasOf(CHILD_OPTION_KEYS) };

/** Keys with a reader of their own. */
const SPECIAL = new Set([...Object.keys(ENDPOINT_KEYS), ...Object.keys(WRITTEN_KEYS)].filter((key) => !SCHEMAS.has(key)));
/** FluxMQ's keys for what fluxmq always does. */
const NEEDLESS: Record<string, { schema: z.ZodType; warning: string }> = {
  metrics: { schema: schemaOf(boolean), warning: 'metrics has no effect: metrics are always collected' },
  aclRefreshPeriod: {
    schema: schemaOf(integer(0, 86400)),
    warning: 'aclRefreshPeriod has no effect: configured rules apply at once when they change',
  },
};

const isKnown = (key: string) => SCHEMAS.has(key) || SPECIAL.has(key) || Object.hasOwn(LATER_KEYS, key) || Object.hasOwn(NEEDLESS, key);

function schemasOf(table: KeyTable): ReadonlyMap<string, z.ZodType> {
  return new Map(Object.entries(table).map(([name, { value }]) => [name, schemaOf(value)]));
}

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
    const moved = check(PORT, newPort, 'newPort', problems);
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
    const schema = SCHEMAS.get(key);
    if (schema !== undefined) values[key] = check(schema, value, key, problems);
    else if (needless !== undefined) {
      check(needless.schema, value, key, problems);
      warnings.push(needless.warning);
    } else if (Object.hasOwn(LATER_KEYS, key)) checkLater(key as keyof typeof LATER_KEYS, value, problems);
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
    values['aclConfig'] = readEndpointAcl(given['aclType'], given['aclConfig'], context, old);
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
  const defaults: Record<string, unknown> = { ...defaultEndpoint(base.port)[key] };
  for (const [name, value] of Object.entries(options)) {
    const schema = OPTIONS[key].get(name);
    if (schema === undefined) problems.addUnknownKey(join(key, name));
    else if (value === null || value === undefined) values[name] = defaults[name];
    else values[name] = check(schema, value, join(key, written.get(name) ?? name), problems);
  }
  return values as unknown as ServerOptions | ChildOptions;
}

/** A key that is not built yet accepts "off" alone. */
function checkLater(key: keyof typeof LATER_KEYS, value: unknown, problems: Problems): void {
  if (LATER_KEYS[key].kind === 'boolean') {
    if (value === true) problems.addNotSupportedYet(key);
    else check(schemaOf(boolean), value, key, problems);
    return;
  }
  if (!isObject(value)) {
    problems.add(key, 'must be an object');
    return;
  }
  const { given } = splitNulls(value);
  for (const name of Object.keys(given)) problems.addNotSupportedYet(join(key, name));
}
