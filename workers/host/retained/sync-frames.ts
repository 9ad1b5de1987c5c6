/** Frames with which two session workers find out which retained messages one of them lacks: a head in JSON, and bytes. */

import { isNewer, type Stamp } from '../../shared/messages/stamp.ts';
import { BUCKETS, type Digest, hashOfTopic, type Replica } from './replica.ts';

export type SyncHead =
  /** the sum of each namespace of the sender */
  | { t: 'roots'; roots: [namespace: string, low: number, high: number][] }
  /** asks for the sums of all buckets of a namespace */
  | { t: 'ask'; id: number; namespace: string }
  /** answers `ask`; the body has them */
  | { t: 'sums'; id: number }
  /** asks for everything in these buckets that is newer; the body lists what the sender has */
  | { t: 'pull'; id: number; namespace: string; buckets: number[] }
  /** the sender has kept the last page */
  | { t: 'more'; id: number }
  /** answers `pull` and `more`: messages, and deletions as messages without payload; the body is a batch */
  | { t: 'page'; id: number; isLast: boolean }
  /** a message of the sender has no room there, so no node keeps it */
  | { t: 'withdraw'; namespace: string; topic: string; stamp: Stamp };

export interface SyncFrame {
  readonly head: SyncHead;
  readonly body: Buffer;
}

const NOTHING = Buffer.alloc(0);
/** length of the head */
const LENGTH_BYTES = 4;
const SUM_BYTES = 8;
/** name of a topic, and its stamp */
const HELD_BYTES = 8 + 8 + 4;

export function encodeSync(head: SyncHead, body: Buffer = NOTHING): Buffer {
  const text = Buffer.from(JSON.stringify(head));
  const length = Buffer.alloc(LENGTH_BYTES);
  length.writeUInt32LE(text.length);
  return Buffer.concat([length, text, body]);
}

/** @throws Error when the bytes are no frame */
export function decodeSync(frame: Uint8Array): SyncFrame {
  const bytes = Buffer.from(frame.buffer, frame.byteOffset, frame.byteLength);
  const end = LENGTH_BYTES + bytes.readUInt32LE(0);
  return { head: JSON.parse(bytes.toString('utf8', LENGTH_BYTES, end)) as SyncHead, body: bytes.subarray(end) };
}

export function encodeSums(replica: Replica | null): Buffer {
  const body = Buffer.alloc(BUCKETS * SUM_BYTES);
  for (let bucket = 0; bucket < BUCKETS && replica !== null; bucket++) {
    const { low, high } = replica.digestOf(bucket);
    body.writeUInt32LE(low, bucket * SUM_BYTES);
    body.writeUInt32LE(high, bucket * SUM_BYTES + 4);
  }
  return body;
}

/** Buckets in which the two nodes differ. @throws RangeError for a body that is too short */
export function differing(sums: Buffer, replica: Replica | null): number[] {
  const buckets: number[] = [];
  for (let bucket = 0; bucket < BUCKETS; bucket++) {
    const at = bucket * SUM_BYTES;
    if (!isSum(replica?.digestOf(bucket), sums.readUInt32LE(at), sums.readUInt32LE(at + 4))) buckets.push(bucket);
  }
  return buckets;
}

/** @param digest undefined: the digest of nothing */
export function isSum(digest: Readonly<Digest> | undefined, low: number, high: number): boolean {
  return (digest?.low ?? 0) === low && (digest?.high ?? 0) === high;
}

/** The topics and stamps of a node in these buckets. */
export function encodeHeld(replica: Replica | null, buckets: readonly number[]): Buffer {
  const entries = buckets.flatMap((bucket) => [...(replica?.topicsOf(bucket) ?? [])]);
  const body = Buffer.alloc(entries.length * HELD_BYTES);
  let at = 0;
  for (const [topic, stamp] of entries) {
    at = body.writeDoubleLE(nameOf(topic), at);
    at = body.writeDoubleLE(stamp.at, at);
    at = body.writeUInt32LE(stamp.by, at);
  }
  return body;
}

/**
 * Topics of these buckets that are newer than what the other node holds; null from time to time: the caller may stop there for a while.
 * @param held result of encodeHeld()
 */
export function* missing(replica: Replica, buckets: readonly number[], held: Buffer): IterableIterator<string | null> {
  const known = new Map<number, Stamp>();
  for (let at = 0; at + HELD_BYTES <= held.length; at += HELD_BYTES)
    known.set(held.readDoubleLE(at), { at: held.readDoubleLE(at + 8), by: held.readUInt32LE(at + 16) });
  for (const bucket of buckets) {
    yield null;
    for (const [topic, stamp] of replica.topicsOf(bucket)) {
      const other = known.get(nameOf(topic));
      if (other === undefined || isNewer(stamp, other)) yield topic;
    }
  }
}

/** 53 bits of a topic's hash. */
function nameOf(topic: string): number {
  const { low, high } = hashOfTopic(topic);
  return low * 2 ** 21 + (high >>> 11);
}
