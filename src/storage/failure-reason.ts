/** What an `unavailable` of a store tells a program, in its `data`: why, and what became of the change. */

import { FluxError } from '../kernel/errors.ts';

/**
 * away: it cannot be reached; lost: the connection broke, or there was no answer in time; busy: it has no room or is locked, and may have soon;
 * login, database, rights, tls, schema: it will not work before somebody changes something; other: an error of the statement itself.
 */
export type FailureReason = 'away' | 'lost' | 'busy' | 'login' | 'database' | 'rights' | 'tls' | 'schema' | 'other';

export interface UnavailableData {
  /** differs: the store works, but this node has endpoints of its own that somebody has to decide about */
  reason: FailureReason | 'differs';
  /** unknown: the change may have been stored */
  outcome: 'nothing-written' | 'unknown';
}

const LASTING: readonly UnavailableData['reason'][] = ['login', 'database', 'rights', 'tls', 'schema', 'differs'];

/** True when the store said why it cannot be used, and that will not pass by itself: a wrong password, not a server that is away. */
export function isLasting(error: unknown): boolean {
  if (!(error instanceof FluxError) || error.kind !== 'unavailable') return false;
  const data = error.data as Partial<UnavailableData> | null;
  return data?.reason !== undefined && LASTING.includes(data.reason);
}
