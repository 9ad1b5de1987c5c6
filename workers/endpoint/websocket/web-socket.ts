/** MQTT over WebSocket on any kind of connection: the request, then frames both ways. Plain MQTT too, while an endpoint accepts both. */

import type { X509Certificate } from 'node:crypto';
import { readTurn, type TurnTaker } from '../../../src/kernel/turns/read-turn.ts';
import { CONNECT_BYTE, describeStranger } from '../../../src/mqtt/connect/first-bytes.ts';
import type { Admission, Connection, ConnectionClient, HandshakeFailure, ListenerHost } from '../connection/connection.ts';
import { type Departing, departLater } from '../connection/departures.ts';
import { type FrameEnd, FrameReader, NORMAL_CLOSURE, OPCODE, writeHeader } from './frame-reader.ts';
import { answerUpgrade, HEAD_BYTES_MAX, refuseLongHead, type UpgradeAnswer } from './http-upgrade.ts';

const HEADER_BYTES_MAX = 10;
const LETTERS_FROM = 0x41;
/** Frames that count as one unit of a turn, whatever they carry. The client counts the content itself. */
const FRAMES_PER_UNIT = 4;
/** Size of the shared buffer in which frames are built; larger frames get a buffer of their own. */
const SCRATCH_BYTES = 64 * 1024;
let scratch: Buffer | null = null;

/** Stands between the network connection `inner` and its client `client`. */
class WebSocketConnection implements Connection, ConnectionClient, Departing, TurnTaker {
  readonly #inner: Connection;
  readonly #upgrades: WebSockets;
  readonly #admission: Admission;
  readonly #mayBePlain: boolean;
  /** the WebSocket holds the place until its client does */
  #hasPlace = true;
  readonly #reader = new FrameReader();
  client: ConnectionClient | null = null;
  /** `plain`: the peer speaks MQTT without WebSocket */
  #state: 'asked' | 'open' | 'plain' | 'ending' = 'asked';
  /** the start of the request */
  #head: Buffer | null = null;
  /** `inner` holds bytes that the kernel has not taken */
  #isBlocked = false;
  /** frames that wait for `inner` */
  #waiting: Buffer[] = [];
  /** the request was accepted */
  #isFramed = false;
  /** the WebSocket ended with a close frame */
  #isOrderly = false;
  /** the client has been notified of the end */
  #isTold = false;
  /** input that waits for a later turn of the thread; null: none */
  #held: Buffer[] | null = null;
  /** `inner` has ended: no more input follows */
  #isLast = false;
  /** the client has stopped reading */
  #isPaused = false;
  /** the failure of a connection that had no client; null: the peer left, or got an HTTP answer */
  #failure: HandshakeFailure | null = null;
  #detail = '';

  constructor(inner: Connection, upgrades: WebSockets, admission: Admission, mayBePlain: boolean) {
    this.#inner = inner;
    this.#upgrades = upgrades;
    this.#admission = admission;
    this.#mayBePlain = mayBePlain;
  }

  // ---- calls by the client

  get address(): string {
    return this.#inner.address;
  }

  get acceptedAt(): number {
    return this.#inner.acceptedAt;
  }

  clientCertificate(): X509Certificate | null {
    return this.#inner.clientCertificate?.() ?? null;
  }

