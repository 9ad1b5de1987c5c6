/** Routes that undo changes or keep them: rollback to a revision, and the confirmation of a change. */

import { z } from '@hono/zod-openapi';
import { confirmedSchema, rollbackSchema } from '../../answers/changes.ts';
import type { ControlPlane } from '../../control/contract/control-plane.ts';
import { toPublicEndpoint } from '../../endpoint/schema.ts';
import { etagOf } from '../http/request.ts';
import { controlRoute, type Route, type RouteInfo } from '../http/route.ts';
import { changeOptions, targetKeys } from './changes.ts';

const TAG = 'History';
const dryRun = z.boolean().optional().openapi({ description: 'Only preview the change' });

const rollbackBody = {
  schema: z.object({ revision: z.number().int().min(0), ...targetKeys, dryRun, ...changeOptions }),
  example: { revision: 7, port: 1884 },
};
const confirmBody = { schema: z.object({ revision: z.number().int().min(1) }), example: { revision: 8 } };
function info(name: string, summary: string, statuses: number[]): RouteInfo {
  const path = `/api/endpoints/${name}`;
  return { method: 'post', path, aliases: [`/endpoints/${name}`], tag: TAG, summary, statuses };
}

/** The ETag of a change; a dry run has none. */
export function etagHeaders(revision: number | null): { headers?: Record<string, string> } {
  return revision === null ? {} : { headers: { etag: etagOf(revision) } };
}

export const restoringRoutes = ({ changes }: Pick<ControlPlane, 'changes'>): Route[] => [
  controlRoute(
    {
      ...info('rollback', 'Sets an endpoint, or all endpoints, back to a revision; makes a new revision', [404, 409, 412, 422]),
      body: rollbackBody,
      change: true,
      answer: { data: rollbackSchema },
    },
    async (body, { context }) => {
      const answer = await changes.rollback(body, context);
      const { endpoint } = answer;
      const shown = endpoint === undefined || endpoint === null ? {} : { endpoint: toPublicEndpoint(endpoint) };
      return { data: { ...answer, ...shown }, ...etagHeaders(answer.revision) };
    },
  ),
  controlRoute(
    {
      ...info('confirm', 'Keeps a change that was made with `?confirmWithin=`', [404]),
      body: confirmBody,
      change: false,
      answer: { data: confirmedSchema },
    },
    async (body, { context }) => ({ data: await changes.confirm(body, context) }),
  ),
];
