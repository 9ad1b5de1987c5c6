/** The contract between listener and client: bytes in, coalesced bytes out, pause, resume, close, peer facts. The two rooms meet only here. */

import type { Endpoint } from '../src/endpoint/endpoint.ts';
import type { SocketHandle } from '../src/thread/socket-passing.ts';
import type { TlsMaterial } from '../src/thread/tls-material.ts';

/** One network connection as a client sees it; a listener implements it for TCP and for WebSocket. */
export interface Connection {
  /** remote IP address, without port */
  readonly address: string;
  /** steady milliseconds at which it was accepted, before any handshake */
  readonly acceptedAt: number;
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
  /** Closes when what was sent has gone out, without waiting for the peer, who has said that nothing more comes; onClose follows. */
  finish(): void;
  /** Closes at once; onClose follows. */
  destroy(): void;
}

/** What a listener calls on the client of a connection. */
export interface ConnectionClient {
  /** buf[start, end) has come. It is valid during this call only: the client copies what it keeps. */
  onData(buf: Buffer, start: number, end: number): void;
  /** Everything sent has reached the kernel. */
  onDrain(): void;
  /** Called once. `reset`: the network broke the connection, it was not closed in order. */
  onClose(reset: boolean): void;
}

/** Why a connection that was accepted will be refused as soon as its CONNECT tells which version it speaks. */
export type Refusal = 'connection_limit' | 'connection_rate' | 'address_limit' | 'address_rate';

/** What a connection was let in with: a place under the limits, or only to be told why it has none. */
export interface Admission {
  /** null: it has a place */
  readonly refusal: Refusal | null;
  /** where its address is counted: see metrics/address-table.ts */
  readonly slot: number;
}

/** A place that is not counted by address. */
export const PLACE: Admission = { refusal: null, slot: -1 };

/** Why a connection ended before there was a client for it: by its TLS, its time, or what it spoke instead of WebSocket. */
export type HandshakeFailure = 'tls_handshake' | 'tls_timeout' | 'tls_client_certificate' | 'connect_timeout' | 'bad_connect';

/** The endpoint as its listener sees it. A changed key counts from the next connection. */
export interface ListenerHost {
  readonly endpoint: Endpoint;
  /** WebSocket has gone on or off a moment ago: connections may be of either kind, as their first byte tells */
  readonly mayChangeProtocol: boolean;
  /** null: no TLS */
  readonly tls: TlsMaterial | null;
  /** The client of a connection that speaks MQTT at once; null: no capacity even for a refusal, the listener destroys it. */
  accept(connection: Connection): ConnectionClient | null;
  /**
   * Takes a place for a connection that has work to do before MQTT. Null: over a limit, which is counted; the listener destroys it
   * before it costs anything. Everything else is followed by one welcome() or leave().
   * @param address of the peer
   * @param canBeTold whether it may be let in without a place, to be refused with a reason; as many as there is capacity for are
   */
  admit(address: string, canBeTold: boolean): Admission | null;
  /** The client of a connection that was admitted; null: the endpoint has closed meanwhile, the listener destroys it. */
  welcome(connection: Connection, admission: Admission): ConnectionClient | null;
  /** An admitted connection has ended. @param failure null: it just went @param reason in a word: the log tells each apart */
  leave(admission: Admission, failure: HandshakeFailure | null, detail: string, reason?: string): void;
}

/** This worker's duplicate of a socket that main has bound. */
export interface ListeningSocket {
  /** main's number for it */
  readonly key: number;
  readonly handle: SocketHandle;
}

/** An open listener of one endpoint in one worker. */
export interface Listener {
  /** connections taken from the kernel's accept queue so far */
  readonly accepted: number;
  /** Accepts from these too. @throws FluxError `port-in-use`, `unprocessable` */
  adopt(sockets: readonly ListeningSocket[]): Promise<void>;
  /** Leaves these to others. */
  drop(keys: readonly number[]): void;
  /** Sets the length of the accept queues. */
  setBacklog(backlog: number): void;
  /** What the next handshakes use; null: no TLS from the next connection on. @throws FluxError `unprocessable`: nothing has changed */
  setTls(material: TlsMaterial | null): void;
  /** Ends handshakes that have taken too long. @param now steady milliseconds */
  sweep(now: number): void;
  /** Stops accepting; established connections stay. Idempotent. */
  stopAccepting(): void;
  /** Stops accepting and frees everything; connections without a client are destroyed. Idempotent. */
  close(): void;
}
