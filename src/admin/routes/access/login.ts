/** The route that turns a user name and password into a token. */

import { z } from '@hono/zod-openapi';
import { tokenSchema } from '../../../answers/node.ts';
import { actionRoute, type Route } from '../../http/route.ts';
import type { LoginDesk } from '../../login/login.ts';

const credentialSchema = z.strictObject({ username: z.string().min(1).max(1024), password: z.string().max(1024) });

export function loginRoutes(desk: LoginDesk): Route[] {
  return [
    actionRoute(
      {
        method: 'post',
        path: '/public/login',
        tag: 'Login',
        summary: 'A token for `Authorization: Bearer`, valid for 12 hours',
        statuses: [401, 429],
        body: { schema: credentialSchema, example: { username: 'admin', password: 'secret' } },
        answer: { data: tokenSchema },
      },
      async ({ username, password }, { address }) => {
        const { token, expires } = await desk.token(username, password, address);
        return { data: { token, expires: new Date(expires).toISOString() } };
      },
    ),
  ];
}
