/** Routes about API keys (docs/administrators.md). */

import { z } from '@hono/zod-openapi';
import { apiKeyChangeSchema, keysSchema, newKeySchema } from '../../../answers/admins.ts';
import type { ControlPlane } from '../../../control/contract/control-plane.ts';
import { ROLES } from '../../../endpoint/admins/admin.ts';
import { type Route, readRoute } from '../../http/route.ts';
import { type DocumentChangeCall, documentRoute, removeRoute, runDocumentChange } from './document-route.ts';

const TAG = 'API keys';
const name = z.string().openapi({ example: 'ci' });
const reason = z.string().optional().openapi({ description: 'Reason for the history' });
const keyBody = z
  .object({
    name,
    role: z.enum(ROLES).optional(),
    until: z
      .union([z.string(), z.number()])
      .nullish()
      .openapi({ description: 'When it ends: ISO 8601, or milliseconds since 1970. Default: never' }),
    comment: z.string().optional(),
    reason,
  })
  .openapi('ApiKeyRequest');

export const keyRoutes = ({ keys }: Pick<ControlPlane, 'keys'>): Route[] => {
  const body = { schema: keyBody, example: { name: 'ci', role: 'operator', until: '2030-01-31T12:00:00Z' } };
  const add: DocumentChangeCall = (given, context) => keys.add(given, context);
  const remove: DocumentChangeCall = (given, context) => keys.remove(given, context);
  return [
    readRoute(
      {
        method: 'get',
        path: '/api/keys',
        tag: TAG,
        summary: 'API keys, without their secrets',
        query: z.object({}),
        answer: { data: keysSchema },
      },
      () => ({ data: keys.list() }),
    ),
    documentRoute('post', '/api/keys', 'Makes an API key, which the answer alone shows', body, add, { data: newKeySchema, tag: TAG }),
    removeRoute('/api/keys/remove', 'As DELETE /api/keys', { schema: z.object({ name, reason }), example: { name: 'ci' } }, remove, {
      data: apiKeyChangeSchema,
      tag: TAG,
    }),
    {
      method: 'delete',
      path: '/api/keys',
      tag: TAG,
      summary: 'Revokes an API key at once',
      statuses: [404, 503],
      query: z.object({ name }),
      body: null,
      change: true,
      answer: { data: apiKeyChangeSchema },
      run: (query, _body, call) => runDocumentChange(remove, query, call),
    },
  ];
};
