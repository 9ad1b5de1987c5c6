/** The head of a frame between two nodes, little endian, 36 bytes; the body of a report; and sequence numbers on the wire. */

/**
 * ```
 * 0 u8 version   1 u8 kind   2 u16 ms for which the sender kept the time in `echo`
 * 4 u32 epoch of the sender   8 u32 epoch of the receiver, 0 in a hello
 * 12 u32 data: its sequence; other kinds: the last sequence that was sent
 * 16 u32 all frames up to here have come   20 u32 all frames up to here are taken
 * 24 u32 time of the sender, ms   28 u32 last time that the sender has read from the receiver, 0 for none
 * 32 u32 incarnation of the sender
 * ```
 */
export interface FrameHead {
  kind: Kind;
  epoch: number;
  toEpoch: number;
  seq: number;
  got: number;
  taken: number;
  sentAt: number;
  echo: number;
  keptMs: number;
  incarnation: number;
}

const VERSION = 1;
export const HEAD_BYTES = 36;
/** Largest frame, bytes. NATS takes 1 MiB by default; a frame of 256 KiB keeps small packets behind it quick. */
export const FRAME_BYTES_MAX = 256 * 1024;

/** `report`: acknowledgements, ranges that are missing, and the sign of life. */
export const KIND = { data: 1, report: 2, hello: 3, challenge: 4, confirm: 5, bye: 6 } as const;
export type Kind = (typeof KIND)[keyof typeof KIND];
const KIND_MAX = KIND.bye;

const KEPT_MS_MAX = 0xffff;

/**
 * Sequence of the first frame of a session. The wire has the low 32 bits. A session wraps around them after 1,024 frames, so each test and each
 * node passes that point soon, and not after months.
 */
export const FIRST_SEQ = 2 ** 32 - 1024;

/** The sequence with these low 32 bits that is nearest to `base`. */
export function nearest(base: number, low: number): number {
  return base + ((low - base) | 0);
}

export function writeHead(frame: Buffer, head: FrameHead): void {
  frame[0] = VERSION;
  frame[1] = head.kind;
  frame.writeUInt16LE(Math.min(KEPT_MS_MAX, head.keptMs), 2);
  frame.writeUInt32LE(head.epoch, 4);
  frame.writeUInt32LE(head.toEpoch, 8);
  frame.writeUInt32LE(head.seq % 2 ** 32, 12);
  frame.writeUInt32LE(head.got % 2 ** 32, 16);
  frame.writeUInt32LE(head.taken % 2 ** 32, 20);
  frame.writeUInt32LE(head.sentAt, 24);
  frame.writeUInt32LE(head.echo, 28);
  frame.writeUInt32LE(head.incarnation, 32);
}

/** Null when the bytes are no frame of this version. */
export function readHead(bytes: Uint8Array): FrameHead | null {
  if (bytes.length < HEAD_BYTES || bytes.length > FRAME_BYTES_MAX || bytes[0] !== VERSION) return null;
  const frame = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  const kind = frame.readUInt8(1);
  if (kind === 0 || kind > KIND_MAX) return null;
  return {
    kind: kind as Kind,
    keptMs: frame.readUInt16LE(2),
    epoch: frame.readUInt32LE(4),
    toEpoch: frame.readUInt32LE(8),
    seq: frame.readUInt32LE(12),
    got: frame.readUInt32LE(16),
    taken: frame.readUInt32LE(20),
    sentAt: frame.readUInt32LE(24),
    echo: frame.readUInt32LE(28),
    incarnation: frame.readUInt32LE(32),
  };
}

/** Sequences from one to another, both inclusive. */
export interface SeqRange {
  readonly from: number;
  readonly to: number;
}

const RANGE_BYTES = 8;

/** A report that names missing frames, its head not written yet. */
export function reportFrame(ranges: readonly SeqRange[]): Buffer {
  const frame = Buffer.allocUnsafe(HEAD_BYTES + RANGE_BYTES * ranges.length);
  let at = HEAD_BYTES;
  for (const { from, to } of ranges) {
    at = frame.writeUInt32LE(from % 2 ** 32, at);
    at = frame.writeUInt32LE(to % 2 ** 32, at);
  }
  return frame;
}

/** The missing frames that a report names. @param near a sequence close to all of them */
export function readReport(bytes: Uint8Array, near: number): SeqRange[] {
  const frame = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  const ranges: SeqRange[] = [];
  for (let at = HEAD_BYTES; at + RANGE_BYTES <= frame.length; at += RANGE_BYTES)
    ranges.push({ from: nearest(near, frame.readUInt32LE(at)), to: nearest(near, frame.readUInt32LE(at + 4)) });
  return ranges;
}
