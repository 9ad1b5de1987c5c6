/** Files in memory that have no name: a crash leaves nothing of them, and no other process finds them. */

import { accessSync, closeSync, constants, openSync, writeFileSync } from 'node:fs';

/** A file system in memory on Linux. */
const FOLDER = '/dev/shm';
/** O_TMPFILE, which Node does not name: a file without a name. The number holds on x64 and arm64. */
const NAMELESS = 0o20000000 | (constants.O_DIRECTORY ?? 0);

/** A file in memory. */
export interface MemoryFile {
  /** this process alone can open it, until close() */
  readonly path: string;
  close(): void;
}

/** Its owner alone may read it. Throws what the system throws where there is no such file system, or no /proc. */
export function makeMemoryFile(text: string): MemoryFile {
  // O_EXCL: it cannot get a name later either.
  const fd = openSync(FOLDER, NAMELESS | constants.O_RDWR | constants.O_EXCL, 0o600);
  try {
    const path = `/proc/self/fd/${fd}`;
    writeFileSync(fd, text);
    accessSync(path, constants.R_OK);
    return { path, close: () => closeSync(fd) };
  } catch (error) {
    closeSync(fd);
    throw error;
  }
}

/** Why makeMemoryFile() fails on this machine; null: it does not. */
export function lackingForMemoryFiles(): string | null {
  try {
    makeMemoryFile('').close();
    return null;
  } catch {
    return `${FOLDER} holds no file without a name`;
  }
}
