/** Requests about bans (docs/bans.md). */

import type { BanChangeAnswer, BansAnswer } from '../../../answers/bans.ts';
import type { BanSubject } from '../../../endpoint/bans/ban.ts';
import type { RequestContext } from '../request-parts.ts';

/** Which bans a list shows. */
export interface BansQuery {
  /** beginning of the name, pattern or address */
  search?: string | undefined;
  by?: BanSubject | undefined;
  /** only those of this namespace alone */
  namespace?: string | undefined;
  /** where the former page ended */
  after?: string | undefined;
  /** bans at most, 1..1000 */
  limit: number;
}

/** Every method throws FluxError; `body` arguments are unvalidated JSON. */
export interface BanRequests {
  list(query: BansQuery): BansAnswer;
  /** Adds one ban, or a list of them as one change. A ban of the same subject is replaced. */
  add(body: unknown, context: RequestContext): Promise<BanChangeAnswer>;
  remove(body: unknown, context: RequestContext): Promise<BanChangeAnswer>;
}
