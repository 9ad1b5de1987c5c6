/** Writes log lines to a target that may be slow, full or gone: bounded memory, no wait for the caller, lost lines counted. */

import { messageOf } from '../../kernel/errors.ts';
import { Fifo } from '../../kernel/fifo.ts';

/** Destination of a sink's bytes. */
export interface LogTarget {
  /**
   * Writes, in order, as many bytes as the target takes now.
   * @returns bytes taken; 0 when the target takes none because its reader is behind
   * @throws when the target cannot be written; the sink tries again later
   */
  write(bytes: Buffer): number | Promise<number>;
  close(): void | Promise<void>;
}

export interface SinkHooks {
  /** A line, with its newline, for the place where `lost` lines are missing. */
  missing(lost: number, reason: string): string;
  /** Called when the target cannot be written, once until onRecovered. */
  onFailed(reason: string): void;
  /** Called when the target can be written again. @param lost lines lost since onFailed */
  onRecovered(lost: number): void;
}

/** Most bytes that wait; a line beyond them is lost. */
export const PENDING_BYTES_MAX = 1024 * 1024;
/** Most bytes of one write. */
const BATCH_BYTES_MAX = 64 * 1024;
const NEWLINE = 0x0a;
/** Pause after a failure; BEHIND_MS is the pause after a target took nothing. */
export const RETRY_MS = 500;
const BEHIND_MS = 50;
const BEHIND = 'its reader does not read';

export class LineSink {
  readonly #target: LogTarget;
  readonly #hooks: SinkHooks;
  readonly #waiting = new Fifo<Buffer>();
  #waitingBytes = 0;
  /** bytes of the write under way */
  #batch: Buffer | null = null;
  /** the target ends in the middle of a line; the batch begins with the rest of the line */
  #isTorn = false;
  #isWriting = false;
  #timer: NodeJS.Timeout | null = null;
  #failure: string | null = null;
  /** lines lost since the sink last accepted one */
  #gap = 0;
  #lostInFailure = 0;
  #lost = 0;
  #onIdle: (() => void) | null = null;

  constructor(target: LogTarget, hooks: SinkHooks) {
    this.#target = target;
    this.#hooks = hooks;
  }

  /** Lines lost since the start. */
  get lost(): number {
    return this.#lost;
  }

  /** Why the target cannot be written; null when it can. */
  get failure(): string | null {
    return this.#failure;
  }

  /** Takes a line, with its newline. Never throws. */
  write(line: string): void {
    if (this.#waitingBytes + Buffer.byteLength(line) > PENDING_BYTES_MAX) {
      this.#lose();
      return;
    }
    this.#reportGap();
    this.#push(Buffer.from(line));
    this.#pump();
  }

  #push(bytes: Buffer): void {
    this.#waiting.push(bytes);
    this.#waitingBytes += bytes.length;
  }

  #reportGap(): void {
    if (this.#gap === 0) return;
    const gap = this.#gap;
    this.#gap = 0;
    this.#push(Buffer.from(this.#hooks.missing(gap, this.#failure ?? BEHIND)));
  }

  #lose(): void {
    this.#lost++;
    this.#gap++;
    this.#fail(BEHIND);
    this.#lostInFailure++;
  }

  #fail(reason: string): void {
    if (this.#failure !== null) return;
    this.#failure = reason;
    this.#lostInFailure = 0;
    this.#hooks.onFailed(reason);
  }

  /** The target is a new file: drops the rest of a torn line, whose beginning is in the old file. */
  restart(): void {
    if (!this.#isTorn || this.#batch === null) return;
    this.#isTorn = false;
    const end = this.#batch.indexOf(NEWLINE);
    this.#batch = end < 0 || end + 1 === this.#batch.length ? null : this.#batch.subarray(end + 1);
    this.#lost++;
    this.#lostInFailure++;
  }

  #pump(): void {
    while (!this.#isWriting && this.#timer === null) {
      const batch = this.#next();
      if (batch === null) {
        this.#onIdle?.();
        return;
      }
      try {
        const taken = this.#target.write(batch);
        if (typeof taken === 'number') this.#took(taken);
        else this.#await(taken);
      } catch (error) {
        this.#refused(error);
      }
    }
  }

  #await(taken: Promise<number>): void {
    this.#isWriting = true;
    taken
      .then(
        (count) => {
          this.#isWriting = false;
          this.#took(count);
        },
        (error: unknown) => {
          this.#isWriting = false;
          this.#refused(error);
        },
      )
      .finally(() => this.#pump());
  }

  #next(): Buffer | null {
    if (this.#batch !== null) return this.#batch;
    const lines: Buffer[] = [];
    let size = 0;
    for (
      let line = this.#waiting.peek();
      line !== undefined && (size === 0 || size + line.length <= BATCH_BYTES_MAX);
      line = this.#waiting.peek()
    ) {
      this.#waiting.shift();
      lines.push(line);
      size += line.length;
    }
    this.#waitingBytes -= size;
    if (size > 0) this.#batch = lines.length === 1 ? lines[0]! : Buffer.concat(lines, size);
    return this.#batch;
  }

  #took(count: number): void {
    const batch = this.#batch;
    if (batch === null) return;
    if (count === 0) {
      this.#again(BEHIND_MS);
      return;
    }
    this.#isTorn = count < batch.length && batch[count - 1] !== NEWLINE;
    this.#batch = count < batch.length ? batch.subarray(count) : null;
    if (this.#failure === null || this.#waitingBytes * 2 > PENDING_BYTES_MAX) return;
    this.#reportGap();
    this.#failure = null;
    this.#hooks.onRecovered(this.#lostInFailure);
  }

  #refused(error: unknown): void {
    this.#again(RETRY_MS);
    this.#fail(messageOf(error));
  }

  #again(ms: number): void {
    this.#timer = setTimeout(() => {
      this.#timer = null;
      this.#pump();
    }, ms);
    this.#timer.unref();
  }

  /** Writes the waiting lines for at most `timeoutMs`, and closes the target. */
  async close(timeoutMs: number): Promise<void> {
    const idle = new Promise<void>((resolve) => {
      this.#onIdle = resolve;
    });
    const late = setTimeout(() => this.#onIdle?.(), timeoutMs);
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    this.#pump();
    await idle;
    clearTimeout(late);
    if (!this.#isWriting) await this.#target.close();
  }
}
