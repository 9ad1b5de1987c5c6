/** The admin API as a Hono application: checks, routes, and the one place where errors become answers. */

import { type Context, Hono } from 'hono';
import type { Control, RequestContext } from '../control/contract.ts';
import { steadyNow } from '../kernel/clock.ts';
import { within } from '../kernel/deadline.ts';
import { FluxError } from '../kernel/errors.ts';
import type { Logger } from '../kernel/logger.ts';
import type { Settings } from '../settings/settings.ts';
import { HttpError, toFailure, toResponse } from './http/envelope.ts';
import { addSecurityHeaders, refuseForeign } from './http/guard.ts';
import { describeApi } from './http/openapi.ts';
import {
  DEFAULT_TIMEOUT_MS,
  parseConfirmWithin,
  parseIfMatch,
  parseJsonObject,
  parseReason,
  parseSpread,
  parseTimeout,
  Refusals,
  readJsonObject,
  requestIdOf,
  singleQuery,
} from './http/request.ts';
import type { Call, Reply, Route } from './http/route.ts';
import { parseOrRefuse } from './http/validation.ts';
import type { Login } from './login/contract.ts';
import { LoginDesk } from './login/login.ts';
import type { Message } from './messages/contract.ts';
import { actorOf, parametersOf } from './messages/read-message.ts';
import { changeRoutes } from './routes/changes.ts';
import { clusterRoutes } from './routes/cluster.ts';
import { docsRoutes } from './routes/docs.ts';
import { endpointRoutes } from './routes/endpoints.ts';
import { loginRoutes } from './routes/login.ts';
import { messageRoutes } from './routes/messages.ts';
import { restoringRoutes } from './routes/restoring.ts';
import { systemRoutes } from './routes/system.ts';
import { transferRoutes } from './routes/transfer.ts';
import { watchRoutes } from './routes/watch.ts';

export interface AppOptions {
  settings: Settings;
  control: Control;
  logger: Logger;
  /** directory URL of the static files, with a final slash */
  staticRoot: URL;
}

/** What comes along with a request; absent when the application is called without a socket. */
interface Bindings {
  /** from @hono/node-server */
  incoming?: { socket: { remoteAddress?: string | undefined } };
  /** from the message desk: the request is this message, and not HTTP */
  message?: Message;
}

interface Env {
  Bindings: Bindings;
  Variables: { requestId: string; login: Login | undefined };
}

/** Time that a change may take beyond its `?timeout=` before the answer is given up, milliseconds. */
const GRACE_MS = 5000;

export type AdminApp = Hono<Env>;

/** All routes of the API. */
function createRoutes(options: AppOptions, desk: LoginDesk): Route[] {
  const routes: Route[] = [
    ...changeRoutes,
    ...restoringRoutes,
    ...transferRoutes,
    ...endpointRoutes,
    ...watchRoutes,
    ...messageRoutes,
    ...systemRoutes,
    ...clusterRoutes,
    ...loginRoutes(desk),
  ];
  let description: unknown;
  const docs = docsRoutes(options.staticRoot, () => {
    description ??= describeApi([...routes, ...docs], options.control.version);
    return description;
  });
  return [...routes, ...docs];
}

/**
 * The application, testable without a socket: `app.request(path, init)`.
 * @throws FluxError `invalid` when the login settings cannot be used
 */
export function createApp(options: AppOptions): AdminApp {
  const { settings, logger } = options;
  const desk = new LoginDesk(settings.http, logger);
  const routes = createRoutes(options, desk);
  const app = new Hono<Env>();

  app.use(async (context, next) => {
    const started = steadyNow();
    const requestId = requestIdOf(headerOf(context, 'x-request-id'));
    context.set('requestId', requestId);
    await next();
    context.res.headers.set('x-request-id', requestId);
    addSecurityHeaders(context.res.headers);
    if (settings.http.accessLog) logAccess(logger, context, started);
  });
  app.use(async (context, next) => {
    if (messageOf(context) === undefined) refuseForeign(context.req.raw, desk.required);
    await next();
  });
  for (const route of routes) {
    const handler = (context: Context<Env>): Promise<Response> => answer(route, context, options, desk);
    for (const path of [route.path, ...(route.aliases ?? [])]) app.on(route.method.toUpperCase(), path, handler);
  }
  app.notFound((context) => toResponse(toFailure(unknownRoute(routes, context.req.path), context.get('requestId'))));
  app.onError((error, context) => {
    const requestId = context.get('requestId');
    if (!(error instanceof FluxError) || error.kind === 'internal') {
      logger.error('Admin API request failed', {
        requestId,
        method: context.req.method,
        path: context.req.path,
        error: error.stack ?? error.message,
      });
    }
    return toResponse(toFailure(error, requestId));
  });
  return app;
}

