/** A route of the admin API: one declaration yields the handler, the checks and the OpenAPI description. */

import { z } from '@hono/zod-openapi';
import type { Unreachable } from '../../answers/envelope.ts';
import type { RequestContext } from '../../control/contract/request-parts.ts';
import type { Issue } from '../../kernel/errors.ts';
import { parseOrRefuse } from './validation.ts';

/** An answer in the envelope. `code` differs from `status` only where FluxMQ's form is kept (`{"code": 0}`). */
export interface Reply {
  data: unknown;
  status?: number;
  code?: number;
  message?: string;
  /** nodes of the cluster that the answer lacks; it is partial when there is one */
  unreachable?: Unreachable[];
  error?: { kind: string; issues: Issue[] };
  headers?: Record<string, string>;
}

/** The input of a handler besides its checked query and body. */
export interface Call {
  /** Context of a change: actor, reason, If-Match, timeout. */
  readonly context: RequestContext;
  /** True for `If-Match: *`: the endpoint must exist. */
  readonly mustExist: boolean;
  /** The raw If-None-Match header. */
  readonly ifNoneMatch: string | null;
  /** The raw Last-Event-ID header. */
  readonly lastEventId: string | null;
  /** False for the other roles, which may not see secrets. */
  readonly isAdmin: boolean;
  /** Address of the client, for the login throttle. */
  readonly address: string;
  /** Relative path from the request's URL to the root of the API, because a proxy may add a prefix. Ends with a slash. */
  readonly root: string;
}

/** Documentation of a route, whose role stands in access-table.ts; `statuses` are its errors besides those of every route. */
export interface RouteInfo {
  method: 'get' | 'post' | 'put' | 'delete';
  path: string;
  /** further paths with the same behaviour, which the description leaves out */
  aliases?: string[];
  tag: string;
  summary: string;
  statuses?: number[];
  /** largest body, bytes; default 1 MiB */
  bodyMaxBytes?: number;
  /** the body is a file with endpoints, read in slices; `upload`: the handler gets the raw file, which may not fit into memory */
  file?: 'document' | 'upload';
  /** a probe: it answers under every Host, and without one */
  anyHost?: boolean;
  /** a read that waits for others: it takes `?timeout=`, and answers 503 after that time */
  slow?: boolean;
}

/** The successful answer of a route, for the description. */
export interface AnswerInfo {
  /** schema of the envelope's `data` */
  data?: z.ZodType;
  /** other content types, with the schema of the whole body */
  raw?: Record<string, z.ZodType>;
  /** literal `code` of the envelope, 200 by default */
  code?: number;
  status?: 302;
  /** the answer of several nodes: see Reply.unreachable */
  partial?: boolean;
  /** the answer has an ETag for If-None-Match */
  etag?: boolean;
}

/** A route with its types erased, as the application registers it. */
export interface Route extends RouteInfo {
  query: z.ZodObject;
  body: { schema: z.ZodType; example: unknown } | null;
  answer: AnswerInfo;
  /** True when the route changes the configuration; it takes a reason, If-Match and ?timeout= then. */
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

/** Declares a route whose body is checked before the handler runs. */
export function actionRoute<B extends z.ZodType>(
  info: RouteInfo & { body: { schema: B; example: unknown }; answer: AnswerInfo },
  handle: (body: z.output<B>, call: Call) => Promise<Reply | Response> | Reply | Response,
): Route {
  return askRoute({ ...info, query: z.object({}) }, (_query, body, call) => handle(body, call));
}

/** Declares a route with a query and a body, which are checked before the handler runs. */
export function askRoute<Q extends z.ZodObject, B extends z.ZodType>(
  info: RouteInfo & { query: Q; body: { schema: B; example: unknown }; answer: AnswerInfo },
  handle: (query: z.output<Q>, body: z.output<B>, call: Call) => Promise<Reply | Response> | Reply | Response,
): Route {
  return {
    ...info,
    change: false,
    run: async (query, body, call) => handle(query as z.output<Q>, parseOrRefuse(info.body.schema, body, 'The body'), call),
  };
}

/** Declares a route with a body that a schema documents and the control plane checks, which reports all problems at once. */
export function controlRoute(
  info: RouteInfo & { body: { schema: z.ZodType; example: unknown }; answer: AnswerInfo; change: boolean; query?: z.ZodObject },
  handle: (body: Record<string, unknown>, call: Call) => Promise<Reply | Response>,
): Route {
  return { ...info, query: info.query ?? z.object({}), run: async (_query, body, call) => handle(body as Record<string, unknown>, call) };
}
