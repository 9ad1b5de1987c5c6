/** The route of the audit (docs/audit.md). */

import { z } from '@hono/zod-openapi';
import { auditSchema } from '../../../answers/audit.ts';
import type { ControlPlane } from '../../../control/contract/control-plane.ts';
import { type Route, readRoute } from '../../http/route.ts';
import { queryInteger, queryMoment } from '../../http/schemas.ts';

const LIMIT_DEFAULT = 100;

const query = z.object({
  actor: z.string().optional().openapi({ description: 'Only requests of this login' }),
  action: z.string().optional().openapi({ description: 'Only requests whose method and route contain this', example: '/api/users' }),
  refused: z.enum(['true', 'false']).optional().openapi({ description: 'Only refused requests, or only others' }),
  since: queryMoment('Only entries of this moment or later').optional(),
  until: queryMoment('Only entries of this moment or earlier').optional(),
  after: z.string().optional().openapi({ description: '`next` of the page before' }),
  limit: queryInteger(1, 1000, 'Entries of a page', LIMIT_DEFAULT).optional(),
});

export const auditRoutes = ({ audit }: Pick<ControlPlane, 'audit'>): Route[] => [
  readRoute(
    { method: 'get', path: '/api/audit', tag: 'Audit', summary: 'Who did what, newest first', query, answer: { data: auditSchema } },
    async ({ refused, limit, ...rest }) => ({
      data: await audit.list({ ...rest, refused: refused === undefined ? undefined : refused === 'true', limit: limit ?? LIMIT_DEFAULT }),
    }),
  ),
];
