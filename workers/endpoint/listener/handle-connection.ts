/** TCP connections on libuv handles without Node's stream layer: one buffer for all reads of a worker, one system call per write. */

import type net from 'node:net';
import type { ChildOptions } from '../../../src/endpoint/endpoint.ts';
import {
  END_OF_FILE,
  type TcpHandle as RawHandle,
  type WriteRequest as RawRequest,
  type ServerHandle as RawServer,
  serverHandleOf,
  streams,
} from '../../../src/internals/tcp-handles.ts';
import { plainAddress } from '../../../src/kernel/address.ts';
import { steadyNow } from '../../../src/kernel/clock.ts';
import type { Connection, ConnectionClient, EarlyAdmission } from '../connection/connection.ts';
import { type Departing, departLater } from '../connection/departures.ts';

/** A peer that does not close its side, or does not read what is left, is cut off after this time. */
const END_DEADLINE_MS = 5_000;
/** Size of the one buffer that receives every read of every connection. Clients copy the bytes that they keep. */
const READ_BYTES = 256 * 1024;
const KEEP_ALIVE_SECONDS = 60;
type TcpHandle = RawHandle<HandleConnection>;
type ServerHandle = RawServer<HandleConnection>;
type WriteRequest = RawRequest<HandleConnection>;

/** True when accepted sockets inherit the options of the listening socket. */
const INHERITS = process.platform === 'linux';

const readBuffer = Buffer.allocUnsafeSlow(streams === null ? 0 : READ_BYTES);
/** Reused for every write that the kernel takes at once. A write that has to wait keeps the request, and the next write gets a new one. */
let writeRequest: WriteRequest | null = null;

class HandleConnection implements Connection, Departing {
  #handle: TcpHandle | null;
  readonly #resetOnClose: boolean;
  readonly acceptedAt: number;
  #address: string | null = null;
  client: ConnectionClient | null = null;
  #isReading = true;
  /** sent bytes wait because the kernel has not taken them */
  #isWriting = false;
  /** sending has ended */
  #isEnding = false;
  /** the connection does not wait for the peer to close */
  #isFinishing = false;
  /** the peer has closed its side */
  #hasEnded = false;
  #hadError = false;
  /** steady milliseconds at which the connection is cut off; 0: never */
  cutOffAt = 0;

  constructor(handle: TcpHandle, resetOnClose: boolean, acceptedAt: number) {
    this.acceptedAt = acceptedAt;
    this.#handle = handle;
    this.#resetOnClose = resetOnClose;
  }

  /** Read from the kernel on first use, because most connections never need it. Empty when the connection is already gone. */
  get address(): string {
    if (this.#address === null) {
      const out: { address?: string } = {};
      this.#handle?.getpeername(out);
      this.#address = plainAddress(out.address);
    }
    return this.#address;
  }

  send(bytes: Buffer): boolean {
    return this.#write(bytes, onWritten);
  }

  sendBoth(head: Buffer, bytes: Buffer): boolean {
    // libuv writes in order: when the kernel has taken the bytes, it has taken the head.
    const isTaken = this.#write(head, onHeadWritten);
    return this.#write(bytes, onWritten) && isTaken;
  }

  #write(bytes: Buffer, then: NonNullable<WriteRequest['oncomplete']>): boolean {
    const handle = this.#handle;
    if (handle === null || this.#isEnding || this.#hadError) return true;
    const { WriteWrap, streamBaseState, kLastWriteWasAsync } = streams!;
    writeRequest ??= new WriteWrap();
    if (handle.writeBuffer(writeRequest, bytes) !== 0) {
      this.#fail();
      return true;
    }
    if (streamBaseState[kLastWriteWasAsync] === 0) return true;
    writeRequest.handle = handle;
    writeRequest.bytes = bytes;
    writeRequest.oncomplete = then;
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
    const bytes = streams!.streamBaseState[streams!.kReadBytesOrError]!;
    if (bytes > 0) this.client?.onData(readBuffer, 0, bytes);
    else if (bytes < 0) {
      if (bytes === END_OF_FILE) this.#onEnd();
      else this.#fail();
    }
  }

  /** The peer has closed its side: the output of this loop iteration goes out first. */
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
    // No caller is in the middle of its work here: the client is notified at once, without libuv's callback.
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
    // libuv sends waiting bytes before the FIN.
    if (handle.shutdown(new streams!.ShutdownWrap()) !== 0) this.#close();
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

