/** The admin API as a Hono application: checks, routes, and the one place where errors become answers. */

import { tmpdir } from 'node:os';
import { type Context, Hono } from 'hono';
import { getPath } from 'hono/utils/url';
import type { ControlPlane } from '../control/contract/control-plane.ts';
import type { RequestContext } from '../control/contract/request-parts.ts';
import { steadyNow } from '../kernel/clock.ts';
import { within } from '../kernel/deadline.ts';
import { FluxError } from '../kernel/errors.ts';
import { Upload } from '../kernel/input/upload.ts';
import type { Logger } from '../kernel/logger.ts';
import type { Settings } from '../settings/settings.ts';
import type { BusRequest } from './bus/bus-request.ts';
import { actorOf, parametersOf } from './bus/read-request.ts';
import { type AuditedRequest, noteRequest } from './http/audited.ts';
import { HttpError, toFailure, toResponse } from './http/envelope.ts';
import { addSecurityHeaders, refuseForeign } from './http/guard.ts';
import { describeApi } from './http/openapi.ts';
import { type Forwarded, Proxies } from './http/proxies.ts';
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
  streamBody,
} from './http/request.ts';
import type { Call, Reply, Route } from './http/route.ts';
import { parseOrRefuse } from './http/validation.ts';
import { accessOf, checkRole } from './login/access-table.ts';
import { type CertifiedSocket, certifiedNames } from './login/certified.ts';
import type { Login } from './login/identity.ts';
import { LoginDesk } from './login/login.ts';
import { accessRoutes } from './routes/access/acl.ts';
import { adminRoutes } from './routes/access/admins.ts';
import { auditRoutes } from './routes/access/audit.ts';
import { banRoutes } from './routes/access/bans.ts';
import { keyRoutes } from './routes/access/keys.ts';
import { loginRoutes } from './routes/access/login.ts';
import { nodeAccessRoutes } from './routes/access/node-access.ts';
import { userRoutes } from './routes/access/users.ts';
import { changeRoutes } from './routes/changes.ts';
import { clusterRoutes } from './routes/cluster.ts';
import { docsRoutes } from './routes/docs.ts';
import { endpointRoutes } from './routes/endpoints.ts';
import { messageRoutes } from './routes/messages.ts';
import { restoringRoutes } from './routes/restoring.ts';
import { systemRoutes } from './routes/system.ts';
import { transferRoutes } from './routes/transfer.ts';
import { watchRoutes } from './routes/watch.ts';

export interface AppOptions {
  settings: Settings;
  control: ControlPlane;
  logger: Logger;
  /** directory URL of the static files, with a final slash */
  staticRoot: URL;
}

/** The sender's side of a request; absent when the application is called without a socket. */
interface Bindings {
  /** from @hono/node-server */
  incoming?: { httpVersion?: string; socket: { remoteAddress?: string | undefined } & Partial<CertifiedSocket> };
  /** from the bus desk: the request came over the bus instead of HTTP */
  busRequest?: BusRequest;
}

interface Env {
  Bindings: Bindings;
  Variables: {
    requestId: string;
    login: Login | undefined;
    forwarded: Forwarded;
    /** author of a request over the bus */
    actor: string | undefined;
    /** body and query, as far as they were read */
    given: Record<string, unknown> | undefined;
  };
}

/** Time beyond `?timeout=` after which a change that has not answered gets a timeout answer, milliseconds. */
const GRACE_MS = 5000;

export type AdminApp = Hono<Env>;

/** All routes of the API. */
export function createRoutes(options: AppOptions, desk: LoginDesk): Route[] {
  const { control } = options;
  const routes: Route[] = [
    ...changeRoutes(control),
    ...restoringRoutes(control),
    ...transferRoutes(control),
    ...endpointRoutes(control),
    ...watchRoutes(control),
    ...messageRoutes(control),
    ...accessRoutes(control),
    ...nodeAccessRoutes(control),
    ...userRoutes(control),
    ...banRoutes(control),
    ...adminRoutes(control),
    ...keyRoutes(control),
    ...auditRoutes(control),
    ...systemRoutes(control),
    ...clusterRoutes(control),
    ...loginRoutes(desk),
  ];
  let description: unknown;
  const docs = docsRoutes(options.staticRoot, () => {
    description ??= describeApi([...routes, ...docs], control.reads.version);
    return description;
  });
  const all = [...routes, ...docs];
  // A route without a role must not wait for its first request to fail.
  for (const route of all) accessOf(route);
  return all;
}

/**
 * The application, testable without a socket: `app.request(path, init)`.
 * @throws FluxError `invalid` when the login settings cannot be used
 */
