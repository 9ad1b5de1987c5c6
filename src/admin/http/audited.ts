/** Which requests the audit keeps, and what an entry says (docs/audit.md). */

import type { AuditRequests } from '../../control/contract/access/audit-requests.ts';
import { FluxError } from '../../kernel/errors.ts';
import type { Login } from '../login/identity.ts';
import type { Route } from './route.ts';

/** Routes with a body that change nothing. */
const ASKS: ReadonlySet<string> = new Set(['/api/endpoints/plan', '/api/endpoints/validate-config', '/api/acl/test', '/api/check']);
/** Messages are no changes of the broker, and may be very many. */
const MESSAGES = '/api/publish';
/** How the command line calls itself. */
const CLI_AGENT = 'fluxmq-cli';
/** Refusals for lack of a login or a right. */
const DENIED: readonly number[] = [401, 403, 429];

/** The sender's side of a request. */
export interface AuditedRequest {
  route: Pick<Route, 'method' | 'path'>;
  isBus: boolean;
  /** over NATS: the name in X-Actor */
  actor: string | null;
  login: Login | undefined;
  address: string;
  userAgent: string | undefined;
  /** body and query, as far as they were read */
  given: Record<string, unknown>;
  requestId: string;
}

/** Notes a request that was answered, or refused with `error`, if the audit keeps such ones. */
export function noteRequest(audit: AuditRequests, request: AuditedRequest, response: Response | null, error: unknown): void {
  const { route, isBus, login, given, requestId } = request;
  const status = error === null ? (response?.status ?? 200) : error instanceof FluxError ? error.status : 500;
  const kind = error === null ? null : error instanceof FluxError ? error.kind : 'internal';
  const isWriting = route.method !== 'get' && !ASKS.has(route.path) && (kind !== null || route.path !== MESSAGES);
  if (!isWriting && !DENIED.includes(status)) return;
  const revision = /^"(\d+)"$/.exec(response?.headers.get('etag') ?? '')?.[1];
  const isLogin = route.path === '/public/login' && kind === null && typeof given['username'] === 'string';
  audit.note({
    actor: isBus ? request.actor : (login?.name ?? (isLogin ? String(given['username']) : null)),
    role: login?.role ?? null,
    address: isBus ? null : request.address,
    source: isBus ? 'nats' : request.userAgent?.startsWith(CLI_AGENT) === true ? 'cli' : 'http',
    action: `${route.method.toUpperCase()} ${route.path}`,
    given,
    status,
    error: kind,
    revision: revision === undefined ? null : Number(revision),
    requestId,
  });
}
