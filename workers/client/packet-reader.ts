/** The one framer of a client's bytes: whole packets in a chunk are handled where they are, a tail is kept, a held client waits. */

import { readTurn, type TurnTaker } from '../../src/kernel/turns/read-turn.ts';
import { CONNECT_BYTE, canBeConnect } from '../../src/mqtt/connect/first-bytes.ts';
import type { TopicEntry } from '../routing/topic-entry.ts';
import { arena } from './arena.ts';
import { PartialPacket, packetSize } from './input.ts';
import { flushDirty } from './output.ts';

/** Why a client's input waits; each reason ends by itself. */
export const HOLD = {
  /** CONNECT is being answered */
  connect: 1,
  /** SUBSCRIBE or UNSUBSCRIBE is being answered */
  subscribe: 2,
  /** a peer is too far behind with what this client publishes */
  peers: 4,
  /** the client does not read what it is sent */
  output: 8,
  /** the listener waits for a moment without work in which to close */
  retire: 16,
  /** others on this thread have their turn */
  turn: 32,
} as const;

/** What a packet that is not for the fast path counts for in a turn. */
const DECODED_UNITS = 4;

/** Half seconds that a packet may take to come whole, beside a second for each KiB: a slow network is slow, a peer that drips is ended. */
const PACKET_TICKS = 60;
const BYTES_PER_TICK = 512;
/** Memory for a packet from this size on is asked for; what is smaller is bounded by the number of connections. */
const WATCHED_BYTES = 64 * 1024;
/** Input of one loop iteration from which on the output does not wait for its end. */
const EARLY_BYTES = 512 * 1024;
/** Clients whose input is being read: one, or others whose waiting input it has released. */
let reading = 0;

export type Hold = (typeof HOLD)[keyof typeof HOLD];

/** Cuts input into packets and takes the fast path for plain PUBLISH and PUBACK; what they mean is the subclass's business. */
export abstract class PacketReader implements TurnTaker {
  #partial: PartialPacket | null = null;
  /** the partial packet that the last sweep saw, and since which tick */
  #seen: PartialPacket | null = null;
  #seenAt = 0;
  /** input that waits while isHeld */
  #held: Buffer[] = [];
  /** reasons to wait, as flags; 0 = none */
  #holds = 0;
  #isPaused = false;
  /** The connection has ended: what it has brought is all that comes. */
  #isLast = false;
  /** largest packet that is taken, in bytes */
  protected maximumIn: number;

  constructor(maximumIn: number) {
    this.maximumIn = maximumIn;
  }

  /** CONNECT has been answered: the fast path is open. */
  protected abstract readonly isOnline: boolean;
  abstract readonly isClosed: boolean;
  /** Every packet is to be shown to tapped(). */
  protected abstract readonly isTapped: boolean;
  protected abstract tapped(buf: Buffer, start: number, end: number): void;
  /** The topic of a PUBLISH that has nothing special, when this client may publish to it; null: decode() decides. */
  protected abstract plainTopic(buf: Buffer, at: number, size: number, first: number): TopicEntry | null;
  protected abstract publishRun(entry: TopicEntry, buf: Buffer, start: number, end: number, count: number): void;
  protected abstract publishOnce(entry: TopicEntry, buf: Buffer, at: number, size: number): void;
  /** PUBACK, PUBREC, PUBREL or PUBCOMP without reason code, by its first byte; false: decode() decides. */
  protected abstract acknowledged(first: number, packetId: number): boolean;
  /** Handles a whole packet that is not for the fast path. @throws ProtocolError */
  protected abstract decode(buf: Buffer, start: number, end: number): void;
  /** whether there is memory for a packet that is not whole */
  abstract readonly memory: { demand(bytes: number): void };
  /** Decides about an error of the input. */
  abstract fail(error: unknown): void;
  /** What was read is worked off, as far as the client is not held. */
  protected abstract inputEnded(): void;
  /** All input of a connection that has ended is handled. */
  protected abstract inputOver(): void;
  protected abstract pauseReading(): void;
  protected abstract resumeReading(): void;

