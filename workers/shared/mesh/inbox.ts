/** What one peer has posted and this worker has not worked off: in order, and the work may stop between any two records or controls. */

import { Fifo } from '../../../src/kernel/fifo.ts';
import type { ReadTurn } from '../../../src/kernel/turns/read-turn.ts';
import type { Control } from '../wire/controls.ts';
import type { BatchPart, BatchReader, RecordSink } from '../wire/records.ts';

/** One post: parts in order, either a batch buffer or a list of controls. */
export interface Frame {
  parts: (BatchPart | Control[])[];
}

/** What a control counts for in a turn: the clock is read after each, because one may bring hundreds of filters. */
const CONTROL_UNITS = 256;
/** Controls, or pieces of a batch, after which a peer lets other peers have a turn: milliseconds. */
const QUANTUM_STEPS = 8;

/** Takes what the inbox brings. */
export interface InboxSink {
  readonly records: RecordSink;
  onControl(control: Control): void;
  /** A batch of so many bytes is worked off. */
  onBatch(bytes: number): void;
}

export class Inbox {
  readonly #reader: BatchReader;
  readonly #sink: InboxSink;
  readonly #waiting = new Fifo<Frame>();
  /** is being worked off; null: none */
  #frame: Frame | null = null;
  /** place in it: its part, and the byte or the control within that */
  #part = 0;
  #at = 0;
  #taken = 0;
  #done = 0;

  constructor(reader: BatchReader, sink: InboxSink) {
    this.#reader = reader;
    this.#sink = sink;
  }

  push(frame: Frame): void {
    this.#taken++;
    this.#waiting.push(frame);
  }

  /** Frames that have ever come. */
  get taken(): number {
    return this.#taken;
  }

  /** Frames that have been worked off, wholly. */
  get done(): number {
    return this.#done;
  }

  get isEmpty(): boolean {
    return this.#done === this.#taken;
  }

  /** Works off what has come. @returns false: the turn is over, or others have theirs, before the inbox is empty */
  work(turn: ReadTurn): boolean {
    for (let steps = 1; this.#done < this.#taken; steps++) {
      this.#frame ??= this.#waiting.shift()!;
      const { parts } = this.#frame;
      const part = parts[this.#part]!;
      if (Array.isArray(part)) {
        this.#sink.onControl(part[this.#at]!);
        if (++this.#at === part.length) this.#nextPart();
        turn.worked(CONTROL_UNITS);
      } else {
        this.#at = this.#reader.read(part, this.#at, this.#sink.records, turn);
        if (this.#at === part.used) {
          this.#nextPart();
          this.#sink.onBatch(part.used);
        }
      }
      if (this.#part === parts.length) this.#frameDone();
      if (this.#done === this.#taken) return true;
      if (turn.isOver || (steps >= QUANTUM_STEPS && turn.hasWaiting)) return false;
    }
    return true;
  }

  #nextPart(): void {
    this.#part++;
    this.#at = 0;
  }

  #frameDone(): void {
    this.#frame = null;
    this.#part = 0;
    this.#done++;
  }
}
