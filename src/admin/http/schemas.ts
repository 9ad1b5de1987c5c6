/** Schemas of the API's answers, and of parameters that many routes share, for the OpenAPI description. */

import { z } from '@hono/zod-openapi';
import type {
  ConfirmView,
  EndpointMetrics,
  EndpointOutcome,
  EndpointStatus,
  NodeOutcome,
  ProbeResult,
} from '../../control/contract/answers.ts';

/** A whole number in a query, with its range checked and documented. */
export function queryInteger(minimum: number, maximum: number, what: string, example: number) {
  return z
    .string()
    .regex(/^\d{1,15}$/, `expected a whole number, ${minimum}..${maximum}`)
    .transform(Number)
    .pipe(z.number().min(minimum, `expected ${minimum}..${maximum}`).max(maximum, `expected ${minimum}..${maximum}`))
    .openapi({ type: 'integer', minimum, maximum, description: what, example });
}

const MOMENT = /^\d{4}-\d{2}-\d{2}(T\d{2}:\d{2}(:\d{2}(\.\d{1,9})?)?(Z|[+-]\d{2}:\d{2}))?$/;
const MOMENT_EXPECTED = 'expected ISO 8601 with a time zone, such as 2026-01-31T12:00:00Z, a date, or milliseconds since 1970';

/** Without this check, Date.parse would read the 30th of February as a day in March. */
function isDay(date: string): boolean {
  const at = new Date(date);
  return !Number.isNaN(at.getTime()) && at.toISOString().startsWith(date);
}

/** A moment in a query, as milliseconds since the epoch. */
export function queryMoment(what: string) {
  return z
    .string()
    .transform((text, context) => {
      // An unescaped + of a time zone arrives as a space.
      const iso = text.replace(' ', '+');
      const at = /^\d{1,15}$/.test(text) ? Number(text) : MOMENT.test(iso) && isDay(iso.slice(0, 10)) ? Date.parse(iso) : Number.NaN;
      if (!Number.isNaN(at)) return at;
      context.addIssue({ code: 'custom', message: MOMENT_EXPECTED });
      return z.NEVER;
    })
    .openapi({ type: 'string', description: `${what}; ISO 8601, or milliseconds since 1970`, example: '2026-01-31T12:00:00Z' });
}

export const portQuery = queryInteger(1, 65535, 'Port of the endpoint', 1883);
export const idQuery = z
  .string()
  .regex(/^[A-Za-z0-9_.-]{1,64}$/, 'expected 1 to 64 of A-Z a-z 0-9 _ . -')
  .openapi({ description: 'Stable name of the endpoint', example: 'mqtt-1883' });

export const issueSchema = z
  .object({
    path: z.string().openapi({ description: "Dotted path of the value; '' is the whole input", example: 'serverOptions.soBacklog' }),
    message: z.string().openapi({ example: 'expected 1..65535' }),
  })
  .openapi('Issue');

export const failureSchema = z
  .object({
    code: z.number().int().openapi({ description: 'The HTTP status again', example: 409 }),
    message: z.string().openapi({ example: 'Port 1883 is already in use' }),
    data: z.unknown().openapi({ description: '412: the current endpoint; unhealthy endpoints: the results' }),
    error: z.object({
      kind: z.string().openapi({ description: 'Machine-readable reason', example: 'port-in-use' }),
      issues: z.array(issueSchema).openapi({ description: 'Every problem found, not only the first' }),
    }),
  })
  .openapi('Failure');

const integer = (minimum: number, maximum: number, description: string) =>
  z.number().int().min(minimum).max(maximum).openapi({ description });

