/** The log file: appended to, rotated by size, and reopened after somebody moved or deleted it. */

import { closeSync, constants, mkdirSync, openSync } from 'node:fs';
import { type FileHandle, mkdir, open, rename, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { messageOf } from '../../kernel/errors.ts';
import { systemErrorName } from '../../kernel/system/system-error.ts';
import type { LogTarget } from './line-sink.ts';

export interface FileTargetOptions {
  /** absolute path */
  file: string;
  /** bytes; a write that would exceed this size goes to a new file */
  maxSize: number;
  /** number of older files to keep; `.1` is the newest of them */
  maxFiles: number;
  /** called when later lines go to another file */
  onNewFile: () => void;
  /** called when the file was moved or deleted and no new one can be made: lines still go to the old file */
  onStuck: (reason: string) => void;
}

/** O_NONBLOCK: without it, opening a pipe that nobody reads would block a thread of the pool. */
const FLAGS = constants.O_WRONLY | constants.O_APPEND | constants.O_CREAT | constants.O_NONBLOCK;
/** Lines hold addresses and names of clients. */
const FILE_MODE = 0o600;
const FOLDER_MODE = 0o700;
const OTHERS = 0o077;
/** Errors that may pass by themselves: a start does not fail because of them. */
const PASSING = new Set(['ENOSPC', 'EDQUOT', 'EIO', 'EROFS', 'EMFILE', 'ENFILE', 'ENXIO', 'EAGAIN', 'ESTALE']);

export class FileTarget implements LogTarget {
  readonly #options: FileTargetOptions;
  #handle: FileHandle | null = null;
  #isRegular = true;
  #isDue = false;
  /** the open file has lost its name, and no other can be made; reported once */
  #isStuck = false;

  constructor(options: FileTargetOptions) {
    this.#options = options;
  }

  /** Makes the folder and the file. @throws when they cannot be made for a reason that does not pass by itself */
  prepare(): void {
    const { file } = this.#options;
    try {
      mkdirSync(dirname(file), { recursive: true, mode: FOLDER_MODE });
      closeSync(openSync(file, FLAGS, FILE_MODE));
    } catch (error) {
      if (!PASSING.has(systemErrorName(error))) throw error;
    }
  }

  async write(bytes: Buffer): Promise<number> {
    const handle = await this.#current(bytes.length);
    try {
      return (await handle.write(bytes)).bytesWritten;
    } catch (error) {
      if (systemErrorName(error) === 'EAGAIN') return 0;
      throw error;
    }
  }

  /** The next write opens the file that has the name at that moment. */
  reopen(): void {
    this.#isDue = true;
  }

  /** The file for the next `size` bytes. */
  async #current(size: number): Promise<FileHandle> {
    if (this.#isDue || !(await this.#isThere())) await this.#reopen();
    const handle = this.#handle!;
    if (!this.#isRegular) return handle;
    const { size: has } = await handle.stat();
    if (has === 0 || has + size <= this.#options.maxSize) return handle;
    await this.#rotate();
    return this.#handle!;
  }

  async #reopen(): Promise<void> {
    try {
      await this.#open();
      this.#isStuck = false;
    } catch (error) {
      if (this.#handle === null) throw error;
      this.#isDue = false;
      if (this.#isStuck) return;
      this.#isStuck = true;
      this.#options.onStuck(messageOf(error));
    }
  }

  /** True while the name still leads to the open file. */
  async #isThere(): Promise<boolean> {
    const handle = this.#handle;
    if (handle === null) return false;
    if (!this.#isRegular) return true;
    try {
      const [named, opened] = await Promise.all([stat(this.#options.file), handle.stat()]);
      return named.ino === opened.ino && named.dev === opened.dev;
    } catch (error) {
      return systemErrorName(error) !== 'ENOENT';
    }
  }

  async #open(): Promise<void> {
    const { file, onNewFile } = this.#options;
    const handle = await open(file, FLAGS, FILE_MODE).catch(async (error: unknown) => {
      if (systemErrorName(error) !== 'ENOENT') throw error;
      await mkdir(dirname(file), { recursive: true, mode: FOLDER_MODE });
      return open(file, FLAGS, FILE_MODE);
    });
    const about = await handle.stat();
    const old = this.#handle;
    this.#handle = handle;
    this.#isDue = false;
    this.#isRegular = about.isFile();
    // An earlier version or logrotate's `create` made the file readable to others. A file of another user keeps its mode.
    if (this.#isRegular && (about.mode & OTHERS) !== 0) await handle.chmod(FILE_MODE).catch(() => {});
    if (old === null) return;
    const before = await old.stat().catch(() => null);
    if (before?.ino !== about.ino || before.dev !== about.dev) onNewFile();
    await old.close().catch(() => {});
  }

  /** Without the right to rename in the folder, the file grows beyond its limit: that loses no line. */
  async #rotate(): Promise<void> {
    const { file, maxFiles } = this.#options;
    try {
      for (let at = maxFiles - 1; at >= 1; at--) {
        await rename(`${file}.${at}`, `${file}.${at + 1}`).catch((error: unknown) => {
          if (systemErrorName(error) !== 'ENOENT') throw error;
        });
      }
      await rename(file, `${file}.1`);
    } catch {
      return;
    }
    await this.#reopen();
  }

  async close(): Promise<void> {
    const handle = this.#handle;
    this.#handle = null;
    await handle?.close().catch(() => {});
  }
}
