/** The parts of a frame: whole packets, and chunks of packets that exceed a frame. */

import { FRAME_BYTES_MAX, HEAD_BYTES } from './frame.ts';

/**
 * A part is: u8 type, u8 lane, u16 0, u32 length, bytes. A chunk has u32 length of the whole packet and u32 offset before its bytes. Packets
 * of one lane keep their order; lanes pass one another.
 */
export const PART = { whole: 1, chunk: 2 } as const;
export const PART_HEAD_BYTES = 8;
const CHUNK_HEAD_BYTES = PART_HEAD_BYTES + 8;
/** Lanes are 0..255. */
export const LANES = 256;
/** Bytes of the largest packet that goes in one piece. */
export const WHOLE_BYTES_MAX = FRAME_BYTES_MAX - HEAD_BYTES - PART_HEAD_BYTES;
export const CHUNK_BYTES_MAX = FRAME_BYTES_MAX - HEAD_BYTES - CHUNK_HEAD_BYTES;

export function writeWhole(frame: Buffer, at: number, lane: number, packet: Uint8Array): number {
  writePartHead(frame, at, PART.whole, lane, packet.length);
  frame.set(packet, at + PART_HEAD_BYTES);
  return at + PART_HEAD_BYTES + packet.length;
}

/** A frame of one chunk, its head not written yet. */
export function chunkFrame(lane: number, packet: Uint8Array, from: number): { frame: Buffer; to: number } {
  const to = Math.min(packet.length, from + CHUNK_BYTES_MAX);
  const frame = Buffer.allocUnsafe(HEAD_BYTES + CHUNK_HEAD_BYTES + to - from);
  writePartHead(frame, HEAD_BYTES, PART.chunk, lane, to - from);
  frame.writeUInt32LE(packet.length, HEAD_BYTES + PART_HEAD_BYTES);
  frame.writeUInt32LE(from, HEAD_BYTES + PART_HEAD_BYTES + 4);
  frame.set(packet.subarray(from, to), HEAD_BYTES + CHUNK_HEAD_BYTES);
  return { frame, to };
}

function writePartHead(frame: Buffer, at: number, type: number, lane: number, length: number): void {
  frame[at] = type;
  frame[at + 1] = lane;
  frame.writeUInt16LE(0, at + 2);
  frame.writeUInt32LE(length, at + 4);
}

/** Reads frames in the order of their sequence. One packet at a time comes in chunks. */
export class PartReader {
  readonly #packetBytesMax: number;
  /** null: no packet has begun */
  #large: { lane: number; total: number; chunks: Buffer[]; bytes: number } | null = null;

  constructor(packetBytesMax: number) {
    this.#packetBytesMax = packetBytesMax;
  }

  /**
   * @param deliver gets a view of the frame, or a large packet of its own; false ends the reading
   * @returns the fault of the frame, or null
   */
  read(bytes: Uint8Array, deliver: (lane: number, packet: Uint8Array) => boolean): string | null {
    const frame = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
    for (let at = HEAD_BYTES; at < frame.length; ) {
      if (frame.length - at < PART_HEAD_BYTES) return 'a part is cut off';
      const type = frame[at];
      const lane = frame.readUInt8(at + 1);
      const length = frame.readUInt32LE(at + 4);
      const from = at + (type === PART.chunk ? CHUNK_HEAD_BYTES : PART_HEAD_BYTES);
      if (type !== PART.whole && type !== PART.chunk) return `a part has the unknown type ${type}`;
      if (length > frame.length - from) return 'a part is longer than its frame';
      at = from + length;
      const piece = frame.subarray(from, at);
      if (type === PART.whole) {
        if (!deliver(lane, piece)) return null;
        continue;
      }
      const problem = this.#join(lane, frame.readUInt32LE(from - 8), frame.readUInt32LE(from - 4), piece);
      if (problem !== null) return problem;
      const packet = this.#complete();
      if (packet !== null && !deliver(lane, packet)) return null;
    }
    return null;
  }

  #join(lane: number, total: number, offset: number, piece: Buffer): string | null {
    if (total > this.#packetBytesMax) return `a packet of ${total} bytes is larger than ${this.#packetBytesMax}`;
    this.#large ??= { lane, total, chunks: [], bytes: 0 };
    const large = this.#large;
    const fits = large.lane === lane && large.total === total && large.bytes === offset && offset + piece.length <= total;
    if (!fits || piece.length === 0) return 'a chunk does not continue its packet';
    large.chunks.push(piece);
    large.bytes += piece.length;
    return null;
  }

  #complete(): Buffer | null {
    const large = this.#large;
    if (large === null || large.bytes < large.total) return null;
    this.#large = null;
    return Buffer.concat(large.chunks, large.total);
  }
}
