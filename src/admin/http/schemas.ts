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
import { endpointSchema } from './endpoint-schemas.ts';

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
