/** Reads the parts of a bus request that HTTP carries elsewhere: the query, the headers, and the actor. */

import { FluxError, type Issue } from '../../kernel/errors.ts';
import { parseJsonObject } from '../http/request.ts';
import type { BusRequest } from './bus-request.ts';

const ACTOR_LENGTH_MAX = 256;
/** Actor of a request that names none. */
const ANONYMOUS = 'anonymous';

/**
 * The query: the header `X-Query` has the text after the `?` of HTTP. The body of a read has further parameters, as an object.
 * @throws FluxError `invalid` for a body that is not an object of parameters, `too-large`
 */
export function parametersOf({ headers, body }: BusRequest, isRead: boolean): URLSearchParams {
  const parameters = new URLSearchParams(headers.get('x-query') ?? '');
  if (!isRead || body.byteLength === 0) return parameters;
  const issues: Issue[] = [];
  for (const [key, value] of Object.entries(parseJsonObject(body))) {
    if (typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean') parameters.append(key, String(value));
    else issues.push({ path: key, message: 'must be a string, a number, true or false' });
  }
  if (issues.length > 0) throw new FluxError('invalid', `The query is not valid: ${issues[0]?.path} ${issues[0]?.message}`, { issues });
  return parameters;
}

/**
 * The actor. The bus authorises the sender by the subject; the name in the header `X-Actor` is the sender's own claim.
 * @throws FluxError `invalid`
 */
export function actorOf({ headers }: BusRequest): string {
  const actor = headers.get('x-actor');
  if (actor === undefined) return ANONYMOUS;
  if (actor.trim() !== '' && actor.length <= ACTOR_LENGTH_MAX && !/\p{Cc}/u.test(actor)) return actor.trim();
  const issues = [{ path: 'X-Actor', message: `must be 1..${ACTOR_LENGTH_MAX} characters, none of them a control character` }];
  throw new FluxError('invalid', 'X-Actor is not valid', { issues });
}
