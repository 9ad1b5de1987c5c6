/** Makes the OpenAPI 3.1 description from the route declarations that the application registers. */

import { OpenAPIHono, type RouteConfig, z } from '@hono/zod-openapi';
import { envelopeOf, failureSchema, gatheredOf } from '../../answers/envelope.ts';
import { accessOf } from '../login/access-table.ts';
import { operationIdOf } from './operation-ids.ts';
import type { AnswerInfo, Route } from './route.ts';

const REASONS: Record<number, string> = {
  400: 'Not JSON, unknown key, wrong type, out of range, or not supported yet',
  401: 'No or wrong credentials',
  403: 'The role may not do this, or the request comes from another web site',
  404: 'No such endpoint',
  409: 'The endpoint exists, its port is taken, it is the default one, or another change of it is in progress',
  412: 'If-Match is not the current revision; data is the current endpoint',
  413: 'The body is over 1 MiB (plan and import: over 16 MiB)',
  415: 'The body is not application/json',
  422: 'The request is valid, but cannot work on this node',
  429: 'Too many failed logins',
  500: 'Internal error; the log has more under the request id',
  503: 'Not available: nothing was changed',
};

const changeHeaders = z.object({
  'If-Match': z.string().optional().openapi({ description: 'Revision that the endpoint must still have', example: '"7"' }),
  'X-Reason': z.string().optional().openapi({ description: 'Reason for the history' }),
});
const timeoutQuery = {
  timeout: z.string().optional().openapi({ description: 'Milliseconds or a duration, at most 5 minutes', example: '30s' }),
};

const changeQuery = {
  wait: z
    .enum(['all', 'local'])
    .optional()
    .openapi({ description: 'In a cluster: all waits for every node (default), local for this node only' }),
  policy: z
    .enum(['each', 'all'])
    .optional()
    .openapi({ description: 'In a cluster: all asks every node first, and changes nothing unless each can make the change; default each' }),
  confirmWithin: z.string().optional().openapi({
    description: 'The change is undone unless it is confirmed in time: milliseconds or a duration, 1 second to 24 hours',
    example: '30s',
  }),
};

/** Error statuses that a route may answer. */
function errorStatuses(route: Route): number[] {
  const always = [400, 403, 500, 503];
  const login = accessOf(route) === 'public' ? [] : [401, 429];
  const body = route.body === null ? [] : [413, 415];
  return [...new Set([...always, ...login, ...body, ...(route.statuses ?? [])])].sort((a, b) => a - b);
}

/** The successful answers: the envelope, other content types, and 304 where there is an ETag. */
function goodAnswers(answer: AnswerInfo): RouteConfig['responses'] {
  const content: Record<string, { schema: z.ZodType }> = {};
  for (const [type, schema] of Object.entries(answer.raw ?? {})) content[type] = { schema };
  const frame = answer.partial === true ? gatheredOf : envelopeOf;
  if (answer.data !== undefined) content['application/json'] = { schema: frame(answer.data, answer.code ?? 200) };
  if (Object.keys(content).length === 0) return answer.status === 302 ? { 302: { description: 'Redirect, see Location' } } : {};
  const unchanged = answer.etag === true ? { 304: { description: 'If-None-Match names the current revision' } } : {};
  return { 200: { description: 'Success', content }, ...unchanged };
}

function describe(route: Route): RouteConfig {
  const good = goodAnswers(route.answer);
  const errors = errorStatuses(route).map((status) => [
    status,
    { description: REASONS[status] ?? '', content: { 'application/json': { schema: failureSchema } } },
  ]);
  const timed = route.change || route.slow ? route.query.extend(timeoutQuery) : route.query;
  const query = route.change ? timed.extend(changeQuery) : timed;
  const hasQuery = Object.keys(query.shape).length > 0;
  return {
    method: route.method,
    path: route.path,
    operationId: operationIdOf(route.path, route.method),
    tags: [route.tag],
    summary: route.summary,
    security: accessOf(route) === 'public' ? [] : [{ basic: [] }, { bearer: [] }],
    request: {
      ...(hasQuery ? { query } : {}),
      ...(route.change ? { headers: changeHeaders } : {}),
      ...(route.body === null
        ? {}
        : { body: { required: true, content: { 'application/json': { schema: route.body.schema, example: route.body.example } } } }),
    },
    responses: { ...good, ...Object.fromEntries(errors) },
  };
}

/** The description of all `routes`. Aliases are left out, because they would duplicate every operation. */
export function describeApi(routes: Route[], version: string): unknown {
  const app = new OpenAPIHono();
  const { openAPIRegistry: registry } = app;
  registry.registerComponent('securitySchemes', 'basic', { type: 'http', scheme: 'basic' });
  registry.registerComponent('securitySchemes', 'bearer', { type: 'http', scheme: 'bearer', description: 'Token from POST /public/login' });
  for (const route of routes) registry.registerPath(describe(route));
  return app.getOpenAPI31Document({
    openapi: '3.1.0',
    info: {
      title: 'fluxmq admin API',
      version,
      description:
        'Endpoints (listening ports) are added, changed and removed while the broker runs. Every answer is `{code, message, data}` with ' +
        'the HTTP status as code; failures add `error: {kind, issues}`. The answer repeats `X-Request-Id`, or carries a new one. Routes under `/api/endpoints` answer under `/endpoints` as well.',
      license: { name: 'Apache-2.0', url: 'https://www.apache.org/licenses/LICENSE-2.0' },
    },
    // The URL is relative to this document, because a proxy may add a path prefix.
    servers: [{ url: './' }],
  });
}
