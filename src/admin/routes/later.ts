/** Routes of SPEC.md section 3 that are not built yet: they are refused by name, not unknown. */

import { z } from '@hono/zod-openapi';
import { FluxError } from '../../kernel/errors.ts';
import type { Route } from '../http/route.ts';

const LATER: [method: 'get' | 'post', path: string][] = [
  ['get', '/api/cluster/status'],
  ['get', '/api/cluster/nodes'],
];

export const laterRoutes: Route[] = LATER.map(([method, path]) => ({
  method,
  path,
  aliases: path.startsWith('/api/endpoints/') ? [path.slice('/api'.length)] : [],
  access: method === 'get' ? 'viewer' : 'admin',
  tag: 'Not supported yet',
  summary: 'Not supported yet: always answers 400',
  query: z.looseObject({}),
  body: null,
  change: false,
  answer: {},
  run: async () => {
    throw new FluxError('not-supported-yet', `${path}: not supported yet`);
  },
}));
