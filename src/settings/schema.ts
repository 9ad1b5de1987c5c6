/** The strict schema of the node's own sections: node, http, store, log. Endpoints, auth and acl have theirs in src/endpoint. */

import { isIP } from 'node:net';
import { hostname } from 'node:os';
import { z } from 'zod';
import { FLAPPING_DEFAULTS } from '../endpoint/bans/flapping.ts';
import { WEBSOCKET_TRANSPORTS } from '../endpoint/keys/address.ts';
import { check, type Problems } from '../endpoint/problems.ts';
import { oneOf } from '../endpoint/value-types.ts';
import { isLoopbackHost } from '../kernel/address.ts';
import { isNetwork } from '../kernel/input/networks.ts';
import { bytes, flag, group, nonEmptyText, wholeNumber, withoutNulls } from './forms.ts';
import { readCluster } from './sections/cluster.ts';
import { readStore } from './sections/store.ts';
import type { HttpSettings, LogSettings, Settings } from './settings.ts';

const host = nonEmptyText(255).refine((value) => isIP(value) !== 0 || value === 'localhost', {
  error: 'must be an IP address or localhost',
});

const nodeSchema = group({
  name: nonEmptyText(64)
    .regex(/^[A-Za-z0-9_.-]+$/, { error: 'may hold A-Z a-z 0-9 _ . - only' })
    .optional(),
  bindAddress: nonEmptyText(255)
    .refine((value) => isIP(value) !== 0, { error: 'must be an IP address' })
    .optional(),
  memoryBudget: bytes.optional(),
  websocketTransport: z.enum(WEBSOCKET_TRANSPORTS, { error: `must be one of ${WEBSOCKET_TRANSPORTS.join(', ')}` }).optional(),
});
/** A value long enough for an inline certificate. */
const PEM_CHARACTERS_MAX = 512 * 1024;
const pem = nonEmptyText(PEM_CHARACTERS_MAX);
const sslSchema = group({ crt: pem.optional(), cert: pem.optional(), key: pem.optional(), ca: pem.optional() });
const httpSchema = group({
  ssl: sslSchema.optional(),
  host: host.optional(),
  port: wholeNumber(0, 65535).optional(),
  username: nonEmptyText().optional(),
  password: nonEmptyText().optional(),
  accessLog: flag.optional(),
  trustedProxies: z
    .array(nonEmptyText(64).refine(isNetwork, { error: 'must be an IP address or a network such as 10.0.0.0/8' }), {
      error: 'must be a list',
    })
    .max(1000, { error: 'must be at most 1000 entries' })
    .optional(),
  basePath: nonEmptyText(255)
    .regex(/^(\/[A-Za-z0-9._~-]+)+\/?$/, { error: 'must be a path such as /fluxmq' })
    .optional(),
  viewers: z
    .array(group({ username: nonEmptyText(), password: nonEmptyText() }), { error: 'must be a list' })
    .max(1000, { error: 'must be at most 1000 entries' })
    .optional(),
});
const historySchema = group({ keep: wholeNumber(0, 100_000_000).optional(), keepDays: wholeNumber(0, 36_500).optional() });
const auditSchema = group({ keepDays: wholeNumber(0, 3_650).optional() });
const AUDIT_DAYS = 90;
const flappingSchema = group({
  connects: wholeNumber(2, 10_000).optional(),
  seconds: wholeNumber(1, 86_400).optional(),
  banSeconds: wholeNumber(1, 31_536_000).optional(),
});
const logSchema = group({
  level: oneOf(['debug', 'info', 'warn', 'error']).optional(),
  file: nonEmptyText(4096).optional(),
  maxSize: bytes.optional(),
  maxFiles: wholeNumber(1, 1000).optional(),
});

/** The sections with their defaults; paths are as written. */
export type NodeSections = Pick<
  Settings,
  'node' | 'http' | 'store' | 'cluster' | 'history' | 'audit' | 'flapping' | 'log' | 'shutdownTimeout'
>;

/** The keys of config.yaml (docs/configuration.md) by their reader: this file. */
const OWN_KEYS = new Set(['node', 'http', 'store', 'cluster', 'history', 'audit', 'flapping', 'log', 'shutdownTimeout']);
const OTHER_KEYS = new Set(['auth', 'acl', 'endpoints']);