/** Every key of an endpoint; only `port` is required for an add. The control plane does the real check. */
export const endpointSchema = z
  .object({
    id: z.string().openapi({ description: 'Stable, unique name; fixed. Default mqtt-<port>' }),
    port: integer(1, 65535, 'Listening port, unique. Change: rebind'),
    host: z.string().openapi({ description: 'IP address to bind. Default 0.0.0.0. Change: rebind' }),
    useWebsocket: z.boolean().openapi({ description: 'MQTT over WebSocket. Change: rebind' }),
    path: z.string().openapi({ description: 'WebSocket path. Default /mqtt. Change: admission' }),
    enableAuth: z.boolean().openapi({ description: 'Authenticate CONNECT. Default true. Change: admission' }),
    authType: z
      .enum(['fixed'])
      .nullable()
      .openapi({ description: 'Kind of authConfig; null: the authenticators of the node. Change: admission' }),
    authConfig: z.unknown().openapi({ description: 'Authenticators of this endpoint; null: those of the node. Secrets are never shown' }),
    enableAcl: z.boolean().openapi({ description: 'Authorise PUBLISH, SUBSCRIBE and the will. Default true. Change: live' }),
    aclType: z.enum(['config']).nullable().openapi({ description: 'Kind of aclConfig; null: the rules of the node. Change: live' }),
    aclConfig: z.unknown().openapi({ description: 'Rules of this endpoint; null: those of the node' }),
    enableBridge: z.literal(false).openapi({ description: 'Not supported yet' }),
    bridgeConfig: z.object({}).openapi({ description: 'Not supported yet' }),
    proxy: z.literal(false).openapi({ description: 'Not supported yet' }),
    sslConfig: z
      .object({
        enabled: z.boolean().openapi({ description: 'true as soon as a certificate is set. Change: rebind' }),
        cert: z.string().openapi({ description: 'Path or PEM text' }),
        key: z.string().openapi({ description: 'Path or PEM text; PEM text is masked in answers' }),
        ca: z.string().openapi({ description: 'Path or PEM text: authorities of client certificates' }),
        passphrase: z.string().openapi({ description: 'Passphrase of the key; masked in answers' }),
        keyStorePath: z.string().openapi({ description: 'PKCS#12' }),
        keyStorePassword: z.string(),
        trustStorePath: z.string().openapi({ description: 'PKCS#12' }),
        trustStorePassword: z.string(),
        protocols: z.array(z.enum(['TLSv1.2', 'TLSv1.3'])),
        cipherSuites: z.array(z.string()).openapi({ description: 'OpenSSL or IANA names; empty: the defaults' }),
        clientAuth: z.enum(['none', 'optional', 'required']),
        crl: z.string().openapi({ description: 'Path or PEM text: revocation lists' }),
      })
      .partial()
      .openapi({ description: 'TLS. Change: handshake; rebind when TLS is switched on or off' }),
    messageMaxSize: integer(1024, 268435455, 'Largest packet from a client, bytes. Default 4194304. Change: admission'),
    maxConnectionSize: integer(1, 10000000, 'Clients at once, per node. Default 1000. Change: live'),
    maxConnectionPerSecond: integer(1, 1000000, 'New connections a second, per node. Default 100. Change: live'),
    maxConnectionPerAddress: integer(
      1,
      10000000,
      'Clients at once from one address; null: a tenth of maxConnectionSize. Change: live',
    ).nullable(),
    maxConnectionPerAddressPerSecond: integer(
      1,
      1000000,
      'New connections a second from one address; null: a tenth of maxConnectionPerSecond. Change: live',
    ).nullable(),
    maxSessionSize: integer(1, 10000000, 'Persistent sessions, per node. Default: maxConnectionSize, at least 100. Change: live'),
    maxSendWindowSize: integer(1, 65535, 'QoS 1/2 packets in flight to one client. Default 100. Change: admission'),
    maxReceiveWindowSize: integer(1, 65535, 'Receive Maximum sent to clients. Default 100. Change: admission'),
    maxQueuedMessages: integer(1, 1000000, 'Messages waiting for one session. Default 1000. Change: live'),
    maxRetainedMessages: integer(1, 10000000, 'Retained messages of its clients, per node. Default 1000000. Change: live'),
    maxRetainedBytes: integer(1024, 1099511627776, 'Bytes of its retained messages, per node. Default 268435456. Change: live'),
    maxQueuedBytes: integer(1024, 1099511627776, 'Bytes waiting for one session, and in flight to it. Default 16777216. Change: live'),
    maxSubscriptions: integer(1, 1000000, 'Subscriptions of one client. Default 100000. Change: live'),
    maxTopicAlias: integer(
      0,
      65535,
      'Topic Alias Maximum sent to MQTT 5 clients, and most KiB of all aliased topics of a client. Default 256. Change: admission',
    ),
    maxKeepAlive: integer(1, 65535, 'Longest Keep Alive, seconds, sent to MQTT 5 clients. Default 65535: no limit. Change: admission'),
    idleTimeout: integer(100, 3600000, 'Milliseconds from the connection to its CONNECT. Default 10000. Change: admission'),
    handshakeTimeout: integer(
      100,
      3600000,
      'Milliseconds from the connection to the end of its TLS handshake and HTTP upgrade. Default 10000. Change: admission',
    ),
    sessionPersistence: z.boolean().openapi({ description: 'Sessions survive a restart of the node. Change: admission' }),
    namespace: z
      .string()
      .openapi({ description: 'Topics, clients and sessions are separate per namespace. Default default. Change: rebind' }),
    serverOptions: z
      .object({
        soBacklog: integer(1, 65535, 'Listen backlog. Default 511'),
        workerGroupSize: z
          .union([z.number().int().min(1).max(64), z.literal('auto')])
          .openapi({ description: 'Worker threads. Default 1' }),
      })
      .openapi({ description: 'Change: rebind' }),
    childOptions: z
      .object({
        tcpNodelay: z.boolean().openapi({ description: 'Default true' }),
        soKeepalive: z.boolean().openapi({ description: 'Default true' }),
        soLinger: z.number().int().openapi({ description: 'Seconds; -1: system default, 0: reset on close' }),
      })
      .openapi({ description: 'Socket options of a connection. Change: admission' }),
    exclusivePool: z.boolean().openapi({ description: 'The endpoint has its own worker threads. Default true. Change: rebind' }),
    wiretap: z.boolean().openapi({ description: 'Log every packet. Change: live' }),
    enabled: z.boolean().openapi({ description: 'false: the endpoint is kept and does not listen. Default true. Change: rebind' }),
    isDefault: z.boolean().openapi({ description: 'At most one endpoint; removing or disabling it needs force. Change: live' }),
  })
  .openapi('Endpoint');

