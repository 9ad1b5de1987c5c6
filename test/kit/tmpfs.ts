/** A small file system of its own, for tests of full disks. Needs root: tests that use it are skipped without, and run in CI, which is root. */

import { execFileSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';

export const isRoot = process.getuid?.() === 0;

const mounted = new Set<string>();
process.on('exit', () => {
  for (const dir of mounted) unmount(dir);
});

function unmount(dir: string): void {
  try {
    // Also where somebody still has a file open: it goes with the last of them.
    execFileSync('umount', ['-l', dir], { stdio: 'ignore' });
  } catch {
    // It is not mounted any more.
  }
  mounted.delete(dir);
}

export interface SmallDisk {
  /** @param size as mount takes it: 8m */
  resize(size: string): void;
  /** read-only, or not any more */
  setReadOnly(isReadOnly: boolean): void;
  unmount(): void;
}

/** Mounts a tmpfs at a folder, which is made. It is unmounted with this process at the latest. */
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
