/** The contract of a link: its options, its promises, and its hooks. */

export type LinkState = 'greeting' | 'up' | 'suspect' | 'closed';

/** Reason of down(): the other node has closed the link in order. */
export const GOODBYE = 'the other node said goodbye';

export interface LinkOptions {
  /** number of this process, 1..2^32-1; drawn at its start */
  readonly incarnation: number;
  /** steady clock, ms */
  readonly now: () => number;
  /** a random 32-bit number: not guessable, different in each life of the process */
  readonly random32: () => number;
  /** bytes that may be under way, 1 MiB..; the receiver keeps as many behind a gap. Both sides must have the same. */
  readonly windowBytes?: number;
  /** bytes of the largest packet, and of all packets that wait for a large one */
  readonly packetBytesMax?: number;
  /** `later`: the user takes packets by take(), and only then are they acknowledged */
  readonly takes?: 'at-delivery' | 'later';
  /** silence after which the session ends, ms */
  readonly downMs?: number;
}

export interface LinkUser {
  /** See LinkTransport.send. */
  send(frame: Buffer): boolean;
  /** A session with this life of the other node has begun. Nothing of an earlier session will come. */
  up(incarnation: number): void;
  /**
   * The session is over. The link forgets packets without an acknowledgement: the other node has taken a part of each lane from the front,
   * perhaps none or all.
   * @param unacknowledged packets
   */
  down(reason: string, unacknowledged: number): void;
  /**
   * Packets of one lane come once and in the order of write().
   * @param packet valid during the call only
   * @param number counts the packets of this link over all its sessions, for take()
   */
  deliver(lane: number, packet: Uint8Array, number: number): void;
  /** The next `count` packets of the lane, in the order of write(), are taken by the other node. */
  acked(lane: number, count: number): void;
  /** There is room again, after write() answered 0 or null. */
  room(): void;
}