  /** Takes buf[start, end), which is valid during this call only; errors end in fail(). */
  protected read(buf: Buffer, start: number, end: number): void {
    if (this.#isHeld) {
      this.#held.push(own(buf, start, end));
      // Only now: most clients send nothing while they wait, and to stop and to go on are system calls.
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
    // What is large is sent while the processor's cache still has it, and its memory serves the next read of this loop iteration.
    if (reading === 0 && arena.retiredBytes > EARLY_BYTES) flushDirty();
  }

  /**
   * As read(), while nothing has been understood yet: nothing is waited for that cannot become a CONNECT [MQTT-3.1.0-1].
   * @returns what cannot; null: it was read
   */
  protected readFirst(buf: Buffer, start: number, end: number): Buffer | null {
    if (this.#partial === null && start < end && buf[start] !== CONNECT_BYTE) return buf.subarray(start, end);
    this.read(buf, start, end);
    const begun = this.#partial?.bytes ?? null;
    return begun === null || canBeConnect(begun, 0, begun.length) ? null : begun;
  }

  /** Counts work that was done. True: what is left of the input waits for a later turn. */
  #isTurnOver(units: number): boolean {
    return readTurn.worked(units) && !this.#isLast;
  }

  /** Lets input wait for a later turn, before all that waits already. Reading stops at once, so that it is not much. */
  #yield(input: Buffer): void {
    this.#held.unshift(input);
    this.hold(HOLD.turn);
    // It keeps the memory that it stands in.
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
      if (grown >= WATCHED_BYTES) this.memory.demand(grown);
      const { size, slab } = this.#partial;
      if (size < 0) return;
      this.#partial = null;
      // Retired before, so that whoever keeps its bytes can pin it; free at the end of the loop iteration at the earliest.
      arena.retire(slab);
      this.#process(slab.buf, 0, size);
    }
    if (at >= end || this.isClosed) return;
    if (this.#isHeld) this.#held.push(own(buf, at, end));
    else if (this.isOnline && packetSize(buf, at, end, this.maximumIn) > end - at) {
      // A large packet in pieces: its bytes go to their place at once.
      this.#begin(buf, at, end, this.maximumIn);
    } else {
      // What is routed from here outlives the read.
      const from = arena.keep(buf, at, end);
      this.#process(arena.buf, from, from + end - at);
    }
  }

  /** The one framer: whole packets of buf[at, end) are handled, a tail is kept. */
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
            // What came before is not concerned.
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
          // The run is a range of bytes: it ends where anything else stands between its packets.
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
      // CONNECT raises it, and what comes behind it need not wait for CONNACK.
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
    if (bytes >= WATCHED_BYTES) this.memory.demand(bytes);
    this.#partial = partial;
  }

  /** Input that waits, and the packet that is not whole, bytes. */
  protected get inputBytes(): number {
    let bytes = this.#partial === null ? 0 : this.#partial.slab.buf.length;
    for (const waiting of this.#held) bytes += waiting.length;
    return bytes;
  }

  /** True when the rest of the input must wait, or nobody wants it any more. @param units work that the packet before it was */
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

  /** Stops handling, and reading with the next bytes; what comes meanwhile waits. */
  hold(reason: Hold): void {
    this.#holds |= reason;
  }

  /** Goes on after hold(), when no other reason is left. */
  release(reason: Hold): void {
    if ((this.#holds & reason) === 0) return;
    this.#holds &= ~reason;
    this.#goOn();
  }

  /** It is not read for reasons that are not its own: what it says meanwhile, a PINGREQ too, is not heard. */
  get isKeptWaiting(): boolean {
    return this.#isPaused && (this.#holds & ~HOLD.output) !== 0;
  }

  /**
   * True when a packet takes longer than 30 seconds and a second for each KiB that has come. The time in which it is not read does not count.
   * To be asked at each sweep. @param tick half seconds
   */
  isDripping(tick: number): boolean {
    const partial = this.#partial;
    if (partial === null || partial !== this.#seen || this.#isPaused) {
      this.#seen = partial;
      this.#seenAt = tick;
      return false;
    }
    return tick - this.#seenAt > PACKET_TICKS + partial.length / BYTES_PER_TICK;
  }

  /** Input has come that is not handled yet. */
  protected get hasInput(): boolean {
    return this.#held.length > 0;
  }

  /**
   * The connection has ended, and its end must not overtake what it has brought: that is handled now, or when what comes before it is done, as
   * an answer to SUBSCRIBE. inputOver() follows, unless the client is closed by its input.
   */
  protected hearOut(): void {
    this.#isLast = true;
    this.#holds &= ~(HOLD.turn | HOLD.output);
    this.#goOn();
  }

  /** Handles what waits, when there is no reason to wait. */
  #goOn(): void {
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

  /** Forgets everything: the connection has ended. */
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