  /** Closes with RST, for `soLinger` 0. A FIN before the RST would make the peer's view a matter of luck. The peer can read the sent bytes. */
  #reset(): void {
    const handle = this.#handle;
    if (handle === null) return;
    this.#handle = null;
    if (handle.reset(onClosed) !== 0) handle.close(onClosed);
  }

  /** Ends both directions. */
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

function onHeadWritten(): void {}

function onWritten(this: WriteRequest, status: number): void {
  this.handle!.fluxmq!.onWritten(status);
}

/** Ending connections, the earliest deadline first. One timer serves all of them and runs only while the set is not empty. */
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

/** Options of accepted sockets. On Linux they inherit those of the listening socket, which saves system calls per connection. */
class Inheritance {
  readonly #server: ServerHandle;
  readonly #backlog: () => number;
  /** null: unknown, because the socket had another owner before */
  #noDelay: boolean | null = null;
  #keepAlive: boolean | null = null;
  /** number of next connections that may have arrived before the last change: each gets its options explicitly */
  #unsure = INHERITS ? 0 : Number.POSITIVE_INFINITY;
  /** connections taken until now */
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

  /** Sets the options of future connections; does nothing when they are unchanged. */
  prepare(noDelay: boolean, keepAlive: boolean): void {
    if (noDelay === this.#noDelay && keepAlive === this.#keepAlive) return;
    this.#noDelay = noDelay;
    this.#keepAlive = keepAlive;
    this.#server.setNoDelay(noDelay);
    this.#server.setKeepAlive(keepAlive, KEEP_ALIVE_SECONDS);
    this.#unsure += this.#backlog() + 1;
    if (INHERITS) setImmediate(() => this.#untilEmpty());
  }

  /** An event-loop pass that accepted nobody has found the accept queue empty: a later connection has arrived after the change. */
  #untilEmpty(): void {
    const taken = this.#taken;
    setImmediate(() => {
      if (this.#unsure === 0) return;
      if (this.#taken === taken) this.#unsure = 0;
      else this.#untilEmpty();
    });
  }
}

/** Takes connections. */
export interface HandleHooks {
  /** whether a connection with this file descriptor may stay; called first, and once for each connection */
  mayStay(descriptor: number): boolean;
  /** called for each connection; true: the callee has taken it, or closed it, or calls `serve` now or later */
  isTaken(handle: RawHandle, serve: (handle: RawHandle, early: EarlyAdmission) => void): boolean;
  /** called for each other connection; false: the server makes a socket of it */
  isWanted(): boolean;
  /** the longest backlog until now */
  longestBacklog(): number;
  /** called for each connection: a change applies from the next one */
  options(): ChildOptions;
  /** The next socket is that of a connection which isTaken() gave back. */
  expectSocket(early: EarlyAdmission): void;
  /** null: the caller closes the connection. @param early null: nobody has looked at it before */
  accept(connection: Connection, early: EarlyAdmission | null): ConnectionClient | null;
}

/**
 * Takes over the new connections of a listening server. Returns false when this Node lacks the expected internals; the server then
 * continues to make sockets.
 */
export function acceptHandles(server: net.Server, hooks: HandleHooks): boolean {
  const own = streams === null ? null : serverHandleOf<HandleConnection>(server);
  if (own === null) return false;
  const asSocket = own.onconnection;
  const inheritance = new Inheritance(own, hooks.longestBacklog);
  const { tcpNodelay, soKeepalive } = hooks.options();
  inheritance.prepare(tcpNodelay, soKeepalive);
  const serve = (handle: TcpHandle, early: EarlyAdmission | null): void => {
    if (!hooks.isWanted()) {
      if (early !== null) hooks.expectSocket(early);
      asSocket.call(own, 0, handle);
      return;
    }
    const connection = new HandleConnection(handle, hooks.options().soLinger === 0, early?.acceptedAt ?? steadyNow());
    handle.fluxmq = connection;
    connection.client = hooks.accept(connection, early);
    if (connection.client === null) {
      connection.destroy();
      return;
    }
    handle.onread = onRead;
    handle.useUserBuffer(readBuffer);
    if (handle.readStart() !== 0) connection.destroy();
  };
  const serveEarly = (handle: RawHandle, early: EarlyAdmission): void => serve(handle as TcpHandle, early);
  own.onconnection = (error, handle) => {
    if (handle !== undefined && !hooks.mayStay(handle.fd)) {
      handle.close();
      return;
    }
    if (handle !== undefined) inheritance.apply(hooks.options(), handle);
    if (error !== 0 || handle === undefined) asSocket.call(own, error, handle);
    else if (!hooks.isTaken(handle as RawHandle, serveEarly)) serve(handle, null);
  };
  return true;
}
