/** Waits for the first bytes of accepted descriptors in this thread, and shows them unread. */

import type { Guard } from '../../../src/internals/uws/contract.ts';
import { HEAD_BYTES_MAX } from '../websocket/http-upgrade.ts';

/** A request and the empty line at its end. */
const PEEK_BYTES = HEAD_BYTES_MAX + 4;

const waiting = new Map<number, () => void>();
let peeked: Buffer | null = null;
let isReady = false;

/** Calls `then` once, when bytes, the end of the input or an error have come. @throws the error of the system */
export function awaitArrival(guard: Guard, fd: number, then: () => void): void {
  if (!isReady) {
    isReady = true;
    guard.onArrival(onArrival);
  }
  guard.await(fd);
  waiting.set(fd, then);
}

/** Ends the wait without a call. */
export function forgetArrival(guard: Guard, fd: number): void {
  waiting.delete(fd);
  guard.forget(fd);
}

/** The bytes that have come, still to be read; valid until the next call. Empty: the input has ended, or failed. */
export function peekArrived(guard: Guard, fd: number): Buffer {
  peeked ??= Buffer.allocUnsafeSlow(PEEK_BYTES);
  return peeked.subarray(0, Math.max(0, guard.peek(fd, peeked)));
}

function onArrival(fd: number): void {
  const then = waiting.get(fd);
  waiting.delete(fd);
  then?.();
}
