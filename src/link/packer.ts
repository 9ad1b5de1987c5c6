/** Puts packets into frames. A packet that exceeds a frame goes in chunks, and holds up only its own lane. */

import { Fifo } from '../kernel/fifo.ts';
import { FRAME_BYTES_MAX, HEAD_BYTES } from './frame.ts';
import { CHUNK_BYTES_MAX, chunkFrame, LANES, PART_HEAD_BYTES, WHOLE_BYTES_MAX, writeWhole } from './parts.ts';

interface Waiting {
  readonly lane: number;
  readonly packet: Uint8Array;
}

/** `ended`: the lanes with packets that end in the frame, each followed by the number of those packets. */
export type EmitFrame = (frame: Buffer, ended: readonly number[], chunkBytes: number) => void;

export class Packer {
  readonly #emit: EmitFrame;
  #open: Waiting[] = [];
  #openBytes = HEAD_BYTES;
  /** large packets that wait for the one under way, and packets behind a large packet of their lane */
  readonly #held = new Fifo<Waiting>();
  readonly #heldOf = new Uint32Array(LANES);
  #heldBytes = 0;
  #large: { lane: number; packet: Uint8Array; at: number } | null = null;

  /** @param emit gets frames whose head is not written yet */
  constructor(emit: EmitFrame) {
    this.#emit = emit;
  }

  /** Bytes of packets that are in no frame and are not held. */
  get openBytes(): number {
    return this.#openBytes - HEAD_BYTES;
  }

  /** Bytes of packets that wait for a large packet, and of large packets that are not sent completely. */
  get heldBytes(): number {
    return this.#heldBytes;
  }

  isHeld(lane: number, packet: Uint8Array): boolean {
    return packet.length > WHOLE_BYTES_MAX || (this.#heldOf[lane] ?? 0) > 0;
  }

  add(lane: number, packet: Uint8Array): void {
    if (!this.isHeld(lane, packet)) {
      this.#put(lane, packet);
      return;
    }
    this.#held.push({ lane, packet });
    this.#heldOf[lane] = (this.#heldOf[lane] ?? 0) + 1;
    this.#heldBytes += packet.length;
  }

  /** Emits the open frame. */
  close(): void {
    const parts = this.#open;
    if (parts.length === 0) return;
    const frame = Buffer.allocUnsafe(this.#openBytes);
    const ended: number[] = [];
    let at = HEAD_BYTES;
    for (const { lane, packet } of parts) {
      at = writeWhole(frame, at, lane, packet);
      countLane(ended, lane);
    }
    this.#open = [];
    this.#openBytes = HEAD_BYTES;
    this.#emit(frame, ended, 0);
  }

  /** Emits held packets while there is room. @param hasRoom whether so many bytes may be emitted now */
  pump(hasRoom: (bytes: number) => boolean): void {
    for (;;) {
      if (this.#large === null) {
        const next = this.#held.peek();
        if (next === undefined) return;
        if (next.packet.length <= WHOLE_BYTES_MAX) {
          if (!hasRoom(next.packet.length)) return;
          this.#held.shift();
          this.#release(next);
          this.#put(next.lane, next.packet);
          continue;
        }
        this.#held.shift();
        this.#large = { ...next, at: 0 };
      }
      if (!hasRoom(Math.min(CHUNK_BYTES_MAX, this.#large.packet.length - this.#large.at))) return;
      this.#cut(this.#large);
    }
  }

  #cut(large: { lane: number; packet: Uint8Array; at: number }): void {
    // Packets written before stay before.
    this.close();
    const { frame, to } = chunkFrame(large.lane, large.packet, large.at);
    const isLast = to === large.packet.length;
    large.at = to;
    if (isLast) {
      this.#large = null;
      this.#release(large);
    }
    this.#emit(frame, isLast ? [large.lane, 1] : [], frame.length);
  }

  #release({ lane, packet }: Waiting): void {
    this.#heldOf[lane] = (this.#heldOf[lane] ?? 1) - 1;
    this.#heldBytes -= packet.length;
  }

  #put(lane: number, packet: Uint8Array): void {
    const bytes = PART_HEAD_BYTES + packet.length;
    if (this.#openBytes + bytes > FRAME_BYTES_MAX) this.close();
    this.#open.push({ lane, packet });
    this.#openBytes += bytes;
  }
}

function countLane(ended: number[], lane: number): void {
  for (let i = 0; i < ended.length; i += 2) {
    if (ended[i] !== lane) continue;
    ended[i + 1] = (ended[i + 1] ?? 0) + 1;
    return;
  }
  ended.push(lane, 1);
}