/** The same keys, all optional. */
export const endpointPatchSchema = endpointSchema.partial().openapi('EndpointPatch');

export const effectSchema = z
  .enum(['none', 'live', 'admission', 'handshake', 'rebind', 'fixed'])
  .openapi('Effect', { description: 'How a change takes effect, from the mildest to the hardest' });

export const nodeOutcomeSchema = z
  .object({ node: z.string(), state: z.enum(['applied', 'pending', 'failed']), reason: z.string().nullable() })
  .openapi('NodeOutcome') satisfies z.ZodType<NodeOutcome>;

export const confirmSchema = z
  .object({ revision: z.number().int(), until: z.string().openapi({ description: 'ISO 8601' }) })
  .openapi('Confirm', { description: 'The change is undone at this moment unless it is confirmed' }) satisfies z.ZodType<ConfirmView>;

export const outcomeSchema = z
  .object({ id: z.string(), port: z.number().int(), action: z.enum(['added', 'updated', 'removed']), effect: effectSchema })
  .openapi('EndpointOutcome') satisfies z.ZodType<EndpointOutcome>;

/** Answer to a change of any number of endpoints. */
export const setSchema = z
  .object({
    revision: z.number().int().nullable().openapi({ description: 'Number of this change; null for a dry run', example: 7 }),
    changes: z.array(outcomeSchema),
    nodes: z.array(nodeOutcomeSchema),
    warnings: z.array(z.string()),
    confirm: confirmSchema.optional(),
  })
  .openapi('SetChange');

export const keyChangeSchema = z
  .object({ path: z.string(), from: z.unknown(), to: z.unknown(), effect: effectSchema })
  .openapi('KeyChange');

