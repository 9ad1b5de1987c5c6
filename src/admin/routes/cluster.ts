/** Routes about the cluster: its state as this node sees it, and its nodes. */

import { z } from '@hono/zod-openapi';
import type { Control } from '../../control/contract/control.ts';
import { type Route, readRoute } from '../http/route.ts';

const TAG = 'Cluster';

const clusterSchema = z
  .object({
    name: z.string(),
    node: z.string(),
    enabled: z.boolean().openapi({ description: 'False for a single node' }),
    nats: z.object({ connected: z.boolean(), server: z.string().nullable(), reason: z.string().nullable() }),
    store: z.object({ ok: z.boolean(), reason: z.string().nullable() }),
    revision: z.number().int(),
    lag: z.number().int().openapi({ description: 'Revisions that another node has and this one lacks' }),
    nodes: z.object({ total: z.number().int(), up: z.number().int() }),
    inStep: z.boolean().openapi({ description: 'Every node that is up runs the newest revision' }),
    sync: z.record(z.string(), z.number()).openapi({ description: 'Announcements and receipts since the start' }),
  })
  .openapi('Cluster');

const nodeSchema = z
  .object({
    name: z.string(),
    incarnation: z.string().openapi({ description: 'New at each start of the node' }),
    address: z.string(),
    adminPort: z.number().int(),
    version: z.string(),
    upSince: z.string(),
    lastSeen: z.string(),
    state: z.enum(['up', 'down']),
    status: z.enum(['ok', 'degraded', 'failed']),
    self: z.boolean(),
    twin: z.boolean().openapi({ description: 'Another node that is up has the same name' }),
    revision: z.number().int(),
    lag: z.number().int(),
    store: z.object({ ok: z.boolean() }),
    failed: z.array(z.string()).openapi({ description: 'Ids of endpoints that do not run as the store says' }),
  })
  .openapi('Node');

export const clusterRoutes = ({ cluster }: Pick<Control, 'cluster'>): Route[] => [
  readRoute(
    {
      method: 'get',
      path: '/api/cluster/status',
      access: 'viewer',
      tag: TAG,
      summary: 'The cluster as this node sees it',
      query: z.object({}),
      answer: { data: clusterSchema },
    },
    () => ({ data: cluster.overview() }),
  ),
  readRoute(
    {
      method: 'get',
      path: '/api/cluster/nodes',
      access: 'viewer',
      tag: TAG,
      summary: 'Every node that this one knows; a node that is down stays listed for an hour',
      query: z.object({}),
      answer: { data: z.array(nodeSchema) },
    },
    () => ({ data: cluster.nodes() }),
  ),
];