/** Reads the sections of the node; every problem is added to `problems`, and the result is complete in any case. */
export function readSections(input: Record<string, unknown>, problems: Problems, warnings: string[]): NodeSections {
  for (const key of Object.keys(input)) {
    if (!OWN_KEYS.has(key) && !OTHER_KEYS.has(key)) problems.addUnknownKey(key);
  }
  return {
    node: readNode(input['node'] ?? {}, problems),
    http: readHttp(input['http'] ?? {}, problems),
    store: readStore(input['store'] ?? {}, problems, warnings),
    cluster: readCluster(input['cluster'], problems),
    history: readHistory(input['history'] ?? {}, problems),
    audit: readAudit(input['audit'] ?? {}, problems),
    flapping: readFlapping(input['flapping'] ?? null, problems),
    log: readLog(input['log'] ?? {}, problems),
    shutdownTimeout: check(wholeNumber(0, 600_000), input['shutdownTimeout'] ?? 10_000, 'shutdownTimeout', problems) ?? 10_000,
  };
}

function readNode(input: unknown, problems: Problems): Settings['node'] {
  const read = check(nodeSchema, withoutNulls(input), 'node', problems);
  const { name = defaultName(), bindAddress = null, memoryBudget = null, websocketTransport = 'auto' } = read ?? {};
  return { name, bindAddress, memoryBudget, websocketTransport };
}

/** The host name, with the characters that a node's name may not hold replaced. */
function defaultName(): string {
  return (
    hostname()
      .replace(/[^A-Za-z0-9_.-]/g, '-')
      .slice(0, 64) || 'fluxmq'
  );
}

/** `cert` is another name of `crt`. */
function readSsl(given: z.infer<typeof sslSchema> | undefined, problems: Problems): HttpSettings['ssl'] {
  if (given === undefined) return null;
  const { crt, cert, key, ca } = given;
  if (crt !== undefined && cert !== undefined) problems.add('http.ssl.cert', 'is another name of crt: give one of them');
  const certificate = crt ?? cert;
  if (certificate !== undefined) return { crt: certificate, key: key ?? null, ca: ca ?? null };
  if (key !== undefined || ca !== undefined) problems.add('http.ssl.crt', 'is needed: the certificate, a path or PEM text');
  return null;
}

function readHttp(input: unknown, problems: Problems): HttpSettings {
  const given = withoutNulls(input);
  const read = check(httpSchema, given, 'http', problems);
  const http = {
    host: read?.host ?? '127.0.0.1',
    port: read?.port ?? 18083,
    username: read?.username ?? 'admin',
    password: read?.password ?? null,
    accessLog: read?.accessLog ?? false,
    viewers: read?.viewers ?? [],
    trustedProxies: read?.trustedProxies ?? [],
    basePath: (read?.basePath ?? '').replace(/\/$/, ''),
    ssl: readSsl(read?.ssl, problems),
  };
  if (read === undefined) return http;
  if (http.password === null && !isLoopbackHost(http.host)) {
    problems.add('http.host', `${http.host} can be reached from other machines: set http.password, or use 127.0.0.1`);
  }
  if (http.password === null && http.viewers.length > 0)
    problems.add('http.viewers', 'need http.password: without one nobody has to log in');
  const names = [http.username, ...http.viewers.map((viewer) => viewer.username)];
  for (const [index, name] of names.entries()) {
    if (index > 0 && names.indexOf(name) !== index) problems.add(`http.viewers[${index - 1}].username`, `${name} is given twice`);
  }
  return http;
}

function readAudit(input: unknown, problems: Problems): Settings['audit'] {
  return { keepDays: check(auditSchema, withoutNulls(input), 'audit', problems)?.keepDays ?? AUDIT_DAYS };
}

function readFlapping(input: unknown, problems: Problems): Settings['flapping'] {
  if (input === null) return null;
  const { connects, seconds, banSeconds } = check(flappingSchema, withoutNulls(input), 'flapping', problems) ?? {};
  return {
    connects: connects ?? FLAPPING_DEFAULTS.connects,
    seconds: seconds ?? FLAPPING_DEFAULTS.seconds,
    banSeconds: banSeconds ?? FLAPPING_DEFAULTS.banSeconds,
  };
}

function readHistory(input: unknown, problems: Problems): Settings['history'] {
  const read = check(historySchema, withoutNulls(input), 'history', problems);
  return { keep: read?.keep ?? 10_000, keepDays: read?.keepDays ?? 365 };
}

function readLog(input: unknown, problems: Problems): LogSettings {
  const read = check(logSchema, withoutNulls(input), 'log', problems);
  return {
    level: read?.level ?? 'info',
    file: read?.file ?? 'logs/fluxmq.log',
    maxSize: read?.maxSize ?? 100 * 1024 ** 2,
    maxFiles: read?.maxFiles ?? 10,
  };
}