export function createApp(options: AppOptions): AdminApp {
  const { settings, logger } = options;
  const desk = new LoginDesk(settings.http, logger, options.control.logins);
  const routes = createRoutes(options, desk);
  const proxies = new Proxies(settings.http.trustedProxies, settings.http.basePath);
  const app = new Hono<Env>({
    getPath: (request, env) => {
      const { prefix } = proxies.read(peerOf(env?.env as Bindings | undefined), request.headers);
      return proxies.routeOf(getPath(request), prefix);
    },
  });

  app.use(async (context, next) => {
    const started = steadyNow();
    const requestId = requestIdOf(headerOf(context, 'x-request-id'));
    context.set('requestId', requestId);
    context.set('forwarded', proxies.read(peerOf(context.env), context.req.raw.headers));
    await next();
    // HEAD answers like GET without the body. Without this cancel, a streamed answer would stay open.
    if (context.req.raw.method === 'HEAD') await context.res.body?.cancel();
    context.res.headers.set('x-request-id', requestId);
    addSecurityHeaders(context.res.headers);
    if (settings.http.accessLog) logAccess(logger, context, started);
  });
  app.use(async (context, next) => {
    if (busRequestOf(context) === undefined && !isProbe(routes, context)) {
      const { method, headers } = context.req.raw;
      const needsHost = bindingsOf(context)?.incoming?.httpVersion === '1.1';
      refuseForeign({ method, headers, host: context.get('forwarded').host, needsHost }, desk.required);
    }
    await next();
  });
  for (const route of routes) {
    const handler = async (context: Context<Env>): Promise<Response> => {
      try {
        const response = await answer(route, context, options, desk);
        noteRequest(options.control.audit, auditedOf(route, context), response, null);
        return response;
      } catch (error) {
        noteRequest(options.control.audit, auditedOf(route, context), null, error);
        throw error;
      }
    };
    for (const path of [route.path, ...(route.aliases ?? [])]) app.on(route.method.toUpperCase(), path, handler);
  }
  app.notFound((context) => {
    const { method, path } = context.req;
    const allow = allowedOn(routes, path);
    if (method === 'OPTIONS' && allow !== null) return new Response(null, { status: 204, headers: { allow } });
    return toResponse(toFailure(unknownRoute(allow), context.get('requestId')));
  });
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
  const busRequest = busRequestOf(context);
  const { address } = context.get('forwarded');
  const access = accessOf(route);
  if (busRequest === undefined && access !== 'public') {
    const login = await desk.identify(req.header('authorization'), address, certifiedNames(bindingsOf(context)?.incoming?.socket));
    context.set('login', login);
    checkRole(access, login.role);
  }
  const refusals = new Refusals();
  const parameters = busRequest === undefined ? new URL(req.url).searchParams : parametersOf(busRequest, route.body === null);
  const { query, timeoutMs, confirmWithinMs, spread } = readQuery(route, parameters, refusals);
  const condition = refusals.of(() => parseIfMatch(route.change ? headerOf(context, 'if-match') : undefined), {
    revision: null,
    mustExist: false,
  });
  const reason = refusals.of(() => parseReason(route.change ? headerOf(context, 'x-reason') : undefined), null);
  const actor = busRequest === undefined ? (context.get('login')?.name ?? 'local') : refusals.of(() => actorOf(busRequest), '');
  context.set('actor', actor);
  context.set('given', Object.fromEntries(parameters));
  refusals.throwIfAny();
  const body = route.body === null ? {} : await readBody(context, route, uploadFolder(options.settings));
  if (!(body instanceof Upload)) context.set('given', { ...context.get('given'), ...(reason === null ? {} : { reason }), ...body });
  const call: Call = {
    context: {
      actor,
      source: busRequest === undefined ? 'http' : 'nats',
      requestId: context.get('requestId'),
      reason,
      expectedRevision: condition.revision,
      timeoutMs,
      ...(confirmWithinMs === undefined ? {} : { confirmWithinMs }),
      ...spread,
    },
    mustExist: condition.mustExist,
    ifNoneMatch: headerOf(context, 'if-none-match') ?? null,
    isAdmin: busRequest !== undefined || context.get('login')?.role === 'admin',
    lastEventId: headerOf(context, 'last-event-id') ?? null,
    address,
    root: rootOf(context),
  };
  const running = route.run(query, body, call);
  if (body instanceof Upload) void running.catch(() => {}).finally(() => body.close());
  const reply = await withDeadline(running, timeoutMs, route.change);
  return reply instanceof Response ? reply : toResponse(reply);
}

function auditedOf(route: Route, context: Context<Env>): AuditedRequest {
  return {
    route,
    isBus: busRequestOf(context) !== undefined,
    actor: context.get('actor') ?? null,
    login: context.get('login'),
    address: context.get('forwarded').address,
    userAgent: headerOf(context, 'user-agent'),
    given: context.get('given') ?? {},
    requestId: context.get('requestId'),
  };
}