  send(bytes: Buffer): boolean {
    if (this.#state === 'plain') return this.#inner.send(bytes);
    if (this.#state !== 'open') return true;
    if (!this.#isBlocked) return this.#sendFrame(OPCODE.binary, bytes);
    this.#waiting.push(frame(OPCODE.binary, bytes));
    return false;
  }

  pause(): void {
    this.#isPaused = true;
    this.#inner.pause();
  }

  resume(): void {
    this.#isPaused = false;
    if (this.#held === null) this.#inner.resume();
  }

  end(): void {
    if (this.#state === 'ending') return;
    this.#isOrderly = true;
    this.#sayClose(NORMAL_CLOSURE);
    this.#inner.end();
  }

  finish(): void {
    this.end();
  }

  destroy(): void {
    this.#inner.destroy();
  }

  // ---- calls by the connection below

  onData(buf: Buffer, start: number, end: number): void {
    if (this.#state === 'asked') this.#readHead(buf, start, end);
    else if (this.#state === 'open') this.#takeFrames(buf, start, end);
    else if (this.#state === 'ending' && this.#isFramed) this.#readUntilClose(buf, start, end);
    else if (this.#state === 'plain') this.client?.onData(buf, start, end);
  }

  onDrain(): void {
    this.#isBlocked = false;
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const bytes of waiting) if (!this.#inner.send(bytes)) this.#isBlocked = true;
    if (!this.#isBlocked && this.#state !== 'ending') this.client?.onDrain();
  }

  onClose(reset: boolean): void {
    this.#upgrades.forget(this);
    this.#isLast = true;
    this.#readHeld();
    this.#waiting = [];
    if (this.#hasPlace) this.#upgrades.host.leave(this.#admission, this.#failure, this.#detail);
    this.#tellEnd(reset);
  }

  #tellEnd(reset: boolean): void {
    if (this.#isTold) return;
    this.#isTold = true;
    this.client?.onClose(reset || (this.#isFramed && !this.#isOrderly));
  }

  closeEnded(): void {
    this.#tellEnd(false);
  }

  onTurn(): void {
    this.#readHeld();
    if (this.#held === null && !this.#isPaused) this.#inner.resume();
  }

  // ----

  #readHead(buf: Buffer, start: number, end: number): void {
    // A request begins with a letter, CONNECT does not [MQTT-2.2.2-2]. Without the check an MQTT client and the server wait for each other.
    if (this.#head === null && buf[start]! < LETTERS_FROM) {
      if (buf[start] === CONNECT_BYTE && this.#mayBePlain) this.#becomePlain(buf, start, end);
      else this.fail('bad_connect', `${this.address}: ${describeStranger(buf, start, end, 'WebSocket')}`);
      return;
    }
    const chunk = buf.subarray(start, end);
    const bytes = this.#head === null ? chunk : Buffer.concat([this.#head, chunk]);
    const size = bytes.indexOf('\r\n\r\n');
    if (size < 0 && bytes.length < HEAD_BYTES_MAX) {
      this.#head = Buffer.from(bytes);
      return;
    }
    this.#head = null;
    const { host } = this.#upgrades;
    const isLong = size < 0 || size > HEAD_BYTES_MAX;
    const answer: UpgradeAnswer = isLong ? refuseLongHead() : answerUpgrade(bytes.toString('latin1', 0, size), host.endpoint.path);
    this.#isBlocked = !this.#inner.send(answer.bytes);
    if (!answer.isOpen) {
      this.#state = 'ending';
      this.#inner.end();
      return;
    }
    this.#state = 'open';
    this.#isFramed = true;
    if (this.#welcome() && bytes.length > size + 4) this.#takeFrames(bytes, size + 4, bytes.length);
  }

  /** Ends a connection before it is open. */
  fail(failure: HandshakeFailure, detail: string): void {
    this.#failure = failure;
    this.#detail = detail;
    this.#inner.destroy();
  }

  #becomePlain(buf: Buffer, start: number, end: number): void {
    this.#state = 'plain';
    if (this.#welcome()) this.client?.onData(buf, start, end);
  }

  #welcome(): boolean {
    this.#upgrades.forget(this);
    this.client = this.#upgrades.host.welcome(this, this.#admission);
    // The client now holds the place, or the host has returned it.
    this.#hasPlace = false;
    if (this.client === null) this.#inner.destroy();
    return this.client !== null;
  }

  /** Empty frames cost time too: pongs, empty fragments. A connection waits like any other when the turn is over. */
  #takeFrames(buf: Buffer, start: number, end: number): void {
    if (this.#isLast || (this.#held === null && !readTurn.isOver)) {
      this.#readFrames(buf, start, end);
      return;
    }
    const copy = Buffer.from(buf.subarray(start, end));
    if (this.#held !== null) this.#held.push(copy);
    else {
      this.#held = [copy];
      this.#inner.pause();
      readTurn.wait(this, copy.length);
    }
  }

  #readHeld(): void {
    const held = this.#held;
    if (held === null) return;
    this.#held = null;
    for (const bytes of held) this.onData(bytes, 0, bytes.length);
  }

  #readFrames(buf: Buffer, start: number, end: number): void {
    const reader = this.#reader;
    const { frames } = reader;
    const dataEnd = reader.read(buf, start, end);
    readTurn.worked(Math.ceil((reader.frames - frames) / FRAMES_PER_UNIT));
    if (dataEnd > start) this.client?.onData(buf, start, dataEnd);
    if (this.#state !== 'open') {
      if (reader.ended?.isClose) this.#inner.finish();
      return;
    }
    if (reader.ping !== null) {
      // The latest of several pings may be the only one answered (RFC 6455 section 5.5.3).
      if (this.#isBlocked) this.#pongLater(reader.ping);
      else this.#sendFrame(OPCODE.pong, reader.ping);
      reader.ping = null;
    }
    if (reader.ended !== null) this.#endBy(reader.ended);
  }

  /**
   * Ends the WebSocket after a close frame or a fault of the peer. The client is notified now, however long the connection below lasts.
   * That connection ends at once when both sides have sent a close frame (RFC 6455 section 7.1.1).
   */
  #endBy({ code, isOrderly, isClose }: FrameEnd): void {
    this.#isOrderly = isOrderly;
    this.#sayClose(code);
    if (isClose) this.#inner.finish();
    else this.#inner.end();
    departLater(this);
  }

  /** Reads on after our close frame, only to find the close frame of the peer. */
  #readUntilClose(buf: Buffer, start: number, end: number): void {
    this.#reader.read(buf, start, end);
    if (this.#reader.ended?.isClose) this.#inner.finish();
  }

  /** Queues a pong in place of an older waiting pong, which no longer answers the latest ping. */
  #pongLater(payload: Buffer): void {
    this.#waiting = this.#waiting.filter((bytes) => (bytes[0]! & 0x0f) !== OPCODE.pong);
    this.#waiting.push(frame(OPCODE.pong, payload));
  }

  /** Sends the waiting frames and then a close frame; nothing follows. */
  #sayClose(code: number): void {
    const wasOpen = this.#state === 'open';
    this.#state = 'ending';
    if (!wasOpen) return;
    for (const bytes of this.#waiting) this.#inner.send(bytes);
    this.#waiting = [];
    const reason = Buffer.alloc(2);
    reason.writeUInt16BE(code);
    this.#inner.send(frame(OPCODE.close, reason));
  }

  #sendFrame(opcode: number, bytes: Buffer): boolean {
    const end = HEADER_BYTES_MAX + bytes.length;
    if (end > SCRATCH_BYTES && this.#inner.sendBoth !== undefined) {
      const head = Buffer.allocUnsafe(HEADER_BYTES_MAX);
      const from = writeHeader(head, HEADER_BYTES_MAX, opcode, bytes.length);
      this.#isBlocked = !this.#inner.sendBoth(head.subarray(from), bytes);
      return !this.#isBlocked;
    }
    scratch ??= Buffer.allocUnsafeSlow(SCRATCH_BYTES);
    const out = end <= SCRATCH_BYTES ? scratch : Buffer.allocUnsafeSlow(end);
    bytes.copy(out, HEADER_BYTES_MAX);
    const start = writeHeader(out, HEADER_BYTES_MAX, opcode, bytes.length);
    if (this.#inner.send(out.subarray(start, end))) return true;
    this.#isBlocked = true;
    // The connection below uses the buffer until onDrain.
    if (out === scratch) scratch = null;
    return false;
  }
}

/** A frame in a buffer of its own. */
function frame(opcode: number, bytes: Buffer): Buffer {
  const out = Buffer.allocUnsafe(HEADER_BYTES_MAX + bytes.length);
  bytes.copy(out, HEADER_BYTES_MAX);
  return out.subarray(writeHeader(out, HEADER_BYTES_MAX, opcode, bytes.length));
}

/** The WebSockets of one listener. The sweep ends connections that do not open in time. */
export class WebSockets {
  readonly host: ListenerHost;
  /** connections that are not open yet, the oldest first; only the time of a TLS handshake disturbs the order */
  readonly #asked = new Set<WebSocketConnection>();

  constructor(host: ListenerHost) {
    this.host = host;
  }

  /**
   * Takes an admitted connection: one with a place, or one that is let in only to learn why it has none.
   * @param mayBePlain true when the peer may also speak MQTT without WebSocket
   */
  take(inner: Connection, admission: Admission, mayBePlain: boolean): ConnectionClient {
    const connection = new WebSocketConnection(inner, this, admission, mayBePlain);
    this.#asked.add(connection);
    return connection;
  }

  forget(connection: WebSocketConnection): void {
    this.#asked.delete(connection);
  }

  /** Ends the connections that are not open yet. */
  close(): void {
    for (const connection of [...this.#asked]) connection.destroy();
  }

  /** Ends connections that are not open `timeoutMs` after they were accepted. @param now steady milliseconds */
  sweep(now: number, timeoutMs: number): void {
    for (const connection of [...this.#asked]) {
      if (now - connection.acceptedAt > timeoutMs) {
        connection.fail('connect_timeout', `${connection.address}: no complete WebSocket request came within ${timeoutMs} ms`);
      }
    }
  }
}
