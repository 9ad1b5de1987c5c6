/** The common form of every JSON answer: `{code, message, data}` and, for failures, `error` (docs/admin-api.md). */

import { FluxError } from '../../kernel/errors.ts';
import type { Reply } from './route.ts';

/** Content type of every JSON answer. */
export const JSON_TYPE = 'application/json; charset=utf-8';

/** A reply as an HTTP response; its body ends with a newline, for terminals. */
export function toResponse(reply: Reply): Response {
  const status = reply.status ?? 200;
  const headers = { 'content-type': JSON_TYPE, ...reply.headers };
  if (status === 304) return new Response(null, { status, headers: reply.headers ?? {} });
  const missing = (reply.unreachable ?? []).map(({ node, reason }) => `${node}: ${reason}`).join('; ');
  const body = {
    code: reply.code ?? status,
    message: reply.message ?? (missing === '' ? 'Success' : `Partial: ${missing}`),
    data: reply.data ?? null,
    ...(missing === '' ? {} : { partial: true, unreachable: reply.unreachable }),
    ...(reply.error === undefined ? {} : { error: reply.error }),
  };
  return new Response(`${JSON.stringify(body)}\n`, { status, headers });
}

/**
 * A thrown value as a reply. An error that is no FluxError, or is `internal`, reveals no details; the log has them under the request id.
 * @param requestId shown in the message of an internal error
 */
export function toFailure(error: unknown, requestId: string): Reply {
  if (!(error instanceof FluxError) || error.kind === 'internal') {
    const message = `Internal error; the log has more under request id ${requestId}`;
    return { status: 500, message, data: null, error: { kind: 'internal', issues: [] } };
  }
  const reply: Reply = {
    status: error.status,
    message: error.message,
    data: error.data,
    error: { kind: error.kind, issues: error.issues },
  };
  return { ...reply, headers: failureHeaders(error) };
}

/** An error that sets response headers (Allow, Retry-After, WWW-Authenticate). */
export class HttpError extends FluxError {
  readonly headers: Record<string, string>;

  constructor(kind: FluxError['kind'], message: string, headers: Record<string, string>) {
    super(kind, message);
    this.headers = headers;
  }
}

function failureHeaders(error: FluxError): Record<string, string> {
  return error instanceof HttpError ? error.headers : {};
}
