/** What routes that change documents have in common: the reason, If-Match, and their description. */

import type { z } from '@hono/zod-openapi';
import type { RequestContext } from '../../../control/contract/request-parts.ts';
import { Problems } from '../../../endpoint/problems.ts';
import { FluxError } from '../../../kernel/errors.ts';
import { type Call, controlRoute, type Reply, type Route, type RouteInfo } from '../../http/route.ts';
import { etagHeaders } from '../restoring.ts';

/** A change of documents. */
export type DocumentChangeCall = (body: unknown, context: RequestContext) => Promise<{ revision: number | null }>;

/** Takes a reason from the body, too. */
export async function runDocumentChange(change: DocumentChangeCall, body: unknown, { context, mustExist }: Call): Promise<Reply> {
  if (mustExist)
    throw new FluxError('invalid', 'If-Match: * is not for this: name a revision', {
      issues: [{ path: 'If-Match', message: 'must be a revision' }],
    });
  const given = (body as { reason?: unknown }).reason;
  if (given !== undefined && (typeof given !== 'string' || given.length > 1000))
    throw new FluxError('invalid', 'Invalid body: reason: must be a text', {
      issues: [{ path: 'reason', message: 'must be a text of at most 1000 characters' }],
    });
  const data = await change(body, { ...context, reason: (given as string | undefined) ?? context.reason });
  return { data, ...etagHeaders(data.revision) };
}

/** Declares a route that removes a document. Another key may be meant as a condition, such as dryRun: it is refused, and nothing is removed. */
export function removeRoute(
  path: string,
  summary: string,
  body: { schema: z.ZodObject; example: Record<string, unknown> },
  remove: DocumentChangeCall,
  more: Parameters<typeof documentRoute>[5],
): Route {
  const known = Object.keys(body.schema.shape);
  const strictly: DocumentChangeCall = async (input, context) => {
    const problems = new Problems();
    for (const key of Object.keys(input as object)) if (!known.includes(key)) problems.addUnknownKey(key);
    problems.throwIfAny('body');
    return remove(input, context);
  };
  return documentRoute('post', path, summary, body, strictly, more);
}

/** Declares a route that changes documents. */
export function documentRoute(
  method: 'post' | 'put',
  path: string,
  summary: string,
  body: Route['body'] & object,
  change: DocumentChangeCall,
  more: Pick<RouteInfo, 'bodyMaxBytes' | 'file'> & { data: z.ZodType; tag: string },
): Route {
  const { data, tag, ...rest } = more;
  const info: RouteInfo = { method, path, tag, summary, statuses: [404, 409, 412, 413, 503], ...rest };
  return controlRoute({ ...info, body, change: true, answer: { data } }, (input, call) => runDocumentChange(change, input, call));
}
