/** The `data` of a store's `unavailable` error: the reason, and the outcome of the change, for programs. */

import type { FailureReason } from '../database/connection.ts';
import { FluxError } from '../kernel/errors.ts';

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