export const changeSchema = z
  .object({
    endpoint: endpointSchema,
    revision: z.number().int().openapi({ description: 'Number of this change', example: 7 }),
    effect: effectSchema.optional().openapi({ description: 'The hardest effect among the changed keys' }),
    changes: z.array(keyChangeSchema).optional(),
    nodes: z.array(nodeOutcomeSchema),
    warnings: z.array(z.string()),
    confirm: confirmSchema.optional(),
  })
  .openapi('Change');

export const statusSchema = z
  .object({
    id: z.string(),
    port: z.number().int(),
    node: z.string(),
    state: z.enum(['starting', 'running', 'draining', 'stopped', 'failed']),
    workers: z.number().int(),
    connections: z.number().int(),
    sessions: z.number().int(),
    listeningSince: z.string().nullable(),
    runningRevision: z.number().int().nullable(),
    desiredRevision: z.number().int(),
    lastError: z.string().nullable(),
    restarts: z.number().int(),
    blockedWorkers: z.number().int(),
    draining: z.object({ total: z.number().int(), left: z.number().int(), until: z.string() }).nullable(),
    certificate: z
      .object({
        subject: z.string(),
        issuer: z.string(),
        fingerprint: z.string().openapi({ description: 'SHA-256' }),
        notBefore: z.string(),
        notAfter: z.string().openapi({ description: 'Expiry of the certificate, or of one in its chain that expires sooner' }),
        crlNextUpdate: z.string().nullable().openapi({ description: 'When the first revocation list expires' }),
        refused: z.string().nullable().openapi({ description: 'Why the present content of its files is not in use' }),
      })
      .nullable()
      .openapi({ description: 'null: no TLS' }),
  })
  .openapi('EndpointStatus') satisfies z.ZodType<EndpointStatus>;

function counts<K extends string>(...keys: K[]) {
  return z.object(Object.fromEntries(keys.map((key) => [key, z.number()])) as Record<K, z.ZodNumber>);
}

export const metricsSchema = z
  .object({
    port: z.number().int(),
    endpoint: z.string(),
    timestamp: z.string(),
    metrics: z.object({
      connections: counts('current', 'max', 'rate', 'total'),
      messages: counts('received', 'sent', 'dropped', 'receivedRate', 'sentRate').extend({
        droppedByReason: z.record(z.string(), z.number()),
      }),
      bytes: counts('received', 'sent'),
      sessions: counts('current', 'max', 'persistent'),
      subscriptions: counts('current'),
      performance: counts('cpuUsage', 'memoryUsage').extend({
        responseTime: z.record(z.string(), counts('count', 'sumSeconds', 'p50', 'p99')),
      }),
      errors: counts('rate', 'authFailed', 'aclDenied', 'protocolError', 'connectionErrors'),
    }),
  })
  .openapi('EndpointMetrics') satisfies z.ZodType<EndpointMetrics>;

export const probeSchema = z
  .object({
    port: z.number().int(),
    id: z.string(),
    healthy: z.boolean(),
    nodes: z.array(z.object({ node: z.string(), healthy: z.boolean(), reason: z.string().nullable(), latencyMs: z.number().nullable() })),
  })
  .openapi('Probe') satisfies z.ZodType<ProbeResult>;

export const historyRowSchema = z
  .object({
    revision: z.number().int(),
    action: z.string(),
    port: z.number().int(),
    id: z.string(),
    actor: z.string(),
    source: z.string(),
    node: z.string(),
    at: z.string().openapi({ description: 'ISO 8601', example: '2026-01-31T12:00:00.000Z' }),
    requestId: z.string(),
    reason: z.string().nullable(),
    before: endpointSchema.nullable(),
    after: endpointSchema.nullable(),
    diff: z
      .array(
        z.object({
          path: z.string(),
          from: z.unknown(),
          to: z.unknown(),
          secret: z.literal(true).optional().openapi({ description: 'A secret changed; both values are masked' }),
        }),
      )
      .openapi({ description: 'Every changed value; empty for an added or removed endpoint' }),
  })
  .openapi('HistoryRow');
