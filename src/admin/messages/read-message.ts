/** Reads of a message what HTTP has in other places: the query, the headers, and who asks. */

import { FluxError, type Issue } from '../../kernel/errors.ts';
import { parseJsonObject } from '../http/request.ts';
import type { Message } from './contract.ts';

const ACTOR_LENGTH_MAX = 256;
/** Who does not say who it is. */
const ANONYMOUS = 'anonymous';

/**
 * The query: what HTTP has after the `?` is the header `X-Query`; of a read also the body, an object with a value for each parameter.
 * @throws FluxError `invalid` for a body that is none, `too-large`
 */
export function parametersOf({ headers, body }: Message, isRead: boolean): URLSearchParams {
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
 * Whoever may publish to the subject may do what it stands for; the header `X-Actor` is its word for who it is.
 * @throws FluxError `invalid`
 */
export function actorOf({ headers }: Message): string {
  const actor = headers.get('x-actor');
  if (actor === undefined) return ANONYMOUS;
  if (actor.trim() !== '' && actor.length <= ACTOR_LENGTH_MAX && !/\p{Cc}/u.test(actor)) return actor.trim();
  const issues = [{ path: 'X-Actor', message: `must be 1..${ACTOR_LENGTH_MAX} characters, none of them a control character` }];
  throw new FluxError('invalid', 'X-Actor is not valid', { issues });
}
