/**
 * The one framer of a client's bytes. Whole packets are handled in place, an incomplete tail is kept, and the input of a held client waits.
 */

import { readTurn, type TurnTaker } from '../../../../src/kernel/turns/read-turn.ts';
import { CONNECT_BYTE, canBeConnect } from '../../../../src/mqtt/connect/first-bytes.ts';
import { ProtocolError } from '../../../../src/mqtt/errors.ts';
import { REASON } from '../../../../src/mqtt/reason-codes.ts';
import type { TopicEntry } from '../../../shared/routing/topic-entry.ts';
import { arena } from '../output/arena.ts';
import { flushDirty } from '../output/output.ts';
import { PartialPacket, packetSize } from './input.ts';

/** Reasons why a client's input waits. Each reason ends by itself. */
export const HOLD = {
  /** the answer to CONNECT is under way */
  connect: 1,
  /** the answer to SUBSCRIBE or UNSUBSCRIBE is under way */
  subscribe: 2,
  /** a peer is too far behind with this client's publishes */
  peers: 4,
  /** the listener waits for a moment with an empty accept queue, in which it closes */
  output: 8,
  /** the listener waits for an idle moment to close the connection */
  retire: 16,
  /** other connections of this thread have their turn */
  turn: 32,
} as const;

/** Units of a turn for a packet that is not on the fast path. */
const DECODED_UNITS = 4;

/** Half seconds that a packet may take to arrive, plus a second per KiB. Slow networks get enough time; peers that drip bytes are ended. */
const PACKET_TICKS = 60;
const BYTES_PER_TICK = 512;
/** A packet of this size or more must ask for memory. The number of connections bounds the memory of smaller ones. */
const WATCHED_BYTES = 64 * 1024;
/** Input bytes in one loop iteration after which output is flushed early. */
const EARLY_BYTES = 512 * 1024;
/** Nesting depth of read(): reading one client may release the waiting input of another. */
let reading = 0;

export type Hold = (typeof HOLD)[keyof typeof HOLD];

/** Cuts input into packets and takes the fast path for plain PUBLISH and PUBACK. The subclass interprets the packets. */
export abstract class PacketReader implements TurnTaker {
  #partial: PartialPacket | null = null;
  /** the partial packet of the last sweep, and the tick at which a sweep first saw it */
  #seen: PartialPacket | null = null;
  #seenAt = 0;
  /** bytes that the transport keeps, and the tick at which a sweep first saw them */
  #below = 0;
  #belowAt: number | null = null;
  /** input that waits while isHeld */
  #held: Buffer[] = [];
  /** reasons to wait, as flags; 0 = none */
  #holds = 0;
  #isPaused = false;
  /** The connection has ended: no more input follows. */
  #isLast = false;
  /** largest accepted packet, in bytes */
  protected maximumIn: number;

  constructor(maximumIn: number) {
    this.maximumIn = maximumIn;
  }

  /** CONNECT is answered, and the fast path is open. */
  protected abstract readonly isOnline: boolean;
  abstract readonly isClosed: boolean;
  /** Every packet is passed to tapped(). */
  protected abstract readonly isTapped: boolean;
  protected abstract tapped(buf: Buffer, start: number, end: number): void;
  /** The topic of a plain PUBLISH that this client may publish; null: decode() decides. */
  protected abstract plainTopic(buf: Buffer, at: number, size: number, first: number): TopicEntry | null;
  protected abstract publishRun(entry: TopicEntry, buf: Buffer, start: number, end: number, count: number): void;
  protected abstract publishOnce(entry: TopicEntry, buf: Buffer, at: number, size: number): void;
  /** PUBACK, PUBREC, PUBREL or PUBCOMP without reason code, by its first byte; false: decode() decides. */
  protected abstract acknowledged(first: number, packetId: number): boolean;
  /** Handles a whole packet that is not on the fast path. @throws ProtocolError */
  protected abstract decode(buf: Buffer, start: number, end: number): void;
  /** The packet may be refused before it is whole. */
  protected abstract beginsWith(bytes: Buffer): void;
  /** memory for incomplete packets */
  abstract readonly memory: { demand(bytes: number): void };
  /** Decides about an error in the input. */
  abstract fail(error: unknown): void;
  /** Called after a read is handled, as far as no hold stops it. */
  protected abstract inputEnded(): void;
  /** Called when all input of an ended connection is handled. */
  protected abstract inputOver(): void;
  protected abstract pauseReading(): void;
  protected abstract resumeReading(): void;

