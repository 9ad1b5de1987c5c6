/** What a route of the admin API is: one declaration from which the handler, the checks and the OpenAPI description are made. */

import { z } from '@hono/zod-openapi';
import type { Control, RequestContext } from '../../control/contract.ts';
import type { Issue } from '../../kernel/errors.ts';
import { parseOrRefuse } from './validation.ts';

/** `public` needs no login, `viewer` any login, `admin` the administrator's. */
export type Access = 'public' | 'viewer' | 'admin';

/** An answer in the envelope. `code` differs from `status` only where FluxMQ's own form is kept (`{"code": 0}`). */
export interface Reply {
  data: unknown;
  status?: number;
  code?: number;
  message?: string;
  error?: { kind: string; issues: Issue[] };
  headers?: Record<string, string>;
}

/** What a handler is given besides its checked query and body. */
export interface Call {
  readonly control: Control;
  /** Context of a change: actor, reason, If-Match, timeout. */
  readonly context: RequestContext;
  /** True for `If-Match: *`: the endpoint must exist. */
  readonly mustExist: boolean;
  /** The raw If-None-Match header. */
  readonly ifNoneMatch: string | null;
  /** The raw Last-Event-ID header. */
  readonly lastEventId: string | null;
  /** False for a viewer, who may not see secrets. */
  readonly isAdmin: boolean;
  /** Address of the client, for the login throttle. */
  readonly address: string;
  /** Leads from the request's URL to the root of the API: a proxy may have put a path in front. Ends with a slash. */
  readonly root: string;
}

/** Documentation of a route; `statuses` are the errors beside those that every route may answer. */
export interface RouteInfo {
  method: 'get' | 'post';
  path: string;
  /** further paths with the same behaviour, which the description leaves out */
  aliases?: string[];
  access: Access;
  tag: string;
  summary: string;
  statuses?: number[];
  /** largest body, bytes; 1 MiB unless told */
  bodyMaxBytes?: number;
  /** the body is a file with endpoints, read in turns; `upload`: it is handed over as it came, because it may be larger than the memory */
  file?: 'document' | 'upload';
  /** a probe: it answers under every Host, and without one */
  anyHost?: boolean;
  /** a read that waits for others: it takes `?timeout=`, and is 503 when that is over */
  slow?: boolean;
}

/** How a route answers when all is well, for the description. */
export interface AnswerInfo {
  /** schema of the envelope's `data` */
  data?: z.ZodType;
  /** other content types, with the schema of the whole body */
  raw?: Record<string, z.ZodType>;
  /** literal `code` of the envelope, 200 by default */
  code?: number;
  status?: 302;
  /** the answer has an ETag that If-None-Match is compared with */
  etag?: boolean;
}

/** A route with its types erased, as the application registers it. */
export interface Route extends RouteInfo {
  query: z.ZodObject;
  body: { schema: z.ZodType; example: unknown } | null;
  answer: AnswerInfo;
  /** True when the route changes the configuration: it then takes a reason, If-Match and ?timeout=. */
  change: boolean;
  run(query: unknown, body: unknown, call: Call): Promise<Reply | Response>;
}

/** Declares a route without a body. */
export function readRoute<Q extends z.ZodObject>(
  info: RouteInfo & { query: Q; answer: AnswerInfo },
  handle: (query: z.output<Q>, call: Call) => Promise<Reply | Response> | Reply | Response,
): Route {
  return { ...info, body: null, change: false, run: async (query, _body, call) => handle(query as z.output<Q>, call) };
}

/** Declares a route whose body is checked here, before the handler runs. */
export function actionRoute<B extends z.ZodType>(
  info: RouteInfo & { body: { schema: B; example: unknown }; answer: AnswerInfo },
  handle: (body: z.output<B>, call: Call) => Promise<Reply | Response> | Reply | Response,
): Route {
  return {
    ...info,
    query: z.object({}),
    change: false,
    run: async (_query, body, call) => handle(parseOrRefuse(info.body.schema, body, 'The body'), call),
  };
}

/** Declares a route whose body is documented by a schema, but checked by the control plane, which reports all problems at once. */
export function controlRoute(
  info: RouteInfo & { body: { schema: z.ZodType; example: unknown }; answer: AnswerInfo; change: boolean; query?: z.ZodObject },
  handle: (body: Record<string, unknown>, call: Call) => Promise<Reply | Response>,
): Route {
  return { ...info, query: info.query ?? z.object({}), run: async (_query, body, call) => handle(body as Record<string, unknown>, call) };
}
