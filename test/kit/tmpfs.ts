/** A small file system for tests of full disks. Needs root: without it such tests are skipped. CI runs as root. */

import { execFileSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';

export const isRoot = process.getuid?.() === 0;

const mounted = new Set<string>();
process.on('exit', () => {
  for (const dir of mounted) unmount(dir);
});

function unmount(dir: string): void {
  try {
    // Lazy: files that are still open stay usable until they are closed.
    execFileSync('umount', ['-l', dir], { stdio: 'ignore' });
  } catch {
    // It is no longer mounted.
  }
  mounted.delete(dir);
}

export interface SmallDisk {
  /** @param size in the form for mount: 8m */
  resize(size: string): void;
  /** makes the file system read-only, or writable again */
  setReadOnly(isReadOnly: boolean): void;
  unmount(): void;
}

/** Creates a folder and mounts a tmpfs on it. The mount ends with this process at the latest. */
export function mountSmallDisk(dir: string, size: string): SmallDisk {
  mkdirSync(dir, { recursive: true });
  execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${size},mode=0700`, 'tmpfs', dir]);
  mounted.add(dir);
  const remount = (options: string) => execFileSync('mount', ['-o', `remount,${options}`, dir]);
  return {
    resize: (to) => void remount(`size=${to}`),
    setReadOnly: (isReadOnly) => void remount(isReadOnly ? 'ro' : 'rw'),
    unmount: () => unmount(dir),
  };
}
