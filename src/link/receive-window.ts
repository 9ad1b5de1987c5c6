/** Frames in the order of their sequence: drops repeated frames, keeps frames behind a gap, and names missing frames. */

import { FIRST_SEQ, nearest, type SeqRange } from './frame.ts';
import { FRAMES_MAX } from './send-window.ts';

/** Most ranges in one report. */
const RANGES_MAX = 64;

export class ReceiveWindow {
  readonly #bytesMax: number;
  /** all frames up to here have come, and were given out */
  #got = FIRST_SEQ - 1;
  /** the highest sequence that the sender has used, as far as is known */
  #highest = FIRST_SEQ - 1;
  readonly #ahead = new Map<number, Buffer>();
  #aheadBytes = 0;

  /** @param bytesMax of frames behind a gap */
  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax;
  }

  get got(): number {
    return this.#got;
  }

  get aheadBytes(): number {
    return this.#aheadBytes;
  }

  get hasGap(): boolean {
    return this.#highest > this.#got;
  }

  /** Learns that the sender has used this sequence. */
  know(low: number): void {
    const seq = nearest(this.#got, low);
    if (seq > this.#highest && seq <= this.#got + FRAMES_MAX) this.#highest = seq;
  }

  /** @returns `next`: handle the frame, then the frames of following(). `ahead`: a copy is kept. `gap`: a copy is kept, and more are missing */
  take(low: number, frame: Uint8Array): 'next' | 'ahead' | 'gap' | 'duplicate' | 'overflow' {
    const seq = nearest(this.#got, low);
    if (seq <= this.#got || this.#ahead.has(seq)) return 'duplicate';
    if (seq > this.#got + FRAMES_MAX) return 'overflow';
    const isGap = seq > this.#highest + 1;
    this.know(low);
    if (seq === this.#got + 1) {
      this.#got = seq;
      return 'next';
    }
    if (this.#aheadBytes + frame.length > this.#bytesMax) return 'overflow';
    this.#ahead.set(seq, Buffer.from(frame));
    this.#aheadBytes += frame.length;
    return isGap ? 'gap' : 'ahead';
  }

  /** The next frame in order, when it is kept. */
  following(): Buffer | undefined {
    const frame = this.#ahead.get(this.#got + 1);
    if (frame === undefined) return undefined;
    this.#got++;
    this.#ahead.delete(this.#got);
    this.#aheadBytes -= frame.length;
    return frame;
  }

  /** Missing frames, oldest first, at most 64 ranges. */
  missing(): SeqRange[] {
    const ranges: SeqRange[] = [];
    for (let seq = this.#got + 1; seq <= this.#highest && ranges.length < RANGES_MAX; seq++) {
      if (this.#ahead.has(seq)) continue;
      const from = seq;
      while (seq < this.#highest && !this.#ahead.has(seq + 1)) seq++;
      ranges.push({ from, to: seq });
    }
    return ranges;
  }
}
