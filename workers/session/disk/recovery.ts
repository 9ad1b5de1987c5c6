/** What happens while messages.db cannot be written: the state that everybody sees, attempts to write again, and the end when there is room. */

import { closeSync, openSync, unlinkSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import type { Logger } from '../../../src/kernel/logger.ts';
import type { StoreCause, StoreState } from '../../../src/thread/store-state.ts';
import { causeOfSystem, type Reserve, roomOf } from './reserve.ts';

/** The file, as far as it is written again. */
export interface Recoverable {
  /** Writes what waits. @returns null: it is on disk; else why not */
  retry(): StoreCause | null;
  /** Moves pages from the write-ahead log to the file and gives its room back. */
  checkpoint(): void;
  /** Bytes of the file that new rows may take. */
  readonly freeBytes: number;
  /** Changes wait from now on. */
  suspend(): void;
  /** Changes are written as they come again. */
  resume(): void;
}

export interface RecoveryOptions {
  dataPath: string;
  file: Recoverable;
  reserve: Reserve;
  state: StoreState;
  logger: () => Logger;
  /** what waited is on disk */
  onWritten: () => void;
}

/** Between two attempts: room is found within 2 s. */
const RETRY_MS = 500;
/** Room beside the reserve with which storing begins again: less would be gone at once. */
const HEADROOM_BYTES = 512 * 1024;
/** So much room within the file takes the place of the reserve. */
const FREE_ENOUGH_BYTES = 1024 * 1024;
/** Free room with which nothing has to be tried at the start. */
const PLENTY_BYTES = 64 * 1024 * 1024;
const RESERVE_AFTER_MS = 3_000;
const PROBE_FILE = 'messages.probe';

export class Recovery {
  readonly #options: RecoveryOptions;
  #timer: NodeJS.Timeout | null = null;
  #isTold = true;

  constructor(options: RecoveryOptions) {
    this.#options = options;
  }

  /** Takes the room that is held back. Where there is none, storing does not begin. */
  start(): void {
    const { dataPath, reserve } = this.#options;
    if (roomOf(dataPath).free > PLENTY_BYTES) {
      // A start does not wait for it.
      this.#timer = setTimeout(() => void reserve.take(), RESERVE_AFTER_MS);
      return;
    }
    const missing = this.#missing();
    if (missing === null) return;
    this.#options.file.suspend();
    this.begin(missing);
  }

  /** A write has failed. Attempts begin at once, in the room that was held back. */
  begin(cause: StoreCause): void {
    const { reserve, state } = this.#options;
    const found = this.#exact(cause);
    reserve.release();
    state.set(found);
    this.#isTold = false;
    this.#schedule(0);
  }

  /** The system says more exactly than SQLite what is wrong. */
  #exact(cause: StoreCause): StoreCause {
    return cause === 'I/O error' ? (probe(this.#options.dataPath) ?? cause) : cause;
  }

  #schedule(ms: number): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#attempt(), ms);
  }

  #attempt(): void {
    this.#timer = null;
    this.#tell();
    const { file, reserve, state, logger, onWritten } = this.#options;
    file.checkpoint();
    const cause = file.retry();
    if (cause === null) onWritten();
    const missing = cause === null ? this.#missing() : this.#exact(cause);
    if (missing !== null) {
      reserve.release();
      state.set(missing);
      this.#schedule(RETRY_MS);
      return;
    }
    file.resume();
    state.set(null);
    logger().warn('Messages can be stored again', { folder: this.#options.dataPath });
  }

  #tell(): void {
    if (this.#isTold) return;
    this.#isTold = true;
    const { state, logger, dataPath } = this.#options;
    logger().error(`Messages cannot be stored: ${state.cause}; what needs no disk goes on`, { folder: dataPath });
  }

  /** @returns null: there is room; else what is wrong with the disk */
  #missing(): StoreCause | null {
    const { file, reserve, dataPath } = this.#options;
    const missing = reserve.take() ?? probe(dataPath);
    if (missing === null || file.freeBytes < FREE_ENOUGH_BYTES) return missing;
    reserve.release();
    return probe(dataPath);
  }

  close(): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
  }
}

function probe(dataPath: string): StoreCause | null {
  const path = join(dataPath, PROBE_FILE);
  const bytes = Buffer.alloc(64 * 1024, 0x55);
  let file: number | null = null;
  try {
    file = openSync(path, 'w', 0o600);
    for (let at = 0; at < HEADROOM_BYTES; ) at += writeSync(file, bytes);
    return null;
  } catch (error) {
    return causeOfSystem(error);
  } finally {
    if (file !== null) {
      closeSync(file);
      unlinkSync(path);
    }
  }
}
