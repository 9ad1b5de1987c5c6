/** Routes about administrators (docs/administrators.md). */

import { z } from '@hono/zod-openapi';
import { adminChangeSchema, adminsSchema } from '../../../answers/admins.ts';
import type { ControlPlane } from '../../../control/contract/control-plane.ts';
import { ROLES } from '../../../endpoint/admins/admin.ts';
import { type Route, readRoute } from '../../http/route.ts';
import { type DocumentChangeCall, documentRoute, removeRoute, runDocumentChange } from './document-route.ts';

const TAG = 'Administrators';
const username = z.string().openapi({ example: 'ann' });
const reason = z.string().optional().openapi({ description: 'Reason for the history' });
const adminBody = z
  .object({
    username,
    password: z.string().optional().openapi({ description: 'At least 8 characters; fluxmq keeps its argon2id hash' }),
    role: z.enum(ROLES).optional(),
    comment: z.string().optional(),
    reason,
  })
  .openapi('AdministratorChange');
const added = { schema: adminBody, example: { username: 'ann', password: 'change-me', role: 'operator' } };
const updated = { schema: adminBody, example: { username: 'ann', role: 'viewer' } };

export const adminRoutes = ({ admins }: Pick<ControlPlane, 'admins'>): Route[] => {
  const more = { data: adminChangeSchema, tag: TAG };
  const add: DocumentChangeCall = (body, context) => admins.add(body, context);
  const update: DocumentChangeCall = (body, context) => admins.update(body, context);
  const remove: DocumentChangeCall = (body, context) => admins.remove(body, context);
  return [
    readRoute(
      {
        method: 'get',
        path: '/api/admins',
        tag: TAG,
        summary: 'Administrators and their roles',
        query: z.object({}),
        answer: { data: adminsSchema },
      },
      () => ({ data: admins.list() }),
    ),
    documentRoute('post', '/api/admins', 'Adds an administrator', added, add, more),
    documentRoute('post', '/api/admins/add', 'As POST /api/admins', added, add, more),
    documentRoute('put', '/api/admins', 'Changes an administrator, whose tokens end with another password or role', updated, update, more),
    documentRoute('post', '/api/admins/update', 'As PUT /api/admins', updated, update, more),
    removeRoute(
      '/api/admins/remove',
      'As DELETE /api/admins',
      { schema: z.object({ username, reason }), example: { username: 'ann' } },
      remove,
      more,
    ),
    {
      method: 'delete',
      path: '/api/admins',
      tag: TAG,
      summary: 'Removes an administrator, whose tokens end',
      statuses: [404, 409, 412, 503],
      query: z.object({ username }),
      body: null,
      change: true,
      answer: { data: adminChangeSchema },
      run: (query, _body, call) => runDocumentChange(remove, query, call),
    },
  ];
};
