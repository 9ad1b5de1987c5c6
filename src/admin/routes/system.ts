/** Routes about the node itself: liveness, health, resources, its metrics. */

import { z } from '@hono/zod-openapi';
import { type HealthAnswer, healthSchema, publicHealthSchema, resourcesSchema } from '../../answers/node.ts';
import type { ControlPlane } from '../../control/contract/control-plane.ts';
import { streamedText } from '../http/json-stream.ts';
import { type Reply, type Route, readRoute } from '../http/route.ts';
import { PROMETHEUS_TYPE } from './endpoints.ts';

const TAG = 'System';

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

export const systemRoutes = ({ reads }: Pick<ControlPlane, 'reads'>): Route[] => [
  readRoute(
    {
      method: 'get',
      path: '/health',
      anyHost: true,
      tag: TAG,
      summary:
        'For probes, without a login: 200 while clients are served (ok, degraded), 503 when no enabled endpoint listens, and during a long start (starting, with Retry-After)',
      statuses: [503],
      query: z.object({}),
      answer: { data: publicHealthSchema },
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
      anyHost: true,
      tag: TAG,
      summary: 'Prometheus text of the node; needs no login',
      query: z.object({}),
      answer: { raw: { [PROMETHEUS_TYPE]: z.string() } },
    },
    async () => streamedText(await reads.prometheus(), { 'content-type': PROMETHEUS_TYPE }),
  ),
];
