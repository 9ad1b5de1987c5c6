/**
 * Listening sockets that cross threads. Main binds and keeps each socket, and never accepts. A worker gets a duplicate and accepts from it.
 * The kernel keeps the socket and its accept queue while any duplicate is open, so that the end of a worker resets no connection.
 * Duplicates travel over a Unix socket in a private folder, as handles of child processes do. Node has no documented way to give a
 * listening socket to a thread of the same process, so there is no fallback.
 */

import { closeSync, mkdtempSync, openSync, rmSync } from 'node:fs';
import { isIPv6 } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { getSystemErrorMap } from 'node:util';
import { FluxError } from '../kernel/errors.ts';
import { bindingOf, lackingOf } from './bindings.ts';

/** One thread's duplicate of a socket. `net.Server.listen()` takes it and owns it from then on. */
export interface SocketHandle {
  readonly fd: number;
  close(): void;
}

interface BoundHandle extends SocketHandle {
  bind(address: string, port: number, flags: number): number;
  bind6(address: string, port: number, flags: number): number;
  getsockname(out: { port?: number }): number;
}

interface PipeHandle {
  readonly fd: number;
  pendingHandle?: SocketHandle | null;
  onread: () => void;
  onconnection: (status: number, accepted: PipeHandle | undefined) => void;
  bind(path: string): number;
  listen(backlog: number): number;
  open(fd: number): number;
  connect(request: ConnectRequest, path: string): number;
  readStart(): number;
  writeUtf8String(request: WriteRequest, text: string, handle: SocketHandle): number;
  close(): void;
}

interface ConnectRequest {
  oncomplete?: (status: number) => void;
}

interface WriteRequest {
  oncomplete?: (status: number) => void;
}

interface Bindings {
  tcp: { TCP: new (kind: number) => BoundHandle; constants: { SERVER: number; UV_TCP_REUSEPORT: number } };
  pipe: {
    Pipe: new (kind: number) => PipeHandle;
    PipeConnectWrap: new () => ConnectRequest;
    constants: { SERVER: number; IPC: number };
  };
  stream: { WriteWrap: new () => WriteRequest; streamBaseState: Int32Array; kReadBytesOrError: number };
}

let found: Bindings | null = null;

/** @throws FluxError `internal` when this Node lacks a piece */
function bindings(): Bindings {
  if (found !== null) return found;
  const lacking = lackingForPassing();
  if (lacking.length > 0)
    throw new FluxError('internal', `this Node (${process.version}) cannot pass sockets: it lacks ${lacking.join(', ')}`);
  const names = { tcp: bindingOf('tcp_wrap'), pipe: bindingOf('pipe_wrap'), stream: bindingOf('stream_wrap') };
  found = names as unknown as Bindings;
  return found;
}

/** @returns the pieces that this Node lacks for binding sockets and passing them to workers */
export function lackingForPassing(): string[] {
  return [
    ...lackingOf('tcp_wrap', {
      TCP: 'function',
      'TCP.bind': 'function',
      'TCP.bind6': 'function',
      'TCP.getsockname': 'function',
      'TCP.close': 'function',
      'constants.SERVER': 'number',
      'constants.UV_TCP_REUSEPORT': 'number',
    }),
    ...lackingOf('pipe_wrap', {
      Pipe: 'function',
      'Pipe.bind': 'function',
      'Pipe.listen': 'function',
      'Pipe.open': 'function',
      'Pipe.connect': 'function',
      'Pipe.readStart': 'function',
      'Pipe.writeUtf8String': 'function',
      'Pipe.close': 'function',
      PipeConnectWrap: 'function',
      'constants.SERVER': 'number',
      'constants.IPC': 'number',
    }),
    ...lackingOf('stream_wrap', { WriteWrap: 'function', streamBaseState: 'object', kReadBytesOrError: 'number' }),
  ];
}

/** A negative result of libuv as an error with its code. */
function systemError(code: number, what: string): NodeJS.ErrnoException {
  const [name = 'UNKNOWN', message = 'unknown error'] = getSystemErrorMap().get(code) ?? [];
  return Object.assign(new Error(`${what}: ${name}: ${message}`), { code: name });
}

/**
 * Binds a socket that may share its port with other sockets of this node. The worker, not this call, listens.
 * @param port 0..65535; 0: any
 * @throws Error with the system's code, `EADDRINUSE` and others
 */
export function bindSocket(host: string, port: number): SocketHandle {
  return bound(host, port, bindings().tcp.constants.UV_TCP_REUSEPORT);
}

/**
 * Whether a socket could bind the port: binds one and closes it at once. The probe never listens, so it disturbs no other process that
 * binds the port at the same moment. A listener on the port, shared or not, makes the probe fail.
 * @param port 1..65535
 * @throws Error with the system's code, `EADDRINUSE` and others
 */
export function tryBind(host: string, port: number): void {
  bound(host, port, 0).close();
}

function bound(host: string, port: number, flags: number): SocketHandle {
  const { TCP, constants } = bindings().tcp;
  const handle = new TCP(constants.SERVER);
  const isSix = isIPv6(host.split('%')[0] ?? '');
  const status = isSix ? handle.bind6(host, port, flags) : handle.bind(host, port, flags);
  const name: { port?: number } = {};
  // libuv reports a taken port only at listen: the socket has no port then.
  const isBound = status === 0 && handle.getsockname(name) === 0 && (name.port ?? 0) > 0;
  if (isBound) return handle;
  handle.close();
  throw status === 0 ? Object.assign(new Error(`bind: EADDRINUSE`), { code: 'EADDRINUSE' }) : systemError(status, 'bind');
}

