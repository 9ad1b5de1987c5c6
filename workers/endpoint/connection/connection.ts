/** The contract between listener and client: bytes in, coalesced bytes out, pause, resume, close, facts about the peer. */

import type { X509Certificate } from 'node:crypto';
import type { Endpoint } from '../../../src/endpoint/endpoint.ts';
import type { SocketHandle } from '../../../src/internals/socket-passing.ts';
import type { TlsMaterial } from '../../../src/thread/tls-material.ts';

/** One network connection as a client sees it; a listener implements it for TCP and for WebSocket. */
export interface Connection {
  /** remote IP address, without port */
  readonly address: string;
  /** steady milliseconds of the accept, before any handshake */
  readonly acceptedAt: number;
  /** The client's certificate, which the handshake has verified; null or absent: there is none. */
  clientCertificate?(): X509Certificate | null;
  /**
   * Hands bytes to the kernel. True: the kernel has taken all of them, and the buffer is free again. False: the transport keeps the buffer
   * until onDrain, and nothing more may be sent before.
   */
  send(bytes: Buffer): boolean;
  /** Sends a head of a few bytes and a body, like send(). Absent where one write of a copy costs less. */
  sendBoth?(head: Buffer, bytes: Buffer): boolean;
  /** Stops reading; used for backpressure. */
  pause(): void;
  resume(): void;
  /** Closes after everything sent has gone out; onClose follows. A peer that does not read is cut off after a deadline. */
  end(): void;
  /** Closes after everything sent has gone out, without waiting for the peer, which has already ended its input; onClose follows. */
  finish(): void;
  /** Closes at once; onClose follows. */
  destroy(): void;
}

/** The client of a connection, as the listener calls it. */
export interface ConnectionClient {
  /** Input: buf[start, end) is valid during this call only. The client copies what it keeps. */
  onData(buf: Buffer, start: number, end: number): void;
  /**
   * Reports how many bytes of an incomplete message the transport keeps; 0: none, or few. Transports that pass on whole messages call it at
   * a sweep, when the number has changed.
   */
  onHeld?(bytes: number): void;
  /** The kernel has taken everything that was sent. */
  onDrain(): void;
  /** Called once, at the end of the connection. @param reset true: the network broke the connection; false: an orderly close */
  onClose(reset: boolean): void;
}

/** The reason of a refusal, which waits until CONNECT shows the protocol version of the answer. */
export type Refusal = 'connection_limit' | 'connection_rate' | 'address_limit' | 'address_rate' | 'banned';

/** The terms on which a connection was let in: with a place under the limits, or without one, only to learn the reason of its refusal. */
export interface Admission {
  /** null: the connection has a place */
  readonly refusal: Refusal | null;
  /** slot of the peer's address: see metrics/address-table.ts */
  readonly slot: number;
}

/** An admission that another transport has obtained before it handed the connection over. */
export interface EarlyAdmission {
  readonly admission: Admission;
  /** steady milliseconds */
  readonly acceptedAt: number;
}

/** The place of a connection that no address limit counts. */
export const PLACE: Admission = { refusal: null, slot: -1 };

/** The failure of a connection without a client: TLS, a timeout, or first bytes that are no WebSocket request. */
export type HandshakeFailure = 'tls_handshake' | 'tls_timeout' | 'tls_client_certificate' | 'connect_timeout' | 'bad_connect';

/** The endpoint as its listener sees it. A changed key applies from the next connection. */
export interface ListenerHost {
  readonly endpoint: Endpoint;
  /** true for some seconds after `useWebsocket` has changed: the first byte decides whether a connection is TCP or WebSocket */
  readonly mayChangeProtocol: boolean;
  /** null: no TLS */
  readonly tls: TlsMaterial | null;
  /** Whether a connection may have this file descriptor. False is counted; the listener closes the connection at once. */
  allowsDescriptor(descriptor: number): boolean;
  /** The client of a connection that speaks MQTT at once. Null: no capacity even for a refusal; the listener destroys the connection. */
  accept(connection: Connection): ConnectionClient | null;
  /**
   * Takes a place for a connection that has work to do before MQTT. Null: the connection is over a limit and counted as refused; the
   * listener destroys it before it costs anything. Every other result is followed by one welcome() or leave().
   * @param address of the peer
   * @param canLearnWhy whether the connection may be let in without a place, to be refused with a reason; their number is bounded
   */
  admit(address: string, canLearnWhy: boolean): Admission | null;
  /** The client of an admitted connection. Null: the endpoint has closed since; the listener destroys the connection. */
  welcome(connection: Connection, admission: Admission): ConnectionClient | null;
  /** Ends an admission. @param failure null: the peer just left @param reason one word; the log keeps different reasons apart */
  leave(admission: Admission, failure: HandshakeFailure | null, detail: string, reason?: string): void;
}

/** This worker's duplicate of a socket that main has bound. */
export interface ListeningSocket {
  /** main's number for the socket */
  readonly key: number;
  readonly handle: SocketHandle;
}

/** An open listener of one endpoint in one worker. */
export interface Listener {
  /** connections taken from the kernel's accept queue since the start */
  readonly accepted: number;
  /** Accepts from these sockets too. @throws FluxError `port-in-use`, `unprocessable` */
  acceptFrom(sockets: readonly ListeningSocket[]): Promise<void>;
  /** Stops accepting from these sockets and leaves them to other workers. */
  drop(keys: readonly number[]): void;
  /** Sets the backlog of the sockets. */
  setBacklog(backlog: number): void;
  /** Sets the material of the next handshakes; null: no TLS from the next connection on. @throws FluxError `unprocessable`: no change */
  setTls(material: TlsMaterial | null): void;
  /** Ends handshakes that take too long. @param now steady milliseconds */
  sweep(now: number): void;
  /** Stops accepting; established connections stay. Idempotent. */
  stopAccepting(): void;
  /** Stops accepting and frees everything; connections without a client are destroyed. Idempotent. */
  close(): void;
}
