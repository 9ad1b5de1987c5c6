/** Requests about the node-wide authenticators (`auth`) and rules (`acl`), docs/access.md. */

import type { AccessChangeAnswer, AccessHistoryAnswer, AccessView } from '../../../answers/access.ts';
import type { RequestContext } from '../request-parts.ts';

type Part = 'auth' | 'acl';

/** Every method throws FluxError; `body` arguments are unvalidated JSON. */
export interface AccessRequests {
  get(part: Part): AccessView;
  update(part: Part, body: unknown, context: RequestContext): Promise<AccessChangeAnswer>;
  /** Returns to that of the configuration file. */
  remove(part: Part, context: RequestContext): Promise<AccessChangeAnswer>;
  history(part: Part, limit: number, before: number | undefined): Promise<AccessHistoryAnswer>;
  rollback(part: Part, body: unknown, context: RequestContext): Promise<AccessChangeAnswer>;
}
