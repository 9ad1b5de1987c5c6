/** A file that reserves space: deletes and changes under way can then still be written when the disk is full. */

import { closeSync, openSync, statfsSync, statSync, unlinkSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { systemErrorName } from '../../../src/kernel/system/system-error.ts';
import type { StoreCause } from '../../../src/thread/store-state.ts';

const FILE = 'messages.reserve';
const MIB = 1024 * 1024;
/**
 * SQLite moves the write-ahead log to the file when the log has this many pages, and the file may grow by all of them before the log's
 * space is free again. The reserve is therefore larger than the log.
 */
const SIZES = { usual: { pages: 1000, reserve: 5 * MIB }, small: { pages: 64, reserve: MIB / 2 } };
/** File systems of this size or more use the usual sizes. */
const USUAL_FROM_BYTES = 128 * MIB;
/** Not zeros: some file systems allocate no space for zeros. */
const FILL = 0x55;

const CAUSES: Record<string, StoreCause> = {
  ENOSPC: 'disk full',
  EFBIG: 'disk full',
  EDQUOT: 'disk quota exceeded',
  EROFS: 'read-only file system',
  EACCES: 'no permission',
  EPERM: 'no permission',
};

export class Reserve {
  readonly #path: string;
  readonly #bytes: number;
  /** pages of the write-ahead log at which it is moved to the file */
  readonly logPages: number;

  /** @param dataPath folder of messages.db */
  constructor(dataPath: string) {
    this.#path = join(dataPath, FILE);
    const { pages, reserve } = SIZES[roomOf(dataPath).size < USUAL_FROM_BYTES ? 'small' : 'usual'];
    this.#bytes = reserve;
    this.logPages = pages;
  }

  /**
   * Takes the space, unless it is already taken. Also serves as the probe for problems of the disk.
   * @returns null when the space is taken, otherwise the cause of the failure
   */
  take(): StoreCause | null {
    try {
      if (statSync(this.#path, { throwIfNoEntry: false })?.size === this.#bytes) return this.#isWritable();
      const file = openSync(this.#path, 'w', 0o600);
      try {
        const bytes = Buffer.alloc(this.#bytes, FILL);
        for (let at = 0; at < bytes.length; ) at += writeSync(file, bytes, at);
      } finally {
        closeSync(file);
      }
      return null;
    } catch (error) {
      this.release();
      return causeOfSystem(error);
    }
  }

  /** Checks the existing file: the file system may have become read-only since. */
  #isWritable(): StoreCause | null {
    closeSync(openSync(this.#path, 'r+'));
    return null;
  }

  /** Frees the space for the next writes. */
  release(): void {
    try {
      unlinkSync(this.#path);
    } catch {
      // The reserve does not exist, or nothing can be removed either.
    }
  }
}

/** Size and free space of the file system, bytes; 0 when the system does not report them. */
export function roomOf(folder: string): { size: number; free: number } {
  try {
    const { blocks, bavail, bsize } = statfsSync(folder);
    return { size: blocks * bsize, free: bavail * bsize };
  } catch {
    return { size: 0, free: 0 };
  }
}

/** The cause of a refused write. */
export function causeOfSystem(error: unknown): StoreCause {
  return CAUSES[systemErrorName(error)] ?? 'I/O error';
}
