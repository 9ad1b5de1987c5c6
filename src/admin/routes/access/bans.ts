/** Routes about bans (docs/bans.md). */

import { z } from '@hono/zod-openapi';
import { banChangeSchema, bansSchema } from '../../../answers/bans.ts';
import type { ControlPlane } from '../../../control/contract/control-plane.ts';
import { BAN_SUBJECTS } from '../../../endpoint/bans/ban.ts';
import { type Route, readRoute } from '../../http/route.ts';
import { queryInteger } from '../../http/schemas.ts';
import { type DocumentChangeCall, documentRoute, removeRoute, runDocumentChange } from './document-route.ts';

const TAG = 'Bans';
const BODY_BYTES_MAX = 8 * 1024 * 1024;
const LIMIT_DEFAULT = 100;

const whoShape = {
  clientId: z.string().optional().openapi({ description: 'One of the five: a client identifier', example: 'sensor-1' }),
  username: z.string().optional().openapi({ description: 'a user name' }),
  address: z.string().optional().openapi({ description: 'an IP address, or a network such as 10.0.0.0/8' }),
  clientIdPattern: z.string().optional().openapi({ description: 'a pattern of client identifiers with * and ?' }),
  usernamePattern: z.string().optional().openapi({ description: 'a pattern of user names' }),
  namespace: z.string().nullish().openapi({ description: 'Default: all namespaces' }),
};
const banBody = z
  .object({
    ...whoShape,
    until: z
      .union([z.string(), z.number()])
      .nullish()
      .openapi({ description: 'When it ends: ISO 8601, or milliseconds since 1970. Default: never', example: '2030-01-31T12:00:00Z' }),
    reason: z.string().optional(),
  })
  .openapi('BanRequest');
const bansBody = z.union([banBody, z.object({ bans: z.array(banBody), reason: z.string().optional() })]);
const query = z.object({
  search: z.string().optional().openapi({ description: 'Beginning of the name, pattern or address' }),
  by: z.enum(BAN_SUBJECTS).optional(),
  namespace: z.string().optional(),
  after: z.string().optional().openapi({ description: '`next` of the page before' }),
  limit: queryInteger(1, 1000, 'Bans of a page', LIMIT_DEFAULT).optional(),
});

export const banRoutes = ({ bans }: Pick<ControlPlane, 'bans'>): Route[] => {
  const more = { bodyMaxBytes: BODY_BYTES_MAX, data: banChangeSchema, tag: TAG };
  const body = { schema: bansBody, example: { clientId: 'sensor-1', until: '2030-01-31T12:00:00Z', reason: 'stolen' } };
  const add: DocumentChangeCall = (given, context) => bans.add(given, context);
  const remove: DocumentChangeCall = (given, context) => bans.remove(given, context);
  return [
    readRoute(
      {
        method: 'get',
        path: '/api/bans',
        tag: TAG,
        summary: 'Bans, sorted by what they name',
        query,
        answer: { data: bansSchema },
      },
      (given) => ({ data: bans.list({ ...given, limit: given.limit ?? LIMIT_DEFAULT }) }),
    ),
    documentRoute('post', '/api/bans', 'Bans clients, and disconnects them on every node', body, add, more),
    documentRoute('post', '/api/bans/add', 'As POST /api/bans', body, add, more),
    removeRoute(
      '/api/bans/remove',
      'As DELETE /api/bans',
      { schema: z.object({ ...whoShape, reason: z.string().optional() }), example: { clientId: 'sensor-1' } },
      remove,
      more,
    ),
    {
      method: 'delete',
      path: '/api/bans',
      tag: TAG,
      summary: 'Removes a ban',
      statuses: [404, 503],
      query: z.object(whoShape),
      body: null,
      change: true,
      answer: { data: banChangeSchema },
      run: (given, _body, call) => runDocumentChange(remove, given, call),
    },
  ];
};
