/** TCP connections on libuv's handles, without Node's stream layer: one buffer for all reads of a worker, one system call a write. */

import type net from 'node:net';
import { getSystemErrorName } from 'node:util';
import type { ChildOptions } from '../../src/endpoint/endpoint.ts';
import { plainAddress } from '../../src/kernel/address.ts';
import { steadyNow } from '../../src/kernel/clock.ts';
import type { Connection, ConnectionClient } from '../connection.ts';
import { type Departing, departLater } from './departures.ts';

/** A peer that does not close its side, or does not read what is left, is cut off after this time. */
const END_DEADLINE_MS = 5_000;
/** Every read of every connection goes into one buffer of this size; clients copy what they keep. */
const READ_BYTES = 256 * 1024;
const KEEP_ALIVE_SECONDS = 60;
/** libuv's UV_EOF. */
const END_OF_FILE = -4095;

/** What of a TCP handle is used, as Node's own net module uses it: not documented, so each piece is looked for before. */
interface TcpHandle {
  onread: (this: TcpHandle) => void;
  /** ours: all handles share their callbacks (no closures per connection) */
  fluxmq: HandleConnection | undefined;
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

interface ServerHandle extends Pick<TcpHandle, 'setNoDelay' | 'setKeepAlive'> {
  onconnection: (error: number, handle: TcpHandle | undefined) => void;
}

interface WriteRequest {
  handle?: TcpHandle;
  /** keeps the bytes while the kernel has not taken them */
  bytes?: Uint8Array;
  oncomplete?: (this: WriteRequest, status: number) => void;
}

/** Keeps nothing and tells nothing: the end of the connection is the peer's word, or the deadline. */
type ShutdownRequest = object;

interface Binding {
  WriteWrap: new () => WriteRequest;
  ShutdownWrap: new () => ShutdownRequest;
  /** results of the last call, and of the read that is being told */
  streamBaseState: Int32Array;
  kReadBytesOrError: number;
  kLastWriteWasAsync: number;
}

/** Whether accepted sockets have the options of the one that listens. */
const INHERITS = process.platform === 'linux';

const METHODS = ['useUserBuffer', 'readStart', 'readStop', 'writeBuffer', 'shutdown', 'close', 'reset', 'setNoDelay', 'setKeepAlive'];

/** The binding when it is what we expect of Node 22; null: use sockets. */
function findBinding(): Binding | null {
  try {
    const { binding } = process as unknown as { binding: (name: string) => Partial<Binding> };
    const found = binding('stream_wrap');
    const isKnown =
      getSystemErrorName(END_OF_FILE) === 'EOF' &&
      typeof found.WriteWrap === 'function' &&
      typeof found.ShutdownWrap === 'function' &&
      found.streamBaseState instanceof Int32Array &&
      typeof found.kReadBytesOrError === 'number' &&
      typeof found.kLastWriteWasAsync === 'number';
    return isKnown ? (found as Binding) : null;
  } catch {
    return null;
  }
}

const binding = findBinding();
const readBuffer = Buffer.allocUnsafeSlow(binding === null ? 0 : READ_BYTES);
/** Serves every write that the kernel takes at once, and then remains unused; one that it does not take at once keeps it. */
let writeRequest: WriteRequest | null = null;

class HandleConnection implements Connection, Departing {
  #handle: TcpHandle | null;
  readonly #resetOnClose: boolean;
  readonly acceptedAt = steadyNow();
  #address: string | null = null;
  client: ConnectionClient | null = null;
  #isReading = true;
  /** bytes are on their way that the kernel has not taken */
  #isWriting = false;
  /** nothing more is sent */
  #isEnding = false;
  /** the peer is not waited for */
  #isFinishing = false;
  /** the peer has closed its side */
  #hasEnded = false;
  #hadError = false;
  /** when it is cut off; 0 = not */
  cutOffAt = 0;

  constructor(handle: TcpHandle, resetOnClose: boolean) {
    this.#handle = handle;
    this.#resetOnClose = resetOnClose;
  }

  /** Asked of the kernel on first use: most connections are never asked. Empty when it is gone by then. */
  get address(): string {
    if (this.#address === null) {
      const out: { address?: string } = {};
      this.#handle?.getpeername(out);
      this.#address = plainAddress(out.address);
    }
    return this.#address;
  }

