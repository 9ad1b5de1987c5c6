/** A file that holds room back, so that deletes and what is under way can still be written when the disk is full. */

import { closeSync, openSync, statfsSync, statSync, unlinkSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { systemErrorName } from '../../../src/kernel/system/system-error.ts';
import type { StoreCause } from '../../../src/thread/store-state.ts';

const FILE = 'messages.reserve';
const MIB = 1024 * 1024;
/**
 * The write-ahead log is moved to the file when it has so many pages, and the file may grow by all of them: only then its room is free
 * again. So the reserve is larger than the log.
 */
const SIZES = { usual: { pages: 1000, reserve: 5 * MIB }, small: { pages: 64, reserve: MIB / 2 } };
/** Of the file system, from which on the usual sizes do no harm. */
const USUAL_FROM_BYTES = 128 * MIB;
/** Not zeros: some file systems keep no room for those. */
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
  /** of the write-ahead log: it is moved to the file when it has so many */
  readonly logPages: number;

  /** @param dataPath folder of messages.db */
  constructor(dataPath: string) {
    this.#path = join(dataPath, FILE);
    const { pages, reserve } = SIZES[roomOf(dataPath).size < USUAL_FROM_BYTES ? 'small' : 'usual'];
    this.#bytes = reserve;
    this.logPages = pages;
  }

  /**
   * Takes the room, unless it is taken already. This is also the probe for what is wrong with the disk.
   * @returns null: it is taken; else why it cannot be
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

  /** A file system may have become read-only since. */
  #isWritable(): StoreCause | null {
    closeSync(openSync(this.#path, 'r+'));
    return null;
  }

  /** Gives the room to whoever writes next. */
  release(): void {
    try {
      unlinkSync(this.#path);
    } catch {
      // There was none, or nothing can be removed either.
    }
  }
}

/** Bytes of the file system, and those that are free; 0 when it does not tell. */
export function roomOf(folder: string): { size: number; free: number } {
  try {
    const { blocks, bavail, bsize } = statfsSync(folder);
    return { size: blocks * bsize, free: bavail * bsize };
  } catch {
    return { size: 0, free: 0 };
  }
}

/** Why the system refuses to write. */
export function causeOfSystem(error: unknown): StoreCause {
  return CAUSES[systemErrorName(error)] ?? 'I/O error';
}
