/** Requests about the users in the store (docs/users.md). */

import type { ImportUsersAnswer, UserAnswer, UserChangeAnswer, UserHistoryAnswer, UsersAnswer } from '../../../answers/users.ts';
import type { RequestContext } from '../request-parts.ts';

/** Which users a list shows. */
export interface UsersQuery {
  /** beginning of the user name or client identifier */
  search?: string | undefined;
  namespace?: string | undefined;
  /** where the former page ended */
  after?: string | undefined;
  /** users at most, 1..1000 */
  limit: number;
}

/** Every method throws FluxError; `body` arguments are unvalidated JSON. */
export interface UserRequests {
  list(query: UsersQuery): UsersAnswer;
  /** As `list`, with the hashes, for a file that `import` takes. */
  exportPage(query: UsersQuery): UsersAnswer;
  get(id: unknown): UserAnswer;
  add(body: unknown, context: RequestContext): Promise<UserChangeAnswer>;
  /** Keys that the body lacks keep their value. */
  update(body: unknown, context: RequestContext): Promise<UserChangeAnswer>;
  remove(body: unknown, context: RequestContext): Promise<UserChangeAnswer>;
  importAll(body: unknown, context: RequestContext): Promise<ImportUsersAnswer>;
  history(limit: number, before: number | undefined): Promise<UserHistoryAnswer>;
  rollback(body: unknown, context: RequestContext): Promise<ImportUsersAnswer>;
}
