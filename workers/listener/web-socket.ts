/** MQTT over WebSocket on connections of any kind: the request, then frames both ways; or MQTT at once, where both may come. */

import { readTurn, type TurnTaker } from '../../src/kernel/turns/read-turn.ts';
import { CONNECT_BYTE, describeStranger } from '../../src/mqtt/connect/first-bytes.ts';
import type { Admission, Connection, ConnectionClient, HandshakeFailure, ListenerHost } from '../connection.ts';
import { type Departing, departLater } from './departures.ts';
import { type FrameEnd, FrameReader, NORMAL_CLOSURE, OPCODE, writeHeader } from './frame-reader.ts';
import { answerUpgrade, HEAD_BYTES_MAX, refuseLongHead, type UpgradeAnswer } from './http-upgrade.ts';

const HEADER_BYTES_MAX = 10;
const LETTERS_FROM = 0x41;
/** Frames without content that count as one unit of a turn: what they carry is counted by the client. */
const FRAMES_PER_UNIT = 4;
/** Frames are put together in one buffer of this size; larger ones get their own. */
const SCRATCH_BYTES = 64 * 1024;
let scratch: Buffer | null = null;

/** What is between a network connection and its client: `inner` is the one, `client` the other. */
class WebSocketConnection implements Connection, ConnectionClient, Departing, TurnTaker {
  readonly #inner: Connection;
  readonly #upgrades: WebSockets;
  readonly #admission: Admission;
  readonly #mayBePlain: boolean;
  /** it has, and not its client */
  #hasPlace = true;
  readonly #reader = new FrameReader();
  client: ConnectionClient | null = null;
  /** `plain`: it turned out to speak MQTT without WebSocket */
  #state: 'asked' | 'open' | 'plain' | 'ending' = 'asked';
  /** the start of the request */
  #head: Buffer | null = null;
  /** the connection below has bytes that it keeps */
  #isBlocked = false;
  /** frames that wait for that */
  #waiting: Buffer[] = [];
  /** it is a WebSocket */
  #isFramed = false;
  /** it ended as WebSockets end */
  #isOrderly = false;
  /** its client has been told of the end */
  #isTold = false;
  /** input that waits for a later turn of the thread; null: none */
  #held: Buffer[] | null = null;
  /** the connection below has ended: what it has brought is all that comes */
  #isLast = false;
  /** the client has stopped reading */
  #isPaused = false;
  /** why it ended before there was a client; null: the peer went, or was answered over HTTP */
  #failure: HandshakeFailure | null = null;
  #detail = '';

  constructor(inner: Connection, upgrades: WebSockets, admission: Admission, mayBePlain: boolean) {
    this.#inner = inner;
    this.#upgrades = upgrades;
    this.#admission = admission;
    this.#mayBePlain = mayBePlain;
  }

  // ---- what the client asks

  get address(): string {
    return this.#inner.address;
  }

  get acceptedAt(): number {
    return this.#inner.acceptedAt;
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

  // ---- what the connection below tells

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
    // A request begins with a letter, CONNECT does not [MQTT-2.2.2-2]: who speaks MQTT would wait for an answer, and we for the rest.
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

  /** Ends a connection that is not open yet. */
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
    // Its client has it, or it has been given back.
    this.#hasPlace = false;
    if (this.client === null) this.#inner.destroy();
    return this.client !== null;
  }

  /** Frames cost time also when they carry nothing: pongs, empty fragments. Their connection waits like others when the turn is over. */
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
      // Of several pings the latest may be answered alone (RFC 6455 section 5.5.3).
      if (this.#isBlocked) this.#pongLater(reader.ping);
      else this.#sendFrame(OPCODE.pong, reader.ping);
      reader.ping = null;
    }
    if (reader.ended !== null) this.#endBy(reader.ended);
  }

  /**
   * The peer has ended the WebSocket, in order or by a fault. Its client hears of it now, however long the connection below may live on.
   * After both close frames that one ends at once (RFC 6455 section 7.1.1).
   */
  #endBy({ code, isOrderly, isClose }: FrameEnd): void {
    this.#isOrderly = isOrderly;
    this.#sayClose(code);
    if (isClose) this.#inner.finish();
    else this.#inner.end();
    departLater(this);
  }

  /** We have said Close: the peer's own is all that is waited for. */
  #readUntilClose(buf: Buffer, start: number, end: number): void {
    this.#reader.read(buf, start, end);
    if (this.#reader.ended?.isClose) this.#inner.finish();
  }

  /** One that waits already is no longer the latest. */
  #pongLater(payload: Buffer): void {
    this.#waiting = this.#waiting.filter((bytes) => (bytes[0]! & 0x0f) !== OPCODE.pong);
    this.#waiting.push(frame(OPCODE.pong, payload));
  }

  /** What waits goes out, and a close frame behind it; then nothing more. */
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
    scratch ??= Buffer.allocUnsafeSlow(SCRATCH_BYTES);
    const out = end <= SCRATCH_BYTES ? scratch : Buffer.allocUnsafeSlow(end);
    bytes.copy(out, HEADER_BYTES_MAX);
    const start = writeHeader(out, HEADER_BYTES_MAX, opcode, bytes.length);
    if (this.#inner.send(out.subarray(start, end))) return true;
    this.#isBlocked = true;
    // It is in use until onDrain.
    if (out === scratch) scratch = null;
    return false;
  }
}

/** A frame of its own. */
function frame(opcode: number, bytes: Buffer): Buffer {
  const out = Buffer.allocUnsafe(HEADER_BYTES_MAX + bytes.length);
  bytes.copy(out, HEADER_BYTES_MAX);
  return out.subarray(writeHeader(out, HEADER_BYTES_MAX, opcode, bytes.length));
}

/** The WebSockets of one listener. The sweep ends those that are not open in time. */
export class WebSockets {
  readonly host: ListenerHost;
  /** not open yet, the oldest first, but for the time that TLS took */
  readonly #asked = new Set<WebSocketConnection>();

  constructor(host: ListenerHost) {
    this.host = host;
  }

  /**
   * Takes a connection that has a place, or is to be told why it has none.
   * @param mayBePlain whether it may speak MQTT without WebSocket too
   */
  take(inner: Connection, admission: Admission, mayBePlain: boolean): ConnectionClient {
    const connection = new WebSocketConnection(inner, this, admission, mayBePlain);
    this.#asked.add(connection);
    return connection;
  }

  forget(connection: WebSocketConnection): void {
    this.#asked.delete(connection);
  }

  /** Ends those that are not open yet. */
  close(): void {
    for (const connection of [...this.#asked]) connection.destroy();
  }

  /** Ends those that were accepted more than `timeoutMs` ago and are not open. @param now steady milliseconds */
  sweep(now: number, timeoutMs: number): void {
    for (const connection of [...this.#asked]) {
      if (now - connection.acceptedAt > timeoutMs) {
        connection.fail('connect_timeout', `${connection.address}: no whole WebSocket request came within ${timeoutMs} ms`);
      }
    }
  }
}