function bindingsOf(context: Context<Env>): Bindings | undefined {
  return context.env;
}

function busRequestOf(context: Context<Env>): BusRequest | undefined {
  return bindingsOf(context)?.busRequest;
}

/** Address of the socket's other end; null without a socket. */
function peerOf(bindings: Bindings | undefined): string | null {
  return bindings?.incoming?.socket.remoteAddress ?? null;
}

/** A header with one character for each byte, as the HTTP library delivers it. */
function headerOf(context: Context<Env>, name: string): string | undefined {
  const busRequest = busRequestOf(context);
  if (busRequest === undefined) return context.req.header(name);
  const value = busRequest.headers.get(name);
  return value === undefined ? undefined : Buffer.from(value).toString('latin1');
}

/** Folder for large uploads while they are read. */
function uploadFolder({ store }: Settings): string {
  return store.storeType === 'MEMORY' ? tmpdir() : store.local.dataPath;
}

async function readBody(context: Context<Env>, route: Route, folder: string): Promise<Record<string, unknown> | Upload> {
  const busRequest = busRequestOf(context);
  if (route.file === undefined)
    return busRequest === undefined
      ? readJsonObject(context.req.raw, route.bodyMaxBytes)
      : parseJsonObject(busRequest.body, route.bodyMaxBytes);
  const bytes = busRequest === undefined ? streamBody(context.req.raw, route.bodyMaxBytes ?? 0) : [busRequest.body];
  const upload = await Upload.take(bytes, folder);
  if (route.file === 'upload') return upload;
  try {
    return await upload.document();
  } finally {
    await upload.close();
  }
}

interface ReadQuery {
  query: unknown;
  timeoutMs: number;
  confirmWithinMs: number | undefined;
  spread: Pick<RequestContext, 'wait' | 'policy'>;
}

/** @param refusals collects the problems */
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

/** The control plane keeps the deadline of a change. This later deadline answers the client if the control plane fails to. */
function withDeadline(work: Promise<Reply | Response>, timeoutMs: number, change: boolean): Promise<Reply | Response> {
  const milliseconds = change ? timeoutMs + GRACE_MS : timeoutMs;
  const hint = change ? '; the change may still happen, see /api/endpoints/history' : '';
  // The same data as for a store that did not answer in time (storage/failure-reason.ts), so that a program need not read the text.
  const options = change ? { data: { reason: 'lost', outcome: 'unknown' } } : {};
  return within(milliseconds, work, () => new FluxError('timeout', `No answer within ${milliseconds} ms${hint}`, options));
}

/** The methods of a path in the form of Allow; null when no route has the path. */
function allowedOn(routes: Route[], path: string): string | null {
  const methods = routes.filter((route) => route.path === path || route.aliases?.includes(path)).map((route) => route.method.toUpperCase());
  if (methods.length === 0) return null;
  return [...methods.flatMap((method) => (method === 'GET' ? ['GET', 'HEAD'] : [method])), 'OPTIONS'].join(', ');
}

/** 405 with Allow when the path is known under another method, else 404. */
function unknownRoute(allow: string | null): FluxError {
  if (allow === null) return new FluxError('not-found', 'No such route');
  return new HttpError('method-not-allowed', `This route answers ${allow}`, { allow });
}

/** Health checks of load balancers send any Host, or none. OPTIONS reveals nothing beyond the documentation. */
function isProbe(routes: Route[], { req }: Context<Env>): boolean {
  if (req.raw.method === 'OPTIONS') return true;
  const isRead = req.raw.method === 'GET' || req.raw.method === 'HEAD';
  return isRead && routes.some((route) => route.anyHost === true && route.path === req.path);
}

/** See Call.root. */
function rootOf(context: Context<Env>): string {
  const { pathname } = new URL(context.req.url);
  const { prefix } = context.get('forwarded');
  if (prefix !== '') return `${prefix}/`;
  if (context.req.path === '/') return './';
  return pathname.endsWith('/') ? '../' : './';
}

function logAccess(logger: Logger, context: Context<Env>, started: number): void {
  const busRequest = busRequestOf(context);
  const what = busRequest === undefined ? `HTTP ${context.req.method} ${context.req.path}` : `NATS ${busRequest.name}`;
  logger.info(`${what} ${context.res.status}`, {
    requestId: context.get('requestId'),
    actor: context.get('login')?.name ?? null,
    address: peerOf(bindingsOf(context)) === null ? null : context.get('forwarded').address,
    milliseconds: Math.round(steadyNow() - started),
  });
}