/** The path of a Unix socket has 107 bytes at most. */
const PLACE_LENGTH_MAX = 80;

/** The folder of all offers that wait now. It goes with the last of them. */
let shared: { path: string; offers: number } | null = null;
let nextOffer = 0;

/** A path for one offer, closed to other users of the machine. @throws FluxError `internal` when no folder can be made */
function takePlace(): string {
  shared ??= { path: makeFolder(), offers: 0 };
  shared.offers++;
  return join(shared.path, String(nextOffer++));
}

function leavePlace(path: string): void {
  rmSync(path, { force: true });
  if (shared === null || --shared.offers > 0) return;
  rmSync(shared.path, { recursive: true, force: true });
  shared = null;
}

/** A folder that is closed to other users of the machine. @throws FluxError `internal` when no folder can be made */
function makeFolder(): string {
  let problem: unknown;
  for (const place of [tmpdir(), '/dev/shm', '/run']) {
    if (place.length > PLACE_LENGTH_MAX) continue;
    try {
      return mkdtempSync(join(place, 'fluxmq-'));
    } catch (error) {
      problem = error;
    }
  }
  const message = 'sockets cannot be passed to workers: neither the temporary folder (TMPDIR) nor /dev/shm can be written to';
  throw new FluxError('internal', message, { cause: problem });
}

/** Duplicates that wait for a worker to fetch them. */
export interface OpenOffer {
  readonly path: string;
  /** To be called when the worker has them, or is not to get them any more. */
  end(): void;
}

/** Main only. @throws FluxError `internal` when the system refuses */
export function offerSockets(handles: readonly SocketHandle[]): OpenOffer {
  const { Pipe, constants } = bindings().pipe;
  const path = takePlace();
  const server = new Pipe(constants.SERVER);
  const status = server.bind(path) || server.listen(1);
  if (status !== 0) {
    server.close();
    leavePlace(path);
    throw new FluxError('internal', 'sockets cannot be passed to a worker', { cause: systemError(status, path) });
  }
  // It takes its path with it.
  let close: (() => void) | null = () => server.close();
  server.onconnection = (_status, accepted) => {
    if (accepted === undefined || close === null) return;
    server.close();
    close = send(accepted, handles);
  };
  return {
    path,
    end() {
      if (close === null) return;
      close();
      close = null;
      leavePlace(path);
    },
  };
}

/** @returns a function that closes the pipe. Call it only after the worker has read everything: libuv drops unread data at a close. */
function send(accepted: PipeHandle, handles: readonly SocketHandle[]): () => void {
  const { Pipe, constants } = bindings().pipe;
  const { WriteWrap } = bindings().stream;
  // A pipe that was accepted cannot carry handles: one that can takes over its descriptor.
  const pipe = new Pipe(constants.IPC);
  const { fd } = accepted;
  pipe.open(fd);
  // The end of a worker that has gone is reported by its handle, not here.
  for (const handle of handles) pipe.writeUtf8String(new WriteWrap(), 's', handle);
  return () => {
    pipe.close();
    closeStale(accepted, fd);
  };
}

/** Handles whose descriptor another handle has closed, with its number. */
const stale: { handle: PipeHandle; fd: number }[] = [];
/** Descriptors that one attempt takes on its way to the numbers of stale handles: the system gives the lowest free number. */
const TAKEN_MAX = 64;

/**
 * Closes a handle whose descriptor has been closed by another one. Another handle, in any thread, may have the number by now: the handle is
 * closed only when we can take the number ourselves. Else it waits for the next call.
 */
function closeStale(handle: PipeHandle, fd: number): void {
  stale.push({ handle, fd });
  const others: number[] = [];
  try {
    while (stale.length > 0 && others.length < TAKEN_MAX) {
      const taken = openSync('/dev/null', 'r');
      const found = stale.findIndex((each) => each.fd === taken);
      if (found >= 0) stale.splice(found, 1)[0]!.handle.close();
      else {
        others.push(taken);
        stale.sort((a, b) => b.fd - a.fd);
        if (taken > stale[0]!.fd) break;
      }
    }
  } catch {
    // No descriptor is free.
  }
  for (const other of others) closeSync(other);
}

/**
 * Fetches what main offers.
 * @param count of sockets, at least 1
 * @throws FluxError `internal` when the offer has ended
 */
export function fetchSockets(path: string, count: number): Promise<SocketHandle[]> {
  const { Pipe, PipeConnectWrap, constants } = bindings().pipe;
  const { streamBaseState, kReadBytesOrError } = bindings().stream;
  return new Promise((resolve, reject) => {
    const pipe = new Pipe(constants.IPC);
    const handles: SocketHandle[] = [];
    const fail = (status: number): void => {
      pipe.close();
      for (const handle of handles) handle.close();
      reject(new FluxError('internal', 'sockets were not passed to this worker', { cause: systemError(status, path) }));
    };
    pipe.onread = () => {
      const status = streamBaseState[kReadBytesOrError]!;
      const handle = pipe.pendingHandle;
      pipe.pendingHandle = null;
      if (handle) handles.push(handle);
      if (handles.length === count) {
        pipe.close();
        resolve(handles);
      } else if (status < 0) fail(status);
    };
    const request = new PipeConnectWrap();
    request.oncomplete = (status) => {
      const problem = status || pipe.readStart();
      if (problem !== 0) fail(problem);
    };
    const status = pipe.connect(request, path);
    if (status !== 0) fail(status);
  });
}
