/** Frames that were sent and are not taken yet: kept for repetition, and counted against the window. */

import { Fifo } from '../kernel/fifo.ts';
import { FIRST_SEQ, nearest, type SeqRange } from './frame.ts';

/** The receiver keeps no frame that is so far behind a gap. */
export const FRAMES_MAX = 4096;

export interface SentFrame {
  readonly seq: number;
  /** null once the frame has come, because it is never repeated then */
  frame: Buffer | null;
  readonly bytes: number;
  /** the lanes with packets that end in the frame, each followed by the number of those packets */
  readonly ended: readonly number[];
  /** bytes of chunks in the frame */
  readonly chunkBytes: number;
  /** the transport has taken the frame once */
  isSent: boolean;
  /** time of the last repetition, ms; 0 for none */
  repeatedAt: number;
}

export class SendWindow {
  readonly #frames = new Fifo<SentFrame>();
  /** sequence of the oldest kept frame */
  #oldest = FIRST_SEQ;
  #next = FIRST_SEQ;
  /** all frames up to here have come */
  #got = FIRST_SEQ - 1;
  #bytes = 0;
  #chunkBytes = 0;

  get nextSeq(): number {
    return this.#next;
  }

  /** Bytes of all kept frames. */
  get bytes(): number {
    return this.#bytes;
  }

  get chunkBytes(): number {
    return this.#chunkBytes;
  }

  get frames(): number {
    return this.#frames.length;
  }

  /** True while a frame may not have come. */
  get isWaiting(): boolean {
    return this.#got < this.#next - 1;
  }

  push(frame: Buffer, ended: readonly number[], chunkBytes: number): SentFrame {
    const sent: SentFrame = { seq: this.#next++, frame, bytes: frame.length, ended, chunkBytes, isSent: false, repeatedAt: 0 };
    this.#frames.push(sent);
    this.#bytes += sent.bytes;
    this.#chunkBytes += chunkBytes;
    return sent;
  }

  /**
   * Obeys a report. Older reports, and what no receiver can say, change nothing.
   * @param onTaken called for each frame that is taken now, in order
   * @returns true when frames have come that had not before
   */
  heard(got: number, taken: number, onTaken: (sent: SentFrame) => void): boolean {
    const come = nearest(this.#got, got);
    const isProgress = come > this.#got && come < this.#next;
    if (isProgress) {
      for (let seq = Math.max(this.#got + 1, this.#oldest); seq <= come; seq++) this.#at(seq).frame = null;
      this.#got = come;
    }
    const last = Math.min(nearest(this.#oldest, taken), this.#got);
    while (this.#oldest <= last) {
      const sent = this.#frames.shift();
      if (sent === undefined) break;
      this.#oldest++;
      this.#bytes -= sent.bytes;
      this.#chunkBytes -= sent.chunkBytes;
      onTaken(sent);
    }
    return isProgress;
  }

  /** Frames of the range that have not come, oldest first. */
  *unreceived({ from, to }: SeqRange): Iterable<SentFrame> {
    const last = Math.min(to, this.#next - 1);
    for (let seq = Math.max(from, this.#got + 1, this.#oldest); seq <= last; seq++) yield this.#at(seq);
  }

  #at(seq: number): SentFrame {
    return this.#frames.at(seq - this.#oldest) as SentFrame;
  }
}
