/**
 * The stamp of the newest change of each retained topic of one namespace, deletions included, and the digests by which two nodes of a cluster
 * find out where they differ.
 */

import { FNV_BASIS, fnv1a } from '../../../src/kernel/fnv.ts';
import { isNewer, type Stamp } from '../../shared/messages/stamp.ts';

/** Parts of a namespace that are compared one by one. */
export const BUCKETS = 1024;
/** A second basis, for the second half of a hash. */
const SECOND_BASIS = 0x5bd1e995;
/** Deletions beyond their limit, as a share of it, that are dropped together. */
const SPARE = 0.1;

/** Names a topic in 64 bits. */
export interface TopicHash {
  readonly low: number;
  readonly high: number;
}

/** The sum of all changes that a node knows. Two nodes that know the same changes have the same sum. */
export interface Digest {
  low: number;
  high: number;
}

interface Bucket {
  readonly digest: Digest;
  readonly stamps: Map<string, Stamp>;
}

export function hashOfTopic(topic: string): TopicHash {
  return { low: spread(fnv1a(topic, FNV_BASIS)), high: spread(fnv1a(topic, SECOND_BASIS)) };
}

export class Replica {
  readonly #buckets = new Map<number, Bucket>();
  readonly digest: Digest = { low: 0, high: 0 };
  /** topics whose newest change removed the message, by deletion or expiry */
  readonly dead = new Map<string, Stamp>();

  stampOf(topic: string): Stamp | null {
    return this.#buckets.get(bucketOf(hashOfTopic(topic)))?.stamps.get(topic) ?? null;
  }

  /** True when a change with this stamp is newer than every known change of the topic. */
  isNews(topic: string, stamp: Stamp): boolean {
    const known = this.stampOf(topic);
    return known === null || isNewer(stamp, known);
  }

  /** @param isDead the change removed the message */
  set(topic: string, stamp: Stamp, isDead: boolean): void {
    const hash = hashOfTopic(topic);
    const at = bucketOf(hash);
    let bucket = this.#buckets.get(at);
    if (bucket === undefined) {
      bucket = { digest: { low: 0, high: 0 }, stamps: new Map() };
      this.#buckets.set(at, bucket);
    }
    const known = bucket.stamps.get(topic);
    if (known !== undefined) this.#mix(bucket, hash, known);
    bucket.stamps.set(topic, stamp);
    this.#mix(bucket, hash, stamp);
    if (isDead) this.dead.set(topic, stamp);
    else if (this.dead.size > 0) this.dead.delete(topic);
  }

  /** Forgets the topic. */
  forget(topic: string): void {
    const hash = hashOfTopic(topic);
    const at = bucketOf(hash);
    const bucket = this.#buckets.get(at);
    const known = bucket?.stamps.get(topic);
    if (bucket === undefined || known === undefined) return;
    this.#mix(bucket, hash, known);
    bucket.stamps.delete(topic);
    this.dead.delete(topic);
    if (bucket.stamps.size === 0) this.#buckets.delete(at);
  }

  #mix({ digest }: Bucket, { low, high }: TopicHash, { at, by }: Stamp): void {
    const late = Math.floor(at / 2 ** 32);
    const first = spread(spread(low ^ at) ^ by ^ late);
    const second = spread((spread((high + at) | 0) + Math.imul(by, 31) + late) | 0);
    for (const sum of [digest, this.digest]) {
      sum.low = (sum.low ^ first) >>> 0;
      sum.high = (sum.high ^ second) >>> 0;
    }
  }

  digestOf(bucket: number): Readonly<Digest> {
    return this.#buckets.get(bucket)?.digest ?? { low: 0, high: 0 };
  }

  /** The topics of a bucket; they may change while they are read. */
  *topicsOf(bucket: number): IterableIterator<[topic: string, stamp: Stamp]> {
    yield* this.#buckets.get(bucket)?.stamps ?? [];
  }

  sizeOf(bucket: number): number {
    return this.#buckets.get(bucket)?.stamps.size ?? 0;
  }

  /** Deletions beyond the limit, the oldest ones; all nodes choose the same. Empty while few exceed it. */
  surplus(limit: number): string[] {
    if (this.dead.size <= limit * (1 + SPARE)) return [];
    const oldest = [...this.dead].sort(([, one], [, other]) => (isNewer(one, other) ? 1 : -1));
    return oldest.slice(0, this.dead.size - limit).map(([topic]) => topic);
  }
}

export function bucketOf({ low }: TopicHash): number {
  return low % BUCKETS;
}

function spread(number: number): number {
  let bits = number | 0;
  bits = Math.imul(bits ^ (bits >>> 16), 0x85ebca6b);
  bits = Math.imul(bits ^ (bits >>> 13), 0xc2b2ae35);
  return (bits ^ (bits >>> 16)) >>> 0;
}
