/** Routes about the node itself: liveness, health, resources, its metrics. */

import { z } from '@hono/zod-openapi';
import type { HealthAnswer, ResourcesAnswer } from '../../control/contract/answers.ts';
import type { Control } from '../../control/contract/control.ts';
import { streamedText } from '../http/json-stream.ts';
import { type Reply, type Route, readRoute } from '../http/route.ts';
import { PROMETHEUS_TYPE } from './endpoints.ts';

const TAG = 'System';
const statusSchema = z.enum(['ok', 'degraded', 'failed']);
const healthSchema = z.object({
  status: statusSchema,
  node: z.string(),
  version: z.string(),
  uptimeSeconds: z.number(),
  store: z.object({ type: z.string(), ok: z.boolean(), reason: z.string().nullable(), refused: z.array(z.string()) }),
  messages: z.object({ ok: z.boolean(), reason: z.string().nullable(), refused: z.number().int(), lost: z.number().int() }),
  nats: z
    .object({ connected: z.boolean(), server: z.string().nullable(), reason: z.string().nullable() })
    .nullable()
    .openapi({ description: 'Null for a single node' }),
  endpoints: z.object({
    total: z.number().int(),
    running: z.number().int(),
    failed: z.array(z.object({ id: z.string(), port: z.number().int(), reason: z.string() })),
  }),
  workerRestarts: z.number().int(),
  blockedWorkers: z.array(z.string()),
  startup: z.object({ durationMs: z.number(), seeded: z.number().int(), endpoints: z.number().int() }).optional(),
  runtime: z
    .object({ version: z.string(), lacking: z.array(z.object({ piece: z.string(), instead: z.string() })) })
    .openapi({ description: 'The Node that runs the broker, and each undocumented piece that it lacks with what is used instead' })
    .optional(),
});
const resourcesSchema = z.object({
  cpu: z.object({ userSeconds: z.number(), systemSeconds: z.number(), percent: z.number() }),
  memory: z.object({
    rssBytes: z.number(),
    heapUsedBytes: z.number(),
    externalBytes: z.number(),
    budgetBytes: z.number().openapi({ description: 'Memory that clients may use (node.memoryBudget)' }),
    heldBytes: z.number().openapi({ description: 'Memory that clients use' }),
    machineBytes: z.number(),
    isTight: z.boolean().openapi({ description: 'True: new clients and large packets are refused' }),
  }),
  threads: z.array(
    z.object({
      name: z.string(),
      role: z.string(),
      endpoints: z.array(z.string()),
      cpuPercent: z.number(),
      heapUsedBytes: z.number(),
      eventLoopLagMsP99: z.number(),
      eventLoopLagMsMax: z.number(),
      eventLoopBlocks: z.number().int(),
    }),
  ),
  node: z.string(),
  pid: z.number().int(),
}) satisfies z.ZodType<ResourcesAnswer>;

/** Only a failed node answers 503: all nodes lose NATS or the store at once, and load balancers must keep those that still serve clients. */
function healthReply(health: HealthAnswer, data: unknown): Reply {
  if (health.status !== 'failed') return { data };
  const issues = health.endpoints.failed.map(({ port, reason }) => ({ path: String(port), message: reason }));
  return { status: 503, message: 'The node is not healthy', data, error: { kind: 'unavailable', issues } };
}

/** Why the node is not `ok`, in a form for everybody: no addresses, no names. */
function publicReasons({ store, messages, nats, endpoints, status }: HealthAnswer): string[] {
  const reasons = [];
  if (!store.ok) reasons.push(`the store is away: ${store.refused.join(' and ')} are refused`);
  if (messages.reason !== null) reasons.push(messages.reason);
  if (nats?.connected === false) reasons.push('there is no connection to NATS: changes of other nodes come late');
  if (endpoints.failed.length > 0) reasons.push(`${endpoints.failed.length} of ${endpoints.total} endpoints are not as configured`);
  if (status !== 'ok' && reasons.length === 0) reasons.push('a part of the node is being replaced');
  return reasons;
}

export const systemRoutes = ({ reads }: Pick<Control, 'reads'>): Route[] => [
  readRoute(
    {
      method: 'get',
      path: '/health',
      access: 'public',
      anyHost: true,
      tag: TAG,
      summary:
        'For probes, without a login: 200 while clients are served (ok, degraded), 503 when no enabled endpoint listens, and during a long start (starting, with Retry-After)',
      statuses: [503],
      query: z.object({}),
      answer: { data: z.object({ status: z.enum([...statusSchema.options, 'starting']), reasons: z.array(z.string()) }) },
    },
    () => {
      const health = reads.health();
      return {
        ...healthReply(health, { status: health.status, reasons: publicReasons(health) }),
        ...(health.status === 'failed' ? { error: { kind: 'unavailable', issues: [] } } : {}),
      };
    },
  ),
  readRoute(
    {
      method: 'get',
      path: '/api/system/health',
      access: 'viewer',
      tag: TAG,
      summary: 'Health of the node: store, NATS, endpoints, workers',
      statuses: [503],
      query: z.object({}),
      answer: { data: healthSchema },
    },
    () => {
      const health = reads.health();
      return healthReply(health, health);
    },
  ),
  readRoute(
    {
      method: 'get',
      path: '/api/system/resources',
      access: 'viewer',
      tag: TAG,
      summary: 'CPU, memory and threads of the node',
      query: z.object({}),
      answer: { data: resourcesSchema },
    },
    async () => ({ data: await reads.resources() }),
  ),
  readRoute(
    {
      method: 'get',
      path: '/public/metrics',
      access: 'public',
      anyHost: true,
      tag: TAG,
      summary: 'Prometheus text of the node; needs no login',
      query: z.object({}),
      answer: { raw: { [PROMETHEUS_TYPE]: z.string() } },
    },
    async () => streamedText(await reads.prometheus(), { 'content-type': PROMETHEUS_TYPE }),
  ),
];