  send(bytes: Buffer): boolean {
    const handle = this.#handle;
    if (handle === null || this.#isEnding || this.#hadError) return true;
    const { WriteWrap, streamBaseState, kLastWriteWasAsync } = binding!;
    writeRequest ??= new WriteWrap();
    if (handle.writeBuffer(writeRequest, bytes) !== 0) {
      this.#fail();
      return true;
    }
    if (streamBaseState[kLastWriteWasAsync] === 0) return true;
    writeRequest.handle = handle;
    writeRequest.bytes = bytes;
    writeRequest.oncomplete = onWritten;
    writeRequest = null;
    this.#isWriting = true;
    return false;
  }

  onWritten(status: number): void {
    this.#isWriting = false;
    if (this.#handle === null) return;
    if (status !== 0) this.#fail();
    else if (this.#hasEnded || this.#isFinishing) this.#close();
    else if (this.#isEnding && this.#resetOnClose) this.#reset();
    else this.client?.onDrain();
  }

  onRead(): void {
    const bytes = binding!.streamBaseState[binding!.kReadBytesOrError]!;
    if (bytes > 0) this.client?.onData(readBuffer, 0, bytes);
    else if (bytes < 0) {
      if (bytes === END_OF_FILE) this.#onEnd();
      else this.#fail();
    }
  }

  /** The peer says nothing more: what this loop iteration still has to tell it goes out first. */
  #onEnd(): void {
    this.pause();
    this.#hasEnded = true;
    if (this.#isEnding && !this.#isWriting) this.#close();
    else departLater(this);
  }

  closeEnded(): void {
    if (this.#isWriting && !this.#hadError) {
      cutOffLater(this);
      return;
    }
    const handle = this.#handle;
    if (handle === null) return;
    this.#handle = null;
    // Nobody is in the middle of anything here: the client hears of it at once, and libuv need not call back for it.
    handle.close();
    this.onClosed();
  }

  pause(): void {
    if (!this.#isReading) return;
    this.#isReading = false;
    this.#handle?.readStop();
  }

  resume(): void {
    if (this.#isReading || this.#hasEnded) return;
    this.#isReading = true;
    this.#handle?.readStart();
  }

  end(): void {
    const handle = this.#handle;
    if (handle === null || this.#isEnding) return;
    this.#isEnding = true;
    if (this.#hasEnded) return;
    if (this.#resetOnClose) {
      if (this.#isWriting) cutOffLater(this);
      else this.#reset();
      return;
    }
    this.resume();
    // libuv sends what waits before it.
    if (handle.shutdown(new binding!.ShutdownWrap()) !== 0) this.#close();
    else cutOffLater(this);
  }

  finish(): void {
    if (this.#resetOnClose) {
      this.end();
      return;
    }
    this.#isFinishing = true;
    this.#isEnding = true;
    if (this.#isWriting) cutOffLater(this);
    else this.#close();
  }

  /** `soLinger` 0: no FIN goes before the RST, else it is the peer's luck which of them it sees. What it was sent stays readable for it. */
  #reset(): void {
    const handle = this.#handle;
    if (handle === null) return;
    this.#handle = null;
    if (handle.reset(onClosed) !== 0) handle.close(onClosed);
  }

  /** Nothing more goes either way. */
  #fail(): void {
    if (this.#hadError) return;
    this.pause();
    this.#hadError = true;
    this.#hasEnded = true;
    departLater(this);
  }

  destroy(): void {
    this.#close();
  }

  #close(): void {
    const handle = this.#handle;
    if (handle === null) return;
    this.#handle = null;
    handle.close(onClosed);
  }

  onClosed(): void {
    cutOffs.delete(this);
    this.client?.onClose(this.#hadError);
  }
}

function onRead(this: TcpHandle): void {
  this.fluxmq!.onRead();
}

function onClosed(this: TcpHandle): void {
  this.fluxmq!.onClosed();
}

function onWritten(this: WriteRequest, status: number): void {
  this.handle!.fluxmq!.onWritten(status);
}

/** Connections that end, the earliest deadline first: one timer for all, which runs while there are any. */
const cutOffs = new Set<HandleConnection>();
let isCutOffDue = false;

function cutOffLater(connection: HandleConnection): void {
  if (cutOffs.has(connection)) return;
  connection.cutOffAt = steadyNow() + END_DEADLINE_MS;
  cutOffs.add(connection);
  cutOffIn(END_DEADLINE_MS);
}

function cutOffIn(ms: number): void {
  if (isCutOffDue) return;
  isCutOffDue = true;
  setTimeout(cutOff, ms).unref();
}

function cutOff(): void {
  isCutOffDue = false;
  const now = steadyNow();
  for (const connection of cutOffs) {
    if (connection.cutOffAt > now) {
      cutOffIn(Math.ceil(connection.cutOffAt - now));
      return;
    }
    cutOffs.delete(connection);
    connection.destroy();
  }
}

/** Options of accepted sockets; on Linux they inherit those of the listening socket, which saves system calls for each. */
class Inheritance {
  readonly #server: ServerHandle;
  readonly #backlog: () => number;
  /** null: others had the socket before, and it is not known */
  #noDelay: boolean | null = null;
  #keepAlive: boolean | null = null;
  /** connections that may have come before the last change */
  #unsure = INHERITS ? 0 : Number.POSITIVE_INFINITY;
  /** connections so far */
  #taken = 0;

  constructor(server: ServerHandle, backlog: () => number) {
    this.#server = server;
    this.#backlog = backlog;
  }

  apply({ tcpNodelay, soKeepalive }: ChildOptions, handle: TcpHandle): void {
    this.#taken++;
    this.prepare(tcpNodelay, soKeepalive);
    if (this.#unsure === 0) return;
    this.#unsure--;
    handle.setNoDelay(tcpNodelay);
    handle.setKeepAlive(soKeepalive, KEEP_ALIVE_SECONDS);
  }

  /** From now on connections come with these; does nothing when they did before. */
  prepare(noDelay: boolean, keepAlive: boolean): void {
    if (noDelay === this.#noDelay && keepAlive === this.#keepAlive) return;
    this.#noDelay = noDelay;
    this.#keepAlive = keepAlive;
    this.#server.setNoDelay(noDelay);
    this.#server.setKeepAlive(keepAlive, KEEP_ALIVE_SECONDS);
    this.#unsure += this.#backlog() + 1;
    if (INHERITS) setImmediate(() => this.#untilEmpty());
  }

  /** A whole pass of the event loop that took nobody has found the accept queue empty: who comes later has come after the change. */
  #untilEmpty(): void {
    const taken = this.#taken;
    setImmediate(() => {
      if (this.#unsure === 0) return;
      if (this.#taken === taken) this.#unsure = 0;
      else this.#untilEmpty();
    });
  }
}

/** Who takes connections. */
export interface HandleHooks {
  /** asked at each connection; false: the server makes a socket of it */
  isWanted(): boolean;
  /** the longest accept queue so far */
  longestBacklog(): number;
  /** asked at each connection: what has changed counts from the next one */
  options(): ChildOptions;
  /** null: the connection is closed */
  accept(connection: Connection): ConnectionClient | null;
}

/**
 * Takes the connections of a server that listens, from now on; false: this Node is not as expected, and the server makes sockets of
 * them as ever.
 */
export function acceptHandles(server: net.Server, hooks: HandleHooks): boolean {
  const own = (server as unknown as { _handle?: ServerHandle })._handle;
  if (binding === null || !own || typeof own.onconnection !== 'function') return false;
  const asSocket = own.onconnection;
  const known = own as unknown as Record<string, unknown>;
  if (METHODS.some((name) => typeof known[name] !== 'function')) return false;
  const inheritance = new Inheritance(own, hooks.longestBacklog);
  const { tcpNodelay, soKeepalive } = hooks.options();
  inheritance.prepare(tcpNodelay, soKeepalive);
  own.onconnection = (error, handle) => {
    const options = hooks.options();
    if (handle !== undefined) inheritance.apply(options, handle);
    if (error !== 0 || handle === undefined || !hooks.isWanted()) {
      asSocket.call(own, error, handle);
      return;
    }
    const connection = new HandleConnection(handle, options.soLinger === 0);
    handle.fluxmq = connection;
    connection.client = hooks.accept(connection);
    if (connection.client === null) {
      connection.destroy();
      return;
    }
    handle.onread = onRead;
    handle.useUserBuffer(readBuffer);
    if (handle.readStart() !== 0) connection.destroy();
  };
  return true;
}
