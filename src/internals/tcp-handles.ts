/** Connections and servers on libuv's TCP handles, without Node's stream layer. Where a piece is missing, callers use `net` sockets. */

import type net from 'node:net';
import { getSystemErrorName } from 'node:util';
import { bindingOf, hasMethod, lackingOf, type Pieces } from './bindings.ts';

/** libuv's UV_EOF. */
export const END_OF_FILE = -4095;

/** An accepted connection, as Node's own net module uses it. @typeParam Owner what serves the connection */
export interface TcpHandle<Owner = unknown> {
  /** file descriptor; negative where the system has none */
  readonly fd: number;
  onread: (this: TcpHandle<Owner>) => void;
  /** The owner of the handle: all handles share their callbacks, without a closure each. Node does not know this property. */
  fluxmq: Owner | undefined;
  useUserBuffer(buffer: Uint8Array): void;
  readStart(): number;
  readStop(): number;
  writeBuffer(request: WriteRequest<Owner>, bytes: Uint8Array): number;
  shutdown(request: ShutdownRequest): number;
  close(then?: (this: TcpHandle<Owner>) => void): void;
  reset(then?: (this: TcpHandle<Owner>) => void): number;
  setNoDelay(on: boolean): number;
  setKeepAlive(on: boolean, seconds: number): number;
  getpeername(out: { address?: string }): number;
}

export interface ServerHandle<Owner = unknown> extends Pick<TcpHandle, 'setNoDelay' | 'setKeepAlive'> {
  onconnection: (error: number, handle: TcpHandle<Owner> | undefined) => void;
}

export interface WriteRequest<Owner = unknown> {
  handle?: TcpHandle<Owner>;
  /** keeps the bytes alive until the kernel has taken them */
  bytes?: Uint8Array;
  oncomplete?: (this: WriteRequest<Owner>, status: number) => void;
}

/** Keeps nothing and has no callback: the peer's close or a deadline ends the connection. */
export type ShutdownRequest = object;

export interface StreamBinding {
  WriteWrap: new <Owner>() => WriteRequest<Owner>;
  ShutdownWrap: new () => ShutdownRequest;
  /** results of the last call, and of the read whose callback is running */
  streamBaseState: Int32Array;
  kReadBytesOrError: number;
  kLastWriteWasAsync: number;
}

const STREAM_PIECES: Pieces = {
  WriteWrap: 'function',
  ShutdownWrap: 'function',
  streamBaseState: 'object',
  kReadBytesOrError: 'number',
  kLastWriteWasAsync: 'number',
};

/** Methods that both a server's handle and a connection's handle have. */
const METHODS = [
  'useUserBuffer',
  'readStart',
  'readStop',
  'writeBuffer',
  'shutdown',
  'close',
  'reset',
  'setNoDelay',
  'setKeepAlive',
  'getpeername',
];

/** @returns the pieces that this Node lacks for reading and writing on handles */
export function lackingForHandles(): string[] {
  const methods = Object.fromEntries(METHODS.map((name) => [`TCP.${name}`, 'function' as const]));
  const lacking = [...lackingOf('stream_wrap', STREAM_PIECES), ...lackingOf('tcp_wrap', methods)];
  if (lacking.length === 0 && !(bindingOf('stream_wrap')['streamBaseState'] instanceof Int32Array))
    lacking.push('stream_wrap.streamBaseState');
  if (getSystemErrorName(END_OF_FILE) !== 'EOF') lacking.push('UV_EOF');
  return lacking;
}

/** null: this Node lacks a piece, and connections use sockets */
export const streams: StreamBinding | null =
  lackingForHandles().length === 0 ? (bindingOf('stream_wrap') as unknown as StreamBinding) : null;

/** A server that listens on a libuv handle. */
interface HandledServer {
  _handle?: (ServerHandle & { listen?(backlog: number): number }) | null;
}

/** The handle of a listening server; null when it is not as expected. */
export function serverHandleOf<Owner>(server: net.Server): ServerHandle<Owner> | null {
  const handle = (server as unknown as HandledServer)._handle;
  if (!handle || typeof handle.onconnection !== 'function') return null;
  return METHODS.every((name) => hasMethod(handle, name)) ? (handle as unknown as ServerHandle<Owner>) : null;
}

/** File descriptor of a socket; -1 when this Node does not show it. */
export function descriptorOf(socket: net.Socket): number {
  return (socket as unknown as { _handle?: { fd?: number } | null })._handle?.fd ?? -1;
}

/**
 * Sets the backlog of a listening server: a second listen(2) changes the backlog and nothing else. Node has no public call for it.
 * @returns false when this Node lacks the piece: the backlog stays as it was
 */
export function relisten(server: net.Server, backlog: number): boolean {
  const handle = (server as unknown as HandledServer)._handle;
  if (!handle || !hasMethod(handle, 'listen')) return false;
  handle.listen?.(backlog);
  return true;
}
