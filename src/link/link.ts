/**
 * A reliable link to one other node over a wire that loses, doubles, delays and reorders frames: sequence numbers, cumulative
 * acknowledgements, selective repetition. It has no timers: its owner calls tick() each 20 ms or so, and flush() at the end of a turn.
 */

import { Fifo } from '../kernel/fifo.ts';
import { GOODBYE, type LinkOptions, type LinkState, type LinkUser } from './contract.ts';
import { type LinkCounts, noCounts } from './counts.ts';
import {
  FIRST_SEQ,
  FRAME_BYTES_MAX,
  type FrameHead,
  HEAD_BYTES,
  KIND,
  type Kind,
  readHead,
  readReport,
  reportFrame,
  type SeqRange,
  writeHead,
} from './frame.ts';
import { Handshake } from './handshake.ts';
import { Packer } from './packer.ts';
import { LANES, PartReader } from './parts.ts';
import { ReceiveWindow } from './receive-window.ts';
import { FRAMES_MAX, SendWindow, type SentFrame } from './send-window.ts';
import { Timing } from './timing.ts';

export const WINDOW_BYTES = 4 * 1024 * 1024;
const WINDOW_BYTES_MIN = 1024 * 1024;
/** Frames under way: one turn adds a few more. */
const FRAMES_UNDER_WAY_MAX = FRAMES_MAX - 64;
/** A packet of MQTT's largest size, 256 MiB, with its record head. */
const PACKET_BYTES_MAX = 272 * 1024 * 1024;
const DOWN_MS = 4_000;
/** A report goes at once when so many bytes have come since the last one. */
const REPORT_BYTES = 256 * 1024;

export class Link {
  readonly counts: LinkCounts = noCounts();
  readonly #options: LinkOptions;
  readonly #hooks: LinkUser;
  readonly #windowBytes: number;
  readonly #packetBytesMax: number;
  readonly #handshake: Handshake;
  readonly #timing: Timing;
  #packer!: Packer;
  #sent!: SendWindow;
  #received!: ReceiveWindow;
  #reader!: PartReader;
  /** counts sessions: a hook may end one */
  #session = 0;
  #isConnected = false;
  #isClosed = false;
  /** packets of this session that are not acknowledged */
  #open = 0;
  /** sequence of the oldest frame that the transport has not taken yet; null: it has all frames */
  #untransmitted: number | null = null;
  #lacksRoom = false;
  #reportIsDue = false;
  #bytesSinceReport = 0;
  /** packets delivered, and taken, over all sessions */
  #delivered = 0;
  #takenPackets = 0;
  /** frames whose packets are delivered and not all taken */
  #untaken = new Fifo<{ seq: number; upTo: number }>();
  #takenSeq = FIRST_SEQ - 1;

