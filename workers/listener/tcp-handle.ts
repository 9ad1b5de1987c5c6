/** TCP connections on libuv's handles, without Node's stream layer: one buffer to read for the whole worker, one system call a write. */

import type net from 'node:net';
import { getSystemErrorName } from 'node:util';
import type { Connection, ConnectionClient } from '../connection.ts';

/** A peer that does not close its side, or does not read what is left, is cut off after this time. */
const END_DEADLINE_MS = 5_000;
/** Every read of every connection goes here; clients copy what they keep. */
const READ_BYTES = 64 * 1024;
const END_OF_FILE = -4095;

/** What Node's net module itself uses of a TCP handle; not documented, so each piece is looked for before it is used. */
interface TcpHandle {
  onread: (this: TcpHandle) => void;
  /** what is ours */
  fluxmq?: HandleConnection;
  useUserBuffer(buffer: Uint8Array): void;
  readStart(): number;
  readStop(): number;
  writeBuffer(request: WriteRequest, bytes: Uint8Array): number;
  shutdown(request: ShutdownRequest): number;
  close(then?: (this: TcpHandle) => void): void;
  reset(then?: (this: TcpHandle) => void): number;
  setNoDelay(on: boolean): number;
  setKeepAlive(on: boolean, seconds: number): number;
  getpeername(out: { address?: string }): number;
}

interface ServerHandle {
  onconnection: (error: number, handle: TcpHandle | undefined) => void;
  setNoDelay(on: boolean): number;
  setKeepAlive(on: boolean, seconds: number): number;
}

interface WriteRequest {
  handle?: TcpHandle;
  /** keeps the bytes alive while the kernel has not taken them */
  bytes?: Uint8Array;
  oncomplete?: (this: WriteRequest, status: number) => void;
}

interface ShutdownRequest {
  handle?: TcpHandle;
  oncomplete?: (this: ShutdownRequest, status: number) => void;
}

interface StreamBinding {
  WriteWrap: new () => WriteRequest;
  ShutdownWrap: new () => ShutdownRequest;
  /** results of the last call and of the read that is being told */
  streamBaseState: Int32Array;
  kReadBytesOrError: number;
  kLastWriteWasAsync: number;
}