async function answer(route: Route, context: Context<Env>, options: AppOptions, desk: LoginDesk): Promise<Response> {
  const { req } = context;
  const message = messageOf(context);
  const address = addressOf(context) ?? 'unknown';
  if (message === undefined && route.access !== 'public') {
    const login = await desk.identify(req.header('authorization'), address);
    context.set('login', login);
    if (route.access === 'admin' && login.role !== 'admin') throw new FluxError('forbidden', 'The role viewer may only read');
  }
  const refusals = new Refusals();
  const parameters = message === undefined ? new URL(req.url).searchParams : parametersOf(message, route.body === null);
  const { query, timeoutMs, confirmWithinMs, spread } = readQuery(route, parameters, refusals);
  const condition = refusals.of(() => parseIfMatch(route.change ? headerOf(context, 'if-match') : undefined), {
    revision: null,
    mustExist: false,
  });
  const reason = refusals.of(() => parseReason(route.change ? headerOf(context, 'x-reason') : undefined), null);
  const actor = message === undefined ? (context.get('login')?.name ?? 'local') : refusals.of(() => actorOf(message), '');
  refusals.throwIfAny();
  const body = route.body === null ? {} : await readBody(context, route);
  const call: Call = {
    control: options.control,
    context: {
      actor,
      source: message === undefined ? 'http' : 'nats',
      requestId: context.get('requestId'),
      reason,
      expectedRevision: condition.revision,
      timeoutMs,
      ...(confirmWithinMs === undefined ? {} : { confirmWithinMs }),
      ...spread,
    },
    mustExist: condition.mustExist,
    ifNoneMatch: headerOf(context, 'if-none-match') ?? null,
    isAdmin: message !== undefined || context.get('login')?.role === 'admin',
    lastEventId: headerOf(context, 'last-event-id') ?? null,
    address,
  };
  const reply = await withDeadline(route.run(query, body, call), timeoutMs, route.change);
  return reply instanceof Response ? reply : toResponse(reply);
}

function messageOf(context: Context<Env>): Message | undefined {
  const bindings: Bindings | undefined = context.env;
  return bindings?.message;
}

/** A header with a character for each byte, as HTTP has it. */
function headerOf(context: Context<Env>, name: string): string | undefined {
  const message = messageOf(context);
  if (message === undefined) return context.req.header(name);
  const value = message.headers.get(name);
  return value === undefined ? undefined : Buffer.from(value).toString('latin1');
}

function readBody(context: Context<Env>, route: Route): Promise<Record<string, unknown>> | Record<string, unknown> {
  const message = messageOf(context);
  return message === undefined ? readJsonObject(context.req.raw, route.bodyMaxBytes) : parseJsonObject(message.body, route.bodyMaxBytes);
}

function addressOf(context: Context<Env>): string | null {
  const bindings: Bindings | undefined = context.env;
  return bindings?.incoming?.socket.remoteAddress ?? null;
}

interface ReadQuery {
  query: unknown;
  timeoutMs: number;
  confirmWithinMs: number | undefined;
  spread: Pick<RequestContext, 'wait' | 'policy'>;
}

/** @param refusals takes what is wrong */
function readQuery(route: Route, parameters: URLSearchParams, refusals: Refusals): ReadQuery {
  const all = refusals.of(() => singleQuery(parameters), Object.fromEntries(parameters));
  const { timeout, confirmWithin, ...others } = all;
  const takesTimeout = route.change || route.slow === true;
  const { wait, policy, ...left } = others;
  const rest = route.change ? left : others;
  const given = {
    ...rest,
    ...(takesTimeout || timeout === undefined ? {} : { timeout }),
    ...(route.change || confirmWithin === undefined ? {} : { confirmWithin }),
  };
  const schema = route.query.def.catchall === undefined ? route.query.strict() : route.query;
  return {
    query: refusals.of(() => parseOrRefuse(schema, given, 'The query'), {}),
    spread: refusals.of(() => parseSpread(route.change ? { wait, policy } : {}), {}),
    timeoutMs: refusals.of(() => parseTimeout(takesTimeout ? timeout : undefined), DEFAULT_TIMEOUT_MS),
    confirmWithinMs: refusals.of(() => parseConfirmWithin(route.change ? confirmWithin : undefined), undefined),
  };
}

/** A change keeps its own deadline in the control plane; this one only makes sure that a fault there does not leave the client waiting. */
function withDeadline(work: Promise<Reply | Response>, timeoutMs: number, change: boolean): Promise<Reply | Response> {
  const milliseconds = change ? timeoutMs + GRACE_MS : timeoutMs;
  const hint = change ? '; the change may still happen, see /api/endpoints/history' : '';
  return within(milliseconds, work, () => new FluxError('timeout', `No answer within ${milliseconds} ms${hint}`));
}

/** 405 with Allow when the path is known under another method, else 404. */
function unknownRoute(routes: Route[], path: string): FluxError {
  const methods = routes.filter((route) => route.path === path || route.aliases?.includes(path)).map((route) => route.method.toUpperCase());
  if (methods.length === 0) return new FluxError('not-found', 'No such route');
  const allow = methods.flatMap((method) => (method === 'GET' ? ['GET', 'HEAD'] : [method])).join(', ');
  return new HttpError('method-not-allowed', `This route answers ${allow}`, { allow });
}

function logAccess(logger: Logger, context: Context<Env>, started: number): void {
  const message = messageOf(context);
  const what = message === undefined ? `HTTP ${context.req.method} ${context.req.path}` : `NATS ${message.name}`;
  logger.info(`${what} ${context.res.status}`, {
    requestId: context.get('requestId'),
    actor: context.get('login')?.name ?? null,
    address: addressOf(context),
    milliseconds: Math.round(steadyNow() - started),
  });
}