  /** @throws RangeError for a window below 1 MiB */
  constructor(options: LinkOptions, hooks: LinkUser) {
    this.#options = options;
    this.#hooks = hooks;
    this.#windowBytes = options.windowBytes ?? WINDOW_BYTES;
    if (this.#windowBytes < WINDOW_BYTES_MIN) throw new RangeError(`a window of ${this.#windowBytes} bytes is below ${WINDOW_BYTES_MIN}`);
    this.#packetBytesMax = options.packetBytesMax ?? PACKET_BYTES_MAX;
    this.#handshake = new Handshake(options.random32);
    this.#timing = new Timing(options.now(), options.downMs ?? DOWN_MS);
    this.#renew();
  }

  get state(): LinkState {
    if (this.#isClosed) return 'closed';
    if (this.#handshake.state !== 'up') return 'greeting';
    return this.#timing.isSuspect ? 'suspect' : 'up';
  }

  /**
   * The silence of the other node (ms), without pauses of this process, and whether the node owes an acknowledgement; null while no session is
   * up.
   */
  get silence(): { ms: number; isOwing: boolean } | null {
    if (this.#isClosed || this.#handshake.state !== 'up') return null;
    return { ms: this.#timing.silentMs, isOwing: this.#sent.isWaiting };
  }

  /** Bytes that write() takes before it refuses; at most 0 when it refuses now. The last packet may exceed it. */
  get room(): number {
    if (this.#handshake.state !== 'up' || this.#isClosed || this.#sent.frames >= FRAMES_UNDER_WAY_MAX) return 0;
    return this.#windowBytes - this.#sent.bytes - this.#packer.openBytes;
  }

  /** Bytes that this link keeps: frames until they are taken, packets until they are sent, frames behind a gap. */
  get keptBytes(): number {
    return this.#sent.bytes + this.#packer.openBytes + this.#packer.heldBytes + this.#received.aheadBytes;
  }

  /**
   * Queues a packet until flush(). The link keeps it: it must not change.
   * @param lane 0..255: packets of a lane keep their order, lanes pass one another
   * @returns the room that is left: at most 0 means wait for room(); null: refused, because no session is up, there is no room, or the packet
   * is too large, alone or beside what waits for a large packet
   */
  write(lane: number, packet: Uint8Array): number | null {
    if (lane < 0 || lane >= LANES) throw new RangeError(`there is no lane ${lane}`);
    const room = this.room;
    const isHeld = this.#packer.isHeld(lane, packet);
    const { heldBytes } = this.#packer;
    const isTooMuch = isHeld && heldBytes > 0 && heldBytes + packet.length > this.#packetBytesMax;
    if (room <= 0 || isTooMuch || packet.length > this.#packetBytesMax) {
      this.counts.refused++;
      this.#lacksRoom ||= packet.length <= this.#packetBytesMax;
      return null;
    }
    this.#open++;
    this.#packer.add(lane, packet);
    const left = this.room;
    if (left <= 0) this.#lacksRoom = true;
    return left;
  }

  /** Sends the written packets, and acknowledges the packets that came. */
  flush(): void {
    if (this.#handshake.state !== 'up' || this.#isClosed) return;
    this.#packer.close();
    this.#packer.pump((bytes) => this.#takesChunk(bytes));
    this.#packer.close();
    this.#transmit();
    if (this.#reportIsDue) this.#report([]);
  }

  /** @param upTo number of a delivered packet: it and all before it are taken. For `takes: later` */
  take(upTo: number): void {
    this.#takenPackets = Math.max(this.#takenPackets, Math.min(upTo, this.#delivered));
    for (let next = this.#untaken.peek(); next !== undefined && next.upTo <= this.#takenPackets; next = this.#untaken.peek()) {
      this.#untaken.shift();
      this.#takenSeq = next.seq;
      this.#reportIsDue = true;
    }
  }

  /** See LinkTransport.onState: repeats frames that may be lost, and asks for missing frames. */
  connected(isConnected: boolean): void {
    this.#isConnected = isConnected;
    if (!isConnected || this.#isClosed) return;
    if (this.#handshake.state !== 'up') {
      this.#timing.greetNow();
      this.tick();
      return;
    }
    this.#repeatAll();
    const after = this.#received.got + 1;
    this.#report([{ from: after, to: after + FRAMES_MAX }]);
  }

  tick(): void {
    if (this.#isClosed) return;
    const timing = this.#timing;
    const now = this.#options.now();
    timing.passed(now);
    switch (this.#handshake.state) {
      case 'greeting':
        if (timing.isGreetingDue(now)) this.#send(KIND.hello, 0);
        return;
      case 'confirming':
        if (timing.isConfirmingOver(now)) {
          this.#handshake.restart();
          timing.greetNow();
        } else if (timing.isGreetingDue(now)) this.#send(KIND.confirm, this.#handshake.peerEpoch);
        return;
      default:
        this.#tickUp(now);
    }
  }

  /** Ends the session without a goodbye, for a new session: packets that this side has not taken come again. */
  restart(reason: string): void {
    if (!this.#isClosed && this.#handshake.state === 'up') this.#end(reason);
  }

  /** Says goodbye, and sends and takes nothing from now on. Idempotent. */
  close(): void {
    if (this.#isClosed) return;
    if (this.#handshake.state === 'up') {
      this.#send(KIND.bye, this.#handshake.peerEpoch);
      this.#end('this node closed the link');
    }
    this.#isClosed = true;
  }

  /** Handles bytes from the wire, valid or not. */
  heard(bytes: Uint8Array): void {
    if (this.#isClosed) return;
    const head = readHead(bytes);
    if (head === null) {
      this.counts.invalid++;
      return;
    }
    this.counts.bytesReceived += bytes.length;
    const before = this.#handshake.state;
    const verdict = this.#handshake.heard(head);
    switch (verdict) {
      case 'late':
        this.counts.late++;
        return;
      case 'challenge':
        this.#send(KIND.challenge, head.epoch, this.#handshake.epochFor(head.epoch));
        return;
      case 'confirm':
        if (before === 'greeting') this.#timing.confirming(this.#options.now());
        this.#send(KIND.confirm, head.epoch);
        return;
      case 'replaced':
        this.#forget('the other node has begun anew');
        if (this.#isClosed) return;
        this.#begin(head);
        break;
      case 'began':
        this.#begin(head);
        break;
      default:
    }
    this.#handle(head, bytes);
  }

  #tickUp(now: number): void {
    const timing = this.#timing;
    if (timing.isDown) {
      this.#end(`the other node was silent for ${this.#options.downMs ?? DOWN_MS} ms`);
      return;
    }
    const canRepeat = this.#isConnected && this.#untransmitted === null && this.#sent.isWaiting;
    if (timing.isRepetitionDue(now, canRepeat)) this.#repeatAll();
    if (this.#received.hasGap && timing.isDemandDue(now)) this.#report(this.#received.missing());
    this.flush();
    if (timing.isBeatDue(now)) this.#report([]);
  }

  #begin(head: FrameHead): void {
    this.#timing.up(this.#options.now());
    const session = this.#session;
    this.#hooks.up(head.incarnation);
    if (session === this.#session) this.#report([]);
  }

  /** Ends the session, and greets for a new one. */
  #end(reason: string): void {
    this.#handshake.restart();
    this.#timing.greetNow();
    this.#forget(reason);
  }

  #forget(reason: string): void {
    const unacknowledged = this.#open;
    this.counts.ended++;
    this.counts.unacknowledged += unacknowledged;
    this.#renew();
    this.#hooks.down(reason, unacknowledged);
  }

  #renew(): void {
    this.#session++;
    this.#packer = new Packer((frame, ended, chunkBytes) => this.#emit(frame, ended, chunkBytes));
    this.#sent = new SendWindow();
    this.#received = new ReceiveWindow(this.#windowBytes + 2 * FRAME_BYTES_MAX);
    this.#reader = new PartReader(this.#packetBytesMax);
    this.#untaken = new Fifo();
    this.#takenPackets = this.#delivered;
    this.#takenSeq = FIRST_SEQ - 1;
    this.#open = 0;
    this.#untransmitted = null;
    this.#lacksRoom = false;
    this.#reportIsDue = false;
    this.#bytesSinceReport = 0;
  }

  #handle(head: FrameHead, bytes: Uint8Array): void {
    const now = this.#options.now();
    this.#timing.heard(head, now);
    this.counts.rttMs = this.#timing.rttMs;
    const session = this.#session;
    if (this.#sent.heard(head.got, head.taken, (sent) => this.#taken(sent, session))) this.#timing.progressed(now);
    if (session !== this.#session) return;
    if (head.kind === KIND.data) this.#handleData(head, bytes);
    else if (head.kind === KIND.bye) this.#end(GOODBYE);
    else {
      this.#received.know(head.seq);
      if (head.kind === KIND.report) this.#repeat(readReport(bytes, this.#sent.nextSeq));
    }
    if (session === this.#session) this.#tellRoom();
  }

  #taken(sent: SentFrame, session: number): void {
    // A hook may end the session.
    for (let i = 0; i < sent.ended.length && session === this.#session; i += 2) {
      const count = sent.ended[i + 1] ?? 0;
      this.#open -= count;
      this.#hooks.acked(sent.ended[i] ?? 0, count);
    }
  }

  #tellRoom(): void {
    if (!this.#lacksRoom || this.room < this.#windowBytes >> 2) return;
    this.#lacksRoom = false;
    this.#hooks.room();
  }

  #handleData(head: FrameHead, bytes: Uint8Array): void {
    const session = this.#session;
    const received = this.#received;
    const outcome = received.take(head.seq, bytes);
    this.#reportIsDue = true;
    if (outcome === 'overflow') this.counts.overflowed++;
    else if (outcome === 'duplicate') this.counts.duplicate++;
    else if (outcome === 'gap') this.#report(received.missing());
    else if (outcome === 'next') {
      let seq = received.got;
      for (let frame: Uint8Array | undefined = bytes; frame !== undefined; frame = received.following(), seq++) {
        if (!this.#read(seq, frame)) return;
      }
      if (this.#bytesSinceReport >= REPORT_BYTES && session === this.#session) this.#report([]);
    }
  }

  /** @returns false when the session is over */
  #read(seq: number, frame: Uint8Array): boolean {
    const session = this.#session;
    this.counts.received++;
    this.#bytesSinceReport += frame.length;
    const problem = this.#reader.read(frame, (lane, packet) => {
      this.#hooks.deliver(lane, packet, ++this.#delivered);
      return session === this.#session;
    });
    if (session !== this.#session) return false;
    if (problem !== null) {
      this.counts.invalid++;
      this.#end(`the other node sent a frame that cannot be read: ${problem}`);
      return false;
    }
    this.#untaken.push({ seq, upTo: this.#delivered });
    this.take(this.#options.takes === 'later' ? this.#takenPackets : this.#delivered);
    return true;
  }

  /** Chunks get half of the window, so that small packets always find room. */
  #takesChunk(bytes: number): boolean {
    if (this.#untransmitted !== null || this.#sent.frames >= FRAMES_MAX >> 1) return false;
    return this.#sent.chunkBytes + bytes <= this.#windowBytes >> 1;
  }

  #emit(frame: Buffer, ended: readonly number[], chunkBytes: number): void {
    const { seq } = this.#sent.push(frame, ended, chunkBytes);
    this.counts.sent++;
    if (this.#untransmitted !== null) return;
    this.#untransmitted = seq;
    this.#transmit();
  }

  #repeatAll(): void {
    this.#untransmitted = FIRST_SEQ;
    this.#transmit();
  }

  /** Gives the transport the frames that it has not taken yet, until it refuses. */
  #transmit(): void {
    if (this.#untransmitted === null) return;
    for (const sent of this.#sent.unreceived({ from: this.#untransmitted, to: this.#sent.nextSeq - 1 })) {
      if (this.#sendAgain(sent)) continue;
      this.#untransmitted = sent.seq;
      return;
    }
    this.#untransmitted = null;
  }

  #repeat(ranges: readonly SeqRange[]): void {
    if (this.#untransmitted !== null) return;
    const now = this.#options.now();
    for (const range of ranges) {
      for (const sent of this.#sent.unreceived(range)) {
        if (this.#timing.isRecent(sent.repeatedAt, now)) continue;
        if (!this.#sendAgain(sent)) return;
      }
    }
  }

  #sendAgain(sent: SentFrame): boolean {
    const { frame, seq } = sent;
    if (frame === null) return true;
    if (!this.#give(frame, KIND.data, this.#handshake.epoch, this.#handshake.peerEpoch, seq)) return false;
    if (sent.isSent) {
      this.counts.resent++;
      sent.repeatedAt = this.#options.now();
    }
    sent.isSent = true;
    return true;
  }

  #report(ranges: readonly SeqRange[]): void {
    const frame = reportFrame(ranges);
    if (ranges.length > 0) this.#timing.demanded(this.#options.now());
    this.#give(frame, KIND.report, this.#handshake.epoch, this.#handshake.peerEpoch, this.#sent.nextSeq - 1);
  }

  #send(kind: Kind, toEpoch: number, epoch = this.#handshake.epoch): void {
    this.#give(Buffer.allocUnsafe(HEAD_BYTES), kind, epoch, toEpoch, this.#sent.nextSeq - 1);
  }

  #give(frame: Buffer, kind: Kind, epoch: number, toEpoch: number, seq: number): boolean {
    const now = this.#options.now();
    const { incarnation } = this.#options;
    const { echo, keptMs } = this.#timing.echo(now);
    writeHead(frame, {
      kind,
      epoch,
      toEpoch,
      seq,
      got: this.#received.got,
      taken: this.#takenSeq,
      sentAt: this.#timing.stamp(now),
      echo,
      keptMs,
      incarnation,
    });
    if (!this.#hooks.send(frame)) return false;
    this.#timing.sent(now);
    this.counts.bytesSent += frame.length;
    this.#reportIsDue = false;
    this.#bytesSinceReport = 0;
    return true;
  }
}
