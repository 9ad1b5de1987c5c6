/** The parts of uWebSockets.js, and of the add-on that ends its threads (native/guard.c), that the broker uses. Types only. */

/** Text or bytes. */
export type UwsBytes = string | ArrayBuffer | Uint8Array;

/** The context of an upgrade: upgrade() of the response takes it back. */
export interface UwsSocketContext {
  readonly us_socket_context_t: unique symbol;
}

/** A request; it may be read only within the call of the handler. */
export interface UwsRequest {
  /** @param name in lower case. @returns '' when the request lacks the header */
  getHeader(name: string): string;
  /** the path, without the query */
  getUrl(): string;
  /** in lower case */
  getMethod(): string;
  getQuery(): string;
  forEach(each: (name: string, value: string) => void): void;
  /** true: the handler did not answer, and the next route that fits does */
  setYield(on: boolean): UwsRequest;
}

/** A response; after end(), close(), upgrade() or the abort every method throws. */
export interface UwsResponse {
  writeStatus(status: string): UwsResponse;
  writeHeader(name: string, value: string): UwsResponse;
  /** @param close true: the connection ends after the response */
  end(body?: UwsBytes, close?: boolean): UwsResponse;
  endWithoutBody(length?: number, close?: boolean): UwsResponse;
  close(): UwsResponse;
  cork(write: () => void): UwsResponse;
  onAborted(handler: () => void): UwsResponse;
  getRemoteAddress(): ArrayBuffer;
  getRemoteAddressAsText(): ArrayBuffer;
  /** Becomes a WebSocket: open() of the behaviour is called within this call. */
  upgrade<Data>(data: Data, key: string, protocol: string, extensions: string, context: UwsSocketContext): void;
}

/** A WebSocket; after its close every method throws. */
export interface UwsSocket<Data> {
  /** @returns 1: sent or buffered within the limit, 0: buffered, drain() follows, 2: dropped */
  send(message: UwsBytes, isBinary?: boolean, compress?: boolean): number;
  ping(message?: UwsBytes): number;
  /** bytes that the socket did not take yet */
  getBufferedAmount(): number;
  /** Sends a close frame, and closes when everything has been sent. */
  end(code?: number, reason?: UwsBytes): void;
  /** Closes at once, without a close frame. */
  close(): void;
  cork(write: () => void): UwsSocket<Data>;
  getRemoteAddress(): ArrayBuffer;
  getRemoteAddressAsText(): ArrayBuffer;
  getUserData(): Data;
}

/** The handlers for the WebSockets of a path. Bytes given to a handler are valid only within its call. */
export interface UwsBehavior<Data> {
  /** longest message in bytes; a longer one ends the connection */
  maxPayloadLength?: number;
  /** most bytes that wait on one connection; 0: no limit */
  maxBackpressure?: number;
  closeOnBackpressureLimit?: boolean;
  /** seconds, 0 or 8..960 */
  idleTimeout?: number;
  /** minutes; 0: none */
  maxLifetime?: number;
  /** 0: no compression */
  compression?: number;
  sendPingsAutomatically?: boolean;
  upgrade?: (response: UwsResponse, request: UwsRequest, context: UwsSocketContext) => void;
  open?: (socket: UwsSocket<Data>) => void;
  message?: (socket: UwsSocket<Data>, message: ArrayBuffer, isBinary: boolean) => void;
  dropped?: (socket: UwsSocket<Data>, message: ArrayBuffer, isBinary: boolean) => void;
  drain?: (socket: UwsSocket<Data>) => void;
  close?: (socket: UwsSocket<Data>, code: number, reason: ArrayBuffer) => void;
  ping?: (socket: UwsSocket<Data>, message: ArrayBuffer) => void;
  pong?: (socket: UwsSocket<Data>, message: ArrayBuffer) => void;
}

/** Material of a TLS application; files are read once, when it is made. */
export interface UwsTlsOptions {
  cert_file_name: string;
  key_file_name: string;
  ca_file_name?: string;
  passphrase?: string;
  ssl_ciphers?: string;
  ssl_prefer_low_memory_usage?: boolean;
}

export interface UwsApp {
  ws<Data>(pattern: string, behavior: UwsBehavior<Data>): UwsApp;
  any(pattern: string, handler: (response: UwsResponse, request: UwsRequest) => void): UwsApp;
  /** Called with 1 for each adopted connection, before TLS and HTTP; with -1 when one ends that did not become a WebSocket. */
  filter(handler: (response: UwsResponse, change: number) => void): UwsApp;
  /** Takes over a connected socket, which nothing else may use or close from now on. Upstream does not document it. */
  adoptSocket(fd: number): UwsApp;
  /** Closes every connection of the application. It may be used again. */
  close(): UwsApp;
}

/** The module. */
export interface Uws {
  App(): UwsApp;
  SSLApp(options: UwsTlsOptions): UwsApp;
}

/** native/guard.c. Each function throws a TypeError for bad arguments, and an error of the system with its `code`. */
export interface Guard {
  /** `fluxmq native sha256 …`: the sources that the binary was built from */
  readonly source: string;
  /** Ends the sockets of uWebSockets.js with the thread. Without it the end of the thread aborts the process. */
  guard(): void;
  /**
   * The caller gives the copy to something that watches it, or closes it, before the next dup(): the end of the thread closes the last copy
   * that nothing watches.
   * @returns a new descriptor of the same socket, closed on exec
   */
  dup(fd: number): number;
  /** @param seconds SO_LINGER, 0..65535; 0 resets the connection, -1 is the default of the system */
  linger(fd: number, seconds: number): void;
  /** TCP_NODELAY */
  noDelay(fd: number, on: boolean): void;
  /**
   * Stops or resumes reading of an adopted descriptor of this thread; uWebSockets.js resumes it by itself when output begins or ends to wait.
   * @returns false: the loop does not watch it yet, and nothing changed; call again after the next poll phase
   */
  readable(fd: number, on: boolean): boolean;
  /** Copies what can be read, and leaves it unread. @returns bytes; 0: the input has ended; -1: nothing, or an error */
  peek(fd: number, buffer: Buffer): number;
  /** @returns bytes that the TCP connection has received, read or not; 0 where the kernel does not count them */
  received(fd: number): number;
  /** A number that one socket has, and no later one: that of a descriptor is used again. @returns -1: the descriptor is closed, or no socket */
  cookie(fd: number): number;
  /**
   * From now on current() names the descriptor during each of its events, until its close.
   * @returns false: this thread has not adopted it
   */
  trace(fd: number): boolean;
  /** @returns the traced descriptor whose event runs; -1: none */
  current(): number;
}
