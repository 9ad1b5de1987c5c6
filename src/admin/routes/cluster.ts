/** Routes about the cluster: its state as this node sees it, and its nodes. */

import { z } from '@hono/zod-openapi';
import { clusterSchema, nodeSchema } from '../../answers/node.ts';
import type { ControlPlane } from '../../control/contract/control-plane.ts';
import { type Route, readRoute } from '../http/route.ts';

const TAG = 'Cluster';

export const clusterRoutes = ({ cluster }: Pick<ControlPlane, 'cluster'>): Route[] => [
  readRoute(
    {
      method: 'get',
      path: '/api/cluster/status',
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
      tag: TAG,
      summary: 'Every node that this one knows; a node that is down stays listed for an hour',
      query: z.object({}),
      answer: { data: z.array(nodeSchema) },
    },
    () => ({ data: cluster.nodes() }),
  ),
];
