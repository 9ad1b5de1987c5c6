/** Routes about the users in the store (docs/users.md). */

import { z } from '@hono/zod-openapi';
import { importUsersSchema, userAnswerSchema, userChangeSchema, userHistorySchema, usersSchema } from '../../../answers/users.ts';
import type { UserRequests } from '../../../control/contract/access/user-requests.ts';
import type { ControlPlane } from '../../../control/contract/control-plane.ts';
import { etagOf } from '../../http/request.ts';
import { type Route, type RouteInfo, readRoute } from '../../http/route.ts';
import { queryInteger } from '../../http/schemas.ts';
import { type DocumentChangeCall, documentRoute, removeRoute, runDocumentChange } from './document-route.ts';

const TAG = 'Users';
/** Room for 100,000 users with some rules. */
const IMPORT_BYTES_MAX = 128 * 1024 * 1024;
const BODY_BYTES_MAX = 1024 * 1024;

const reason = z.string().max(1000).optional().openapi({ description: 'Reason for the history. X-Reason does the same' });
const whoShape = {
  username: z.string().optional().openapi({ description: 'The user by its name, or', example: 'ann' }),
  clientId: z.string().optional().openapi({ description: 'by its client identifier' }),
  namespace: z.string().optional().openapi({ description: 'default: `default`' }),
};
const rule = z.record(z.string(), z.unknown());
const userBody = z
  .object({
    ...whoShape,
    password: z.string().optional().openapi({ description: 'In clear text: fluxmq keeps its argon2id hash' }),
    hash: z.string().optional().openapi({ description: 'In place of `password`: argon2id, scrypt, bcrypt, pbkdf2, scram, $6$ or $7$' }),
    isSuperuser: z.boolean().nullish(),
    groups: z.array(z.string()).nullish(),
    acl: z
      .union([z.array(rule), rule])
      .optional()
      .openapi({ description: 'Rules of the user, before all others' }),
    disabled: z.boolean().nullish(),
    comment: z.string().nullish(),
    reason,
  })
  .openapi('UserChange');
const example = { username: 'ann', password: 'change-me', acl: [{ permission: 'allow', action: 'all', topic: 'devices/ann/#' }] };
const KICK = 'Disconnects the clients of the user on every node, after the change';
const kick = z.boolean().optional().openapi({ description: KICK });
const dryRun = z.boolean().optional().openapi({ description: 'Only preview the change' });

const limit = queryInteger(1, 1000, 'Users of a page', 100).optional();
const pageQuery = z.object({
  search: z.string().optional().openapi({ description: 'Beginning of the user name or client identifier' }),
  namespace: whoShape.namespace,
  after: z.string().optional().openapi({ description: '`next` of the page before' }),
  limit,
});
const LIMIT_DEFAULT = 100;
const HISTORY_DEFAULT = 20;

function removal(users: UserRequests): Route {
  const info: RouteInfo = {
    method: 'delete',
    path: '/api/users',
    tag: TAG,
    summary: 'Removes a user',
    statuses: [404, 412, 503],
  };
  return {
    ...info,
    query: z.object({ ...whoShape, kick: z.enum(['true', 'false']).optional().openapi({ description: KICK }) }),
    body: null,
    change: true,
    answer: { data: userChangeSchema },
    run: ({ kick, ...id }, _body, call) =>
      runDocumentChange((body, context) => users.remove(body, context), { ...id, kick: kick === 'true' }, call),
  };
}

function reads(users: UserRequests): Route[] {
  const info = (path: string, summary: string): RouteInfo => {
    return { method: 'get', path, tag: TAG, summary };
  };
  return [
    readRoute(
      {
        ...info('/api/users', 'Users of the store, sorted by name, without their hashes'),
        query: pageQuery,
        answer: { data: usersSchema },
      },
      (query) => ({ data: users.list({ ...query, limit: query.limit ?? LIMIT_DEFAULT }) }),
    ),
    readRoute(
      { ...info('/api/users/get', 'One user'), statuses: [404], query: z.object(whoShape), answer: { data: userAnswerSchema, etag: true } },
      (query) => {
        const data = users.get(query);
        return { data, headers: { etag: etagOf(data.revision) } };
      },
    ),
    readRoute(
      {
        ...info('/api/users/export', 'A page of users with their hashes, for import'),
        query: pageQuery,
        answer: { data: usersSchema },
      },
      (query) => ({ data: users.exportPage({ ...query, limit: query.limit ?? LIMIT_DEFAULT }) }),
    ),
    readRoute(
      {
        ...info('/api/users/history', 'Changes of users, newest first'),
        query: z.object({
          limit: queryInteger(1, 100, 'Revisions of a page', HISTORY_DEFAULT).optional(),
          before: queryInteger(1, Number.MAX_SAFE_INTEGER, 'Only older revisions', 8).optional(),
        }),
        answer: { data: userHistorySchema },
      },
      async (query) => ({ data: await users.history(query.limit ?? HISTORY_DEFAULT, query.before) }),
    ),
  ];
}

export const userRoutes = ({ users }: Pick<ControlPlane, 'users'>): Route[] => {
  const one = { bodyMaxBytes: BODY_BYTES_MAX, data: userChangeSchema, tag: TAG };
  const user = { schema: userBody, example };
  const changed = { schema: userBody.extend({ kick }).openapi('UserUpdate'), example: { username: 'ann', disabled: true, kick: true } };
  const add: DocumentChangeCall = (body, context) => users.add(body, context);
  const update: DocumentChangeCall = (body, context) => users.update(body, context);
  return [
    ...reads(users),
    documentRoute('post', '/api/users', 'Adds a user', user, add, one),
    documentRoute('post', '/api/users/add', 'As POST /api/users', user, add, one),
    documentRoute('put', '/api/users', 'Changes a user; keys that the body lacks keep their value', changed, update, one),
    documentRoute('post', '/api/users/update', 'As PUT /api/users', changed, update, one),
    removeRoute(
      '/api/users/remove',
      'As DELETE /api/users',
      { schema: z.object({ ...whoShape, kick, reason }), example: { username: 'ann' } },
      (body, context) => users.remove(body, context),
      one,
    ),
    removal(users),
    documentRoute(
      'post',
      '/api/users/import',
      'Imports up to 100,000 users as one change, all or nothing',
      {
        schema: z.object({ users: z.array(userBody), mode: z.enum(['merge', 'replace']).optional(), dryRun, reason }),
        example: {
          users: [{ username: 'ann', hash: 'scrypt$16384$8$1$AAAAAAAAAAAAAAAAAAAAAA==$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=' }],
          mode: 'merge',
        },
      },
      (body, context) => users.importAll(body, context),
      { bodyMaxBytes: IMPORT_BYTES_MAX, file: 'document', data: importUsersSchema, tag: TAG },
    ),
    documentRoute(
      'post',
      '/api/users/rollback',
      'Sets all users back to a revision; makes a new revision',
      { schema: z.object({ revision: z.number().int().min(0), dryRun, reason }), example: { revision: 7 } },
      (body, context) => users.rollback(body, context),
      { bodyMaxBytes: BODY_BYTES_MAX, data: importUsersSchema, tag: TAG },
    ),
  ];
};
