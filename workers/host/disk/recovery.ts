/** Recovers from failed writes of messages.db: publishes the state, tries to write again, and ends when there is space. */

import { closeSync, openSync, unlinkSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import type { Logger } from '../../../src/kernel/logger.ts';
import type { StoreCause, StoreState } from '../../../src/thread/store-state.ts';
import { causeOfSystem, type Reserve, roomOf } from './reserve.ts';

/** The file, as the recovery uses it. */
export interface Recoverable {
  /** Writes the waiting changes. @returns null when they are on disk, otherwise the cause */
  retry(): StoreCause | null;
  /** Moves pages from the write-ahead log to the file and frees the log's space. */
  checkpoint(): void;
  /** Bytes of the file that new rows may take. */
  readonly freeBytes: number;
  /** Makes changes wait. */
  suspend(): void;
  /** Writes changes immediately again. */
  resume(): void;
}

export interface RecoveryOptions {
  dataPath: string;
  file: Recoverable;
  reserve: Reserve;
  state: StoreState;
  logger: () => Logger;
  /** called when the waiting changes are on disk */
  onWritten: () => void;
}

/** Milliseconds between two attempts; free space is thus noticed within 2 s. */
const RETRY_MS = 500;
/** Free bytes beside the reserve that storing needs to resume: with less, the disk would be full again at once. */
const HEADROOM_BYTES = 512 * 1024;
/** Free bytes within the file that replace the reserve. */
const FREE_ENOUGH_BYTES = 1024 * 1024;
/** With this many free bytes the start needs no probe. */
const PLENTY_BYTES = 64 * 1024 * 1024;
const RESERVE_AFTER_MS = 3_000;
const PROBE_FILE = 'messages.probe';

export class Recovery {
  readonly #options: RecoveryOptions;
  #timer: NodeJS.Timeout | null = null;
  #isReported = true;

  constructor(options: RecoveryOptions) {
    this.#options = options;
  }

  /** Takes the reserve at the start. Without space for it, storing does not begin. */
  start(): void {
    const { dataPath, reserve } = this.#options;
    if (roomOf(dataPath).free > PLENTY_BYTES) {
      // The start does not wait for the reserve.
      this.#timer = setTimeout(() => void reserve.take(), RESERVE_AFTER_MS);
      return;
    }
    const missing = this.#missing();
    if (missing === null) return;
    this.#options.file.suspend();
    this.begin(missing);
  }

  /** Handles a failed write. Attempts begin at once, in the space of the reserve. */
  begin(cause: StoreCause): void {
    const { reserve, state } = this.#options;
    const found = this.#exact(cause);
    reserve.release();
    state.set(found);
    this.#isReported = false;
    this.#schedule(0);
  }

  /** The cause as the system reports it, which is more precise than SQLite's. */
  #exact(cause: StoreCause): StoreCause {
    return cause === 'I/O error' ? (probe(this.#options.dataPath) ?? cause) : cause;
  }

  #schedule(ms: number): void {
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#attempt(), ms);
  }

  #attempt(): void {
    this.#timer = null;
    this.#report();
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

  #report(): void {
    if (this.#isReported) return;
    this.#isReported = true;
    const { state, logger, dataPath } = this.#options;
    logger().error(`Messages cannot be stored: ${state.cause}; operations without the disk continue`, { folder: dataPath });
  }

  /** @returns null when there is space, otherwise the problem of the disk */
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
