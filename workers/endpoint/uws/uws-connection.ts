/** One WebSocket of uWebSockets.js as a client's connection. */

import type { Guard, UwsSocket } from '../../../src/internals/uws/contract.ts';
import type { Admission, Connection, ConnectionClient } from '../connection/connection.ts';
import { type Departing, departLater } from '../connection/departures.ts';
import { type Gatherer, gather, handOn } from './gather.ts';

/** Close codes (RFC 6455 section 7.4.1). */
const NORMAL_CLOSURE = 1000;
const UNSUPPORTED_DATA = 1003;
/** uWebSockets.js's code for an end without a valid close frame. */
const ABNORMAL_CLOSURE = 1006;
/** uWebSockets.js's answer to send(): everything went to the kernel. */
const SENT = 1;

/** Fewer kept bytes are not reported: the estimate is no finer, and most connections have none. */
const REPORTED_BYTES = 64 * 1024;
/** Bytes that a message costs beside its content at most: headers of its frame and of TLS records, at least 2 ** RECORD_SHIFT bytes each. */
const OVERHEAD_BYTES = 64;
const RECORD_SHIFT = 5;

/** An adopted connection, from its admission to its end. */
export interface Admitted {
  readonly admission: Admission;
  readonly address: string;
  /** steady milliseconds */
  readonly acceptedAt: number;
  /** the descriptor, which uWebSockets.js owns */
  readonly fd: number;
  /** identity of the socket: the number of a closed descriptor may name another socket */
  readonly cookie: number;
  /** the request was refused by an HTTP answer */
  wasAnswered: boolean;
  /** null until the WebSocket is open */
  connection: UwsConnection | null;
}

/** A connection lives from the open WebSocket to its end; `client` is set by the caller. */
export class UwsConnection implements Connection, Departing, Gatherer {
  readonly address: string;
  readonly acceptedAt: number;
  readonly #fd: number;
  readonly #guard: Guard;
  client: ConnectionClient | null = null;
  /** null: the WebSocket has ended */
  #socket: UwsSocket<Admitted> | null;
  /** uWebSockets.js holds bytes that the kernel has not taken */
  #isBlocked = false;
  #isPaused = false;
  /** this side has closed; further input is ignored */
  #isEnding = false;
  #wasReset = false;
  /** no message has come */
  isSilent = true;
  /** received bytes at the last sample; those that went to complete messages since, an estimate that is never low */
  #received = 0;
  #delivered = 0;
  /** bytes of incomplete messages, an estimate; the bytes of that reported to the client */
  #kept = 0;
  #reported = 0;

  constructor(socket: UwsSocket<Admitted>, { address, acceptedAt, fd }: Admitted, guard: Guard) {
    this.#socket = socket;
    this.address = address;
    this.acceptedAt = acceptedAt;
    this.#fd = fd;
    this.#guard = guard;
  }

  // ---- calls by the client

  send(bytes: Buffer): boolean {
    const socket = this.#socket;
    if (socket === null || this.#isEnding) return true;
    if (socket.send(bytes, true, false) === SENT) return true;
    this.#isBlocked = true;
    this.#stayPaused();
    return false;
  }

  pause(): void {
    if (this.#isPaused) return;
    this.#isPaused = true;
    this.#stayPaused();
  }

  resume(): void {
    if (!this.#isPaused) return;
    this.#isPaused = false;
    if (this.#socket !== null) this.#setReadable(true);
  }

  end(): void {
    this.#close(NORMAL_CLOSURE);
  }

  finish(): void {
    this.#close(NORMAL_CLOSURE);
  }

  destroy(): void {
    this.#isEnding = true;
    this.#socket?.close();
  }

  // ---- calls by the app

  /** A ping or pong has come. */
  onControl(bytes: number): void {
    this.#delivered += bytes + OVERHEAD_BYTES;
  }

  /** Estimates what uWebSockets.js keeps of a message that is not complete, and reports it. Costs a system call. */
  sample(): void {
    if (this.#socket === null) return;
    const received = this.#guard.received(this.#fd);
    this.#kept = Math.max(0, this.#kept + received - this.#received - this.#delivered);
    this.#received = received;
    this.#delivered = 0;
    const kept = this.#kept < REPORTED_BYTES ? 0 : this.#kept;
    if (kept === this.#reported) return;
    this.#reported = kept;
    this.client?.onHeld?.(kept);
  }

  onMessage(message: ArrayBuffer, isBinary: boolean): void {
    this.isSilent = false;
    const { byteLength } = message;
    this.#delivered += byteLength + (byteLength >> RECORD_SHIFT) + OVERHEAD_BYTES;
    if (this.#isEnding) return;
    // [MQTT-6.0.0-1]: MQTT travels in binary frames.
    if (isBinary) gather(this, message);
    else {
      this.#wasReset = true;
      this.#close(UNSUPPORTED_DATA);
    }
  }

  deliver(buf: Buffer, start: number, end: number): void {
    if (!this.#isEnding) this.client?.onData(buf, start, end);
  }

  onDrain(): void {
    if (!this.#isBlocked || this.#socket === null || this.#socket.getBufferedAmount() > 0) return;
    this.#isBlocked = false;
    this.#stayPaused();
    if (!this.#isEnding) this.client?.onDrain();
  }

  /** The WebSocket is over: the socket may not be used any more. The client is notified later, as of every connection. */
  onClose(code: number): void {
    // This comes first: the answers to gathered packets must not reach the socket, whose calls throw from now on.
    this.#socket = null;
    handOn(this);
    if (code === ABNORMAL_CLOSURE && !this.#isEnding) this.#wasReset = true;
    departLater(this);
  }

  closeEnded(): void {
    this.client?.onClose(this.#wasReset);
  }

  // ----

  /** uWebSockets.js sends what waits, then the close frame, and cuts off a peer that does not close. It calls onClose() in between. */
  #close(code: number): void {
    if (this.#isEnding) return;
    handOn(this);
    this.#isEnding = true;
    this.resume();
    this.#socket?.end(code);
  }

  /** Stops reading again: uWebSockets.js resumes when output begins or ends to wait. */
  #stayPaused(): void {
    if (this.#isPaused && this.#socket !== null) this.#setReadable(false);
  }

  #setReadable(on: boolean): void {
    if (this.#guard.readable(this.#fd, on)) return;
    // The loop does not watch the descriptor yet.
    setImmediate(() => {
      if (this.#socket !== null && this.#isPaused !== on) this.#guard.readable(this.#fd, on);
    });
  }
}