  /** Takes buf[start, end), which is valid during this call only. Errors end in fail(). */
  protected read(buf: Buffer, start: number, end: number): void {
    if (this.#isHeld) {
      this.#held.push(own(buf, start, end));
      // A held client is paused only here, when it sends: most clients send nothing while they wait, and pause and resume are system calls.
      if (!this.#isPaused) {
        this.#isPaused = true;
        this.pauseReading();
      }
      return;
    }
    if (readTurn.isOver && !this.#isLast) {
      this.#yield(own(buf, start, end));
      return;
    }
    reading++;
    try {
      this.#input(buf, start, end);
    } catch (error) {
      this.fail(error);
    }
    this.inputEnded();
    reading--;
    // An early flush sends large output from the processor's cache, and frees its memory for the next read of this loop iteration.
    if (reading === 0 && arena.retiredBytes > EARLY_BYTES) flushDirty();
  }

  /**
   * Like read(), before the first packet is known. Input that cannot become a CONNECT is not waited for [MQTT-3.1.0-1].
   * @returns the bytes that cannot become a CONNECT; null when the input was read
   */
  protected readFirst(buf: Buffer, start: number, end: number): Buffer | null {
    if (this.#partial === null && start < end && buf[start] !== CONNECT_BYTE) return buf.subarray(start, end);
    this.read(buf, start, end);
    const begun = this.#partial?.bytes ?? null;
    return begun === null || canBeConnect(begun, 0, begun.length) ? null : begun;
  }

  /** Counts finished work. True: the rest of the input waits for a later turn. */
  #isTurnOver(units: number): boolean {
    return readTurn.worked(units) && !this.#isLast;
  }

  /** Queues input for a later turn, ahead of all waiting input. Reading stops at once, which bounds the waiting input. */
  #yield(input: Buffer): void {
    this.#held.unshift(input);
    this.hold(HOLD.turn);
    // The input keeps its whole buffer alive.
    readTurn.wait(this, input.buffer.byteLength);
    if (this.#isPaused) return;
    this.#isPaused = true;
    this.pauseReading();
  }

  onTurn(): void {
    this.release(HOLD.turn);
  }

  #input(buf: Buffer, at: number, end: number): void {
    while (this.#partial !== null && at < end) {
      const before = this.#partial.slab.buf.length;
      at = this.#partial.take(buf, at, end, this.maximumIn);
      const grown = this.#partial.slab.buf.length - before;
      if (grown >= WATCHED_BYTES) this.#demand(this.#partial, grown);
      const { size, slab } = this.#partial;
      if (size < 0) return;
      this.#partial = null;
      // Retired before #process(), so that pin() finds the slab; the slab is free at the end of the loop iteration at the earliest.
      arena.retire(slab);
      this.#process(slab.buf, 0, size);
    }
    if (at >= end || this.isClosed) return;
    if (this.#isHeld) this.#held.push(own(buf, at, end));
    else if (this.isOnline && packetSize(buf, at, end, this.maximumIn) > end - at) {
      // A large packet in pieces: its bytes are copied to their final place at once.
      this.#begin(buf, at, end, this.maximumIn);
    } else {
      // Routed messages outlive the read.
      const from = arena.keep(buf, at, end);
      this.#process(arena.buf, from, from + end - at);
    }
  }

