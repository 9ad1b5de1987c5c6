/** Waits for the first bytes of accepted connections, and shows them unread. */

import type { TcpHandle } from '../../../src/internals/tcp-handles.ts';
import type { Guard } from '../../../src/internals/uws/contract.ts';
import { HEAD_BYTES_MAX } from '../websocket/http-upgrade.ts';

/** A request and the empty line at its end. */
const PEEK_BYTES = HEAD_BYTES_MAX + 4;
/** A buffer without room: libuv reports that bytes have come, and leaves them unread. */
const NO_ROOM = Buffer.alloc(0);

let peeked: Buffer | null = null;

/** An accepted connection without a first byte. */
export interface Arriving {
  /** Bytes, the end of the input or an error have come. Called once. */
  onArrival(): void;
}

/** Begins to wait; a close of the handle ends the wait. @returns false: the connection has failed */
export function awaitArrival(handle: TcpHandle<Arriving>, arriving: Arriving): boolean {
  handle.fluxmq = arriving;
  handle.onread = onArrival;
  handle.useUserBuffer(NO_ROOM);
  return handle.readStart() === 0;
}

function onArrival(this: TcpHandle<Arriving>): void {
  const arriving = this.fluxmq;
  this.readStop();
  this.fluxmq = undefined;
  arriving?.onArrival();
}

/** The bytes that have come, still to be read; valid until the next call. Empty: the input has ended. Null: nothing has come, or an error. */
export function peekArrived(guard: Guard, { fd }: TcpHandle): Buffer | null {
  peeked ??= Buffer.allocUnsafeSlow(PEEK_BYTES);
  const size = guard.peek(fd, peeked);
  return size < 0 ? null : peeked.subarray(0, size);
}
