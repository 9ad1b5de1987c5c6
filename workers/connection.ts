/** The contract between listener and client: bytes in, coalesced bytes out, pause, resume, close, peer facts. The two rooms meet only here. */

/** One network connection as a client sees it; a listener implements it for TCP and for WebSocket. */
export interface Connection {
  /** remote IP address, without port */
  readonly address: string;
  /**
   * Hands bytes to the kernel. True: all of them were taken and the buffer is free again. False: the transport keeps the buffer
   * until onDrain; nothing more may be sent before that.
   */
  send(bytes: Buffer): boolean;
  /** Stops reading; used for backpressure. */
  pause(): void;
  resume(): void;
  /** Closes after what was sent has gone out; onClose follows. A peer that does not read is cut off after a deadline. */
  end(): void;
  /** Closes at once; onClose follows. */
  destroy(): void;
}

/** What a listener calls on the client of a connection. */
export interface ConnectionClient {
  /** `chunk` belongs to the client from now on; nobody writes to it again. */
  onData(chunk: Buffer): void;
  /** Everything sent has reached the kernel. */
  onDrain(): void;
  /** Called once. `reset`: the network broke the connection, it was not closed in order. */
  onClose(reset: boolean): void;
}

/** Why a connection that was accepted will be refused as soon as its CONNECT tells which version it speaks. */
export type Refusal = 'connection_limit' | 'connection_rate';

/** Makes the client of an accepted connection; null: no capacity even for a refusal, the listener destroys it. */
export type ClientFactory = (connection: Connection) => ConnectionClient | null;

/** An open listener of one endpoint in one worker. */
export interface Listener {
  readonly port: number;
  /** connections taken from the kernel's accept queue so far */
  readonly accepted: number;
  /** Sets the length of the accept queue where the transport can. */
  setBacklog(backlog: number): void;
  /** Stops accepting; established connections stay. Idempotent. */
  stopAccepting(): void;
  /** Stops accepting and frees everything; connections must be gone or are destroyed. Idempotent. */
  close(): void;
}