  /** Handles the whole packets of buf[at, end) and keeps an incomplete tail. */
  #process(buf: Buffer, at: number, end: number): void {
    let maximum = this.maximumIn;
    let runEntry: TopicEntry | null = null;
    let runStart = 0;
    let runCount = 0;
    while (at < end) {
      let size = -1;
      if (end - at >= 2) {
        const low = buf[at + 1]!;
        if (low < 0x80 && low + 2 <= maximum) size = low + 2;
        else {
          try {
            size = packetSize(buf, at, end, maximum);
          } catch (error) {
            // The packets before the error are valid.
            if (runEntry !== null) this.publishRun(runEntry, buf, runStart, at, runCount);
            throw error;
          }
        }
      }
      if (size < 0 || at + size > end) break;
      const first = buf[at]!;
      if (this.isTapped) this.tapped(buf, at, at + size);
      if (this.isOnline) {
        if ((first & 0xf9) === 0x30 && (first & 6) !== 6) {
          const entry = this.plainTopic(buf, at, size, first);
          if (entry !== null && first === 0x30) {
            if (runEntry !== entry) {
              if (runEntry !== null) {
                this.publishRun(runEntry, buf, runStart, at, runCount);
                if (this.#isTurnOver(runEntry.targets.length + 1)) {
                  this.publishRun(entry, buf, at, at + size, 1);
                  if (at + size < end) this.#yieldRest(buf, at + size, end);
                  return;
                }
              }
              runEntry = entry;
              runStart = at;
              runCount = 0;
            }
            runCount++;
            at += size;
            continue;
          }
          if (runEntry !== null) {
            this.publishRun(runEntry, buf, runStart, at, runCount);
            runEntry = null;
          }
          arena.pin(buf);
          if (entry !== null) this.publishOnce(entry, buf, at, size);
          else this.decode(buf, at, at + size);
          at += size;
          if (this.#stopped(buf, at, end, entry === null ? DECODED_UNITS : entry.targets.length + 1)) return;
          continue;
        }
        if (size === 4 && isAcknowledgement(first)) {
          // A run is a contiguous range of PUBLISH bytes: any other packet ends it.
          if (runEntry !== null) {
            this.publishRun(runEntry, buf, runStart, at, runCount);
            runEntry = null;
          }
          if (this.acknowledged(first, (buf[at + 2]! << 8) | buf[at + 3]!)) {
            at += size;
            if (this.#isTurnOver(1) && at < end) {
              this.#yieldRest(buf, at, end);
              return;
            }
            continue;
          }
        }
      }
      if (runEntry !== null) {
        this.publishRun(runEntry, buf, runStart, at, runCount);
        runEntry = null;
      }
      arena.pin(buf);
      this.decode(buf, at, at + size);
      at += size;
      // CONNECT raises the maximum, and the packets behind it may come before CONNACK is out.
      maximum = this.maximumIn;
      if (this.#stopped(buf, at, end, DECODED_UNITS)) return;
    }
    if (runEntry !== null) {
      this.publishRun(runEntry, buf, runStart, at, runCount);
      readTurn.worked(runEntry.targets.length + 1);
    }
    if (at < end && !this.isClosed) this.#begin(buf, at, end, maximum);
  }

  #begin(buf: Buffer, at: number, end: number, maximum: number): void {
    const partial = new PartialPacket(buf, at, end, maximum);
    const bytes = partial.slab.buf.length;
    if (bytes >= WATCHED_BYTES) this.#demand(partial, bytes);
    this.#partial = partial;
  }

