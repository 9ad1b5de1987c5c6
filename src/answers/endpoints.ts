/** Answers about endpoints: configuration, status, metrics, probes, history, files. */

import { z } from 'zod';
import { endpointSchema } from '../endpoint/keys/form-schemas.ts';

export type { PublicEndpoint } from '../endpoint/keys/form-schemas.ts';

const moment = z.string().meta({ description: 'ISO 8601', example: '2026-01-31T12:00:00.000Z' });

export const listSchema = z.object({
  endpoints: z.record(z.string(), endpointSchema).meta({ description: 'By port' }),
  activePorts: z.array(z.int()).meta({ description: 'Ports that listen now on this node' }),
  total: z.int(),
});

export const getSchema = z.object({ endpoint: endpointSchema, revision: z.int() });

export const statusSchema = z
  .object({
    id: z.string(),
    port: z.int(),
    node: z.string(),
    state: z.enum(['starting', 'running', 'draining', 'stopped', 'failed']),
    workers: z.int(),
    connections: z.int(),
    sessions: z.int(),
    listeningSince: moment.nullable().meta({ description: 'ISO 8601; null: it does not listen' }),
    runningRevision: z.int().nullable(),
    desiredRevision: z.int(),
    lastError: z.string().nullable(),
    restarts: z.int(),
    blockedWorkers: z.int().meta({ description: 'Threads whose event loop has been blocked for over 5 s' }),
    draining: z.object({ total: z.int(), left: z.int(), until: z.string() }).nullable().meta({
      description: 'Clients under disconnection; null: none. A removed endpoint stays listed until its last client has gone',
    }),
    certificate: z
      .object({
        subject: z.string(),
        issuer: z.string(),
        fingerprint: z.string().meta({ description: 'SHA-256' }),
        notBefore: z.string(),
        notAfter: z.string().meta({ description: 'Expiry of the certificate, or of one in its chain that expires sooner' }),
        crlNextUpdate: z.string().nullable().meta({ description: 'When the first revocation list expires' }),
        refused: z.string().nullable().meta({ description: 'Why the present content of its files is not in use' }),
      })
      .nullable()
      .meta({ description: 'null: no TLS' }),
    websocket: z
      .object({
        transport: z.enum(['uws', 'builtin']),
        reason: z.string().nullable().meta({ description: 'Why the built-in transport serves; null: uWebSockets.js does' }),
      })
      .nullable()
      .meta({ description: 'What carries its WebSocket connections; null: it has none, or does not run' }),
  })
  .meta({ id: 'EndpointStatus', description: 'State of one endpoint on one node (docs/endpoints.md)' });

function counts<K extends string>(...keys: K[]) {
  return z.object(Object.fromEntries(keys.map((key) => [key, z.number()])) as Record<K, z.ZodNumber>);
}

export const metricsSchema = z
  .object({
    port: z.int(),
    endpoint: z.string(),
    timestamp: moment,
    metrics: z.object({
      connections: counts('current', 'max', 'rate', 'total'),
      messages: counts('received', 'sent', 'dropped', 'receivedRate', 'sentRate').extend({
        droppedByReason: z.record(z.string(), z.number()),
      }),
      bytes: counts('received', 'sent'),
      sessions: counts('current', 'max', 'persistent'),
      retained: counts('messages', 'bytes', 'refused'),
      subscriptions: counts('current'),
      performance: counts('cpuUsage', 'memoryUsage').extend({
        responseTime: z.record(z.string(), counts('count', 'sumSeconds', 'p50', 'p99')),
      }),
      errors: counts('rate', 'authFailed', 'aclDenied', 'protocolError', 'connectionErrors'),
    }),
  })
  .meta({ id: 'EndpointMetrics', description: 'Numbers of one endpoint, summed over its workers (docs/metrics-and-logs.md)' });

export const portCheckSchema = z.object({
  port: z.int(),
  available: z.boolean(),
  nodes: z.array(z.object({ node: z.string(), available: z.boolean(), reason: z.string().nullable() })),
});

export const probeSchema = z
  .object({
    port: z.int(),
    id: z.string(),
    healthy: z.boolean(),
    nodes: z.array(z.object({ node: z.string(), healthy: z.boolean(), reason: z.string().nullable(), latencyMs: z.number().nullable() })),
  })
  .meta({ id: 'Probe' });

export const historyRowSchema = z
  .object({
    revision: z.int(),
    action: z.string(),
    port: z.int(),
    id: z.string(),
    actor: z.string(),
    source: z.string(),
    node: z.string(),
    at: moment,
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
          secret: z.literal(true).optional().meta({ description: 'A secret changed; both values are masked' }),
        }),
      )
      .meta({ description: 'Every changed value; empty for an added or removed endpoint' }),
  })
  .meta({ id: 'HistoryRow' });

const file = {
  version: z.int().meta({ description: 'Version of the file format' }),
  revision: z.int(),
  secrets: z.enum(['none', 'sealed', 'masked', 'clear']),
  keyId: z.string().optional().meta({ description: 'Identifies the key that seals the secrets' }),
  note: z.string().optional(),
  configs: z.array(endpointSchema),
};

export const exportSchema = z.object({ ...file, exportedAt: moment }).meta({ id: 'Export' });

export const backupSchema = z
  .object({
    kind: z.literal('fluxmq-backup'),
    ...file,
    takenAt: moment,
    node: z.string(),
    historyFloor: z.int().optional().meta({
      description: 'Up to this revision only the newest row of each endpoint is left; 0: every row is there; absent with ?history=false',
    }),
    history: z
      .array(historyRowSchema.omit({ diff: true }))
      .optional()
      .meta({ description: 'Oldest first; absent with ?history=false' }),
  })
  .meta({ id: 'Backup' });

export type ListAnswer = z.infer<typeof listSchema>;
export type GetAnswer = z.infer<typeof getSchema>;
export type EndpointStatus = z.infer<typeof statusSchema>;
export type EndpointMetrics = z.infer<typeof metricsSchema>;
export type PortCheck = z.infer<typeof portCheckSchema>;
export type ProbeResult = z.infer<typeof probeSchema>;
export type PublicHistoryRow = z.infer<typeof historyRowSchema>;
