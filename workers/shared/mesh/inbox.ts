/** The posts of one peer that this worker has not handled yet, in order. A turn may end between any two records or controls. */

import { Fifo } from '../../../src/kernel/fifo.ts';
import type { ReadTurn } from '../../../src/kernel/turns/read-turn.ts';
import type { Control } from '../wire/controls.ts';
import type { BatchPart, BatchReader, RecordSink } from '../wire/records.ts';

/** One post: parts in order, either a batch buffer or a list of controls. */
export interface Frame {
  parts: (BatchPart | Control[])[];
}

/** Cost of a control in a turn: the clock is read after each control, because one control may bring hundreds of filters. */
const CONTROL_UNITS = 256;
/** Controls, or pieces of a batch, that a peer handles before other peers have a turn. They take milliseconds. */
const QUANTUM_STEPS = 8;

/** Takes the records and controls of the inbox. */
export interface InboxSink {
  readonly records: RecordSink;
  onControl(control: Control): void;
  /** A batch of so many bytes has been handled. */
  onBatch(bytes: number): void;
}

export class Inbox {
  readonly #reader: BatchReader;
  readonly #sink: InboxSink;
  readonly #waiting = new Fifo<Frame>();
  /** the frame that is being handled; null: none */
  #frame: Frame | null = null;
  /** place in the current frame: its part, and the byte or the control within the part */
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

  /** Number of all frames that have come. */
  get taken(): number {
    return this.#taken;
  }

  /** Number of frames that have been handled completely. */
  get done(): number {
    return this.#done;
  }

  get isEmpty(): boolean {
    return this.#done === this.#taken;
  }

  /** Handles the frames that have come. @returns false when the turn ends, or another peer is due, before the inbox is empty */
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
