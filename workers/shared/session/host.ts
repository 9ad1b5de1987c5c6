/** The part of a worker that its sessions call. */

import type { DurableOp } from '../wire/controls.ts';
import type { PendingWill } from './pending-will.ts';

/** Why a message for a session is dropped. */
export type DropReason = 'queue_full' | 'queue_bytes' | 'memory' | 'slow_consumer' | 'expired' | 'packet_too_large' | 'acl_denied';

/** `S` is the class Session, which imports this file. */
export interface HostOf<S> {
  onDrop(session: S, reason: DropReason, count: number): void;
  /** The reason why `bytes` more may not wait for the session; null when they may. */
  refuseBytes(session: S, bytes: number): DropReason | null;
  /** Bytes that may be in flight to the session. */
  flightBytes(session: S): number;
  /** A session of so many bytes has moved to another thread, which counts it from now on. */
  onMoved(bytes: number): void;
  /** A change that must go to disk; called only while isDurable. */
  onDurable(session: S, op: DurableOp): void;
  /** Like onDurable(); resolves when the change is on disk. */
  whenDurable(session: S, op: DurableOp): Promise<void>;
  /** Whether the rules still allow the session's will; the host counts and logs a denial. */
  mayPublishWill(session: S, will: PendingWill): boolean;
}
