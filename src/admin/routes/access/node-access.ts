/** Routes about the authenticators and rules of endpoints without their own (docs/access.md). */

import { z } from '@hono/zod-openapi';
import { accessChangeSchema, accessHistorySchema, accessSchema } from '../../../answers/access.ts';
import type { ControlPlane } from '../../../control/contract/control-plane.ts';
import { ACCESS_REQUESTS } from '../../../endpoint/access/forms.ts';
import { etagOf } from '../../http/request.ts';
import { type Route, type RouteInfo, readRoute } from '../../http/route.ts';
import { queryInteger } from '../../http/schemas.ts';
import { documentRoute, removeRoute, runDocumentChange } from './document-route.ts';

const TAG = 'Access';
const BODY_BYTES_MAX = 1024 * 1024;
const HISTORY_DEFAULT = 20;

const reason = z.string().optional().openapi({ description: 'Reason for the history' });
const dryRun = z.boolean().optional().openapi({ description: 'Only say what would change' });
const BODIES = {
  auth: {
    schema: z.object({ auth: ACCESS_REQUESTS.authConfig, dryRun, reason }),
    example: { auth: [{ authType: 'users' }] },
    what: 'The authenticators',
  },
  acl: {
    schema: z.object({ acl: ACCESS_REQUESTS.aclConfig, dryRun, reason }),
    example: { acl: { default: 'deny', rules: [{ permission: 'allow', subject: { type: 'all' }, topic: 'devices/${username}/#' }] } },
    what: 'The rules',
  },
} as const;

export const nodeAccessRoutes = ({ access }: Pick<ControlPlane, 'access'>): Route[] =>
  (['auth', 'acl'] as const).flatMap((part) => routesOf(part, access));

function routesOf(part: 'auth' | 'acl', access: ControlPlane['access']): Route[] {
  const path = `/api/${part}`;
  const { schema, example, what } = BODIES[part];
  const info = (suffix: string, summary: string): RouteInfo => ({ method: 'get', path: path + suffix, tag: TAG, summary });
  const more = { bodyMaxBytes: BODY_BYTES_MAX, data: accessChangeSchema, tag: TAG };
  const update = (body: unknown, context: Parameters<typeof access.update>[2]) => access.update(part, body, context);
  return [
    readRoute(
      { ...info('', `${what} of endpoints without their own`), query: z.object({}), answer: { data: accessSchema, etag: true } },
      () => {
        const data = access.get(part);
        return { data, ...(data.revision === null ? {} : { headers: { etag: etagOf(data.revision) } }) };
      },
    ),
    readRoute(
      {
        ...info('/history', `Changes of ${path}, newest first`),
        query: z.object({
          limit: queryInteger(1, 100, 'Revisions of a page', HISTORY_DEFAULT).optional(),
          before: queryInteger(1, Number.MAX_SAFE_INTEGER, 'Only older revisions', 8).optional(),
        }),
        answer: { data: accessHistorySchema },
      },
      async ({ limit, before }) => ({ data: await access.history(part, limit ?? HISTORY_DEFAULT, before) }),
    ),
    documentRoute('put', path, `Replaces ${what.toLowerCase()} in the store, on every node`, { schema, example }, update, more),
    documentRoute('post', `${path}/update`, `As PUT ${path}`, { schema, example }, update, more),
    documentRoute(
      'post',
      `${path}/rollback`,
      'Sets it back to a revision; makes a new revision',
      { schema: z.object({ revision: z.number().int().min(0), dryRun, reason }), example: { revision: 7 } },
      (body, context) => access.rollback(part, body, context),
      more,
    ),
    removeRoute(
      `${path}/remove`,
      `As DELETE ${path}`,
      { schema: z.object({ reason }), example: { reason: 'back to the file' } },
      (_body, context) => access.remove(part, context),
      more,
    ),
    {
      method: 'delete',
      path,
      tag: TAG,
      summary: 'Returns to that of config.yaml',
      statuses: [404, 412, 503],
      query: z.object({}),
      body: null,
      change: true,
      answer: { data: accessChangeSchema },
      run: (query, _body, call) => runDocumentChange((_id, context) => access.remove(part, context), query, call),
    },
  ];
}