  /** @throws ProtocolError quotaExceeded; a client that has not sent its whole CONNECT gets it, too, in the version that it speaks */
  #demand(partial: PartialPacket, bytes: number): void {
    this.beginsWith(partial.bytes);
    this.memory.demand(bytes);
  }

  /** Counts the bytes that the transport keeps as an incomplete packet: bounded before CONNECT, charged to the memory, and with a deadline. */
  onHeld(bytes: number): void {
    const grown = bytes - this.#below;
    this.#below = bytes;
    if (grown <= 0) {
      this.#belowAt = null;
      return;
    }
    try {
      if (!this.isOnline && bytes > this.maximumIn) throw new ProtocolError(REASON.packetTooLarge, 'Packet too large');
      this.memory.demand(grown);
    } catch (error) {
      this.fail(error);
    }
  }

  /** Bytes of waiting input and of the incomplete packet, also in the transport. */
  protected get inputBytes(): number {
    let bytes = this.#below + (this.#partial === null ? 0 : this.#partial.slab.buf.length);
    for (const waiting of this.#held) bytes += waiting.length;
    return bytes;
  }

  /** True when the rest of the input has to wait, or the client is closed. @param units cost of the packet before the rest */
  #stopped(buf: Buffer, at: number, end: number, units: number): boolean {
    if (this.isClosed) return true;
    const isOver = this.#isTurnOver(units);
    if (at === end) return this.#isHeld;
    if (this.#isHeld) this.#held.unshift(buf.subarray(at, end));
    else if (isOver) this.#yield(buf.subarray(at, end));
    else return false;
    return true;
  }

  #yieldRest(buf: Buffer, at: number, end: number): void {
    arena.pin(buf);
    this.#yield(buf.subarray(at, end));
  }

  get #isHeld(): boolean {
    return this.#holds !== 0;
  }

  /** Stops handling input, and reading at the next bytes. New input waits. */
  hold(reason: Hold): void {
    this.#holds |= reason;
  }

  /** Continues after hold(), when no other reason is left. */
  release(reason: Hold): void {
    if ((this.#holds & reason) === 0) return;
    this.#holds &= ~reason;
    this.#handleHeld();
  }

  /** True while the server has reasons of its own not to read the client: it sees no input then, not even a PINGREQ. */
  get isKeptWaiting(): boolean {
    return this.#isPaused && (this.#holds & ~HOLD.output) !== 0;
  }

  /**
   * True when a packet takes longer than 30 seconds plus a second for each KiB received. Time in which the server does not read does not
   * count. Call it at each sweep.
   * @param tick half seconds
   */
  isDripping(tick: number): boolean {
    if (this.#isDrippingBelow(tick)) return true;
    const partial = this.#partial;
    if (partial === null || partial !== this.#seen || this.#isPaused) {
      this.#seen = partial;
      this.#seenAt = tick;
      return false;
    }
    return tick - this.#seenAt > PACKET_TICKS + partial.length / BYTES_PER_TICK;
  }

  #isDrippingBelow(tick: number): boolean {
    if (this.#below === 0 || this.#isPaused || this.#belowAt === null) {
      this.#belowAt = this.#below === 0 ? null : tick;
      return false;
    }
    return tick - this.#belowAt > PACKET_TICKS + this.#below / BYTES_PER_TICK;
  }

  /** True while input waits to be handled. */
  protected get hasInput(): boolean {
    return this.#held.length > 0;
  }

  /**
   * Ends the input of an ended connection. Its input must be handled before its end: at once, or after the work before it is done, such as
   * the answer to SUBSCRIBE. inputOver() follows, unless the input itself closes the client.
   */
  protected handleRest(): void {
    this.#isLast = true;
    this.#holds &= ~(HOLD.turn | HOLD.output);
    this.#handleHeld();
  }

  /** Handles the waiting input, when no reason to wait is left. */
  #handleHeld(): void {
    if (this.#holds !== 0) return;
    const held = this.#held;
    this.#held = [];
    for (let i = 0; i < held.length; i++) {
      if (this.isClosed) return;
      if (this.#isHeld || (readTurn.isOver && !this.#isLast)) {
        const rest = held.slice(i);
        if (!this.#isHeld) this.#yield(rest.shift()!);
        this.#held.push(...rest);
        return;
      }
      this.read(held[i]!, 0, held[i]!.length);
    }
    if (this.#isHeld || this.isClosed) return;
    if (this.#isLast) this.inputOver();
    else if (this.#isPaused) {
      this.#isPaused = false;
      this.resumeReading();
    }
  }

  /** Drops all input, because the connection has ended. */
  protected discardInput(): void {
    this.#held = [];
    this.#partial = null;
  }
}

function isAcknowledgement(first: number): boolean {
  return first === 0x40 || first === 0x50 || first === 0x62 || first === 0x70;
}

function own(buf: Buffer, start: number, end: number): Buffer {
  const bytes = Buffer.allocUnsafeSlow(end - start);
  buf.copy(bytes, 0, start, end);
  return bytes;
}
