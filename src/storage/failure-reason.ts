/** The `data` of a store's `unavailable` error: the reason, and the outcome of the change, for programs. */

import { FluxError } from '../kernel/errors.ts';

/**
 * away: the store cannot be reached; lost: the connection broke, or no answer came in time; busy: the store is full or locked for the
 * moment; login, database, rights, tls, schema: the store stays unusable until an operator changes something; other: the statement itself
 * failed.
 */
export type FailureReason = 'away' | 'lost' | 'busy' | 'login' | 'database' | 'rights' | 'tls' | 'schema' | 'other';

export interface UnavailableData {
  /** differs: the store works, but this node has other endpoints of its own, and an operator has to decide which ones count */
  reason: FailureReason | 'differs';
  /** unknown: the change may have been stored */
  outcome: 'nothing-written' | 'unknown';
}

const LASTING: readonly UnavailableData['reason'][] = ['login', 'database', 'rights', 'tls', 'schema', 'differs'];

/** True when the store reported a lasting cause, such as a wrong password. A server that is away is none. */
export function isLasting(error: unknown): boolean {
  if (!(error instanceof FluxError) || error.kind !== 'unavailable') return false;
  const data = error.data as Partial<UnavailableData> | null;
  return data?.reason !== undefined && LASTING.includes(data.reason);
}
